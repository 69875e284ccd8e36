#include "capabilities/artifacts/routes.h"

#include <charconv>

#include "base/encoding.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "platform/interfaces/images.h"

namespace mainstay::artifacts {

using base::ErrorCode;
namespace json = base::json;
using Kind = Target::Kind;

namespace {

constexpr std::size_t kMaxPage = 1000;
constexpr std::string_view kApiVersion = "registry/2.0";

RegistryError bad_method(std::string_view allow) {
  return {405, "UNSUPPORTED", fmt::format("this endpoint takes {}", allow)};
}

bool is_digest(std::string_view reference) { return reference.find(':') != std::string_view::npos; }

void check_reference(std::string_view reference) {
  if (is_digest(reference) ? store::valid_digest(reference) : platform::valid_tag(reference)) return;
  if (is_digest(reference))
    throw RegistryError(400, "DIGEST_INVALID", "a digest must be sha256: and 64 lower-case hex digits");
  throw RegistryError(404, "MANIFEST_UNKNOWN",
                      "a tag has at most 128 of letters, digits, _ . - and does not begin with . or -");
}

void check_digest(std::string_view digest) {
  if (!store::valid_digest(digest))
    throw RegistryError(400, "DIGEST_INVALID", "a digest must be sha256: and 64 lower-case hex digits");
}

std::size_t page_size(const net::Query& query) {
  if (!query.has("n")) return kMaxPage;
  const auto text = query.get("n");
  std::size_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size())
    throw RegistryError(400, "PAGINATION_NUMBER_INVALID", "n must be a whole number");
  return std::min(n, kMaxPage);
}

// RFC 8288's link to the next page.
std::string next_link(std::string_view path, std::size_t n, std::string_view last, std::string_view more = "") {
  return fmt::format("<{}?n={}&last={}{}>; rel=\"next\"", path, n, base::percent_encode(last), more);
}

// Names after `last`, at most n; sets the Link where more follow.
template <class Map>
json::array page(const Map& map, const net::Query& query, std::string_view path, net::Headers& headers) {
  const auto n = page_size(query);
  const auto last = query.get("last");
  json::array out;
  auto at = last.empty() ? map.begin() : map.upper_bound(last);
  for (; at != map.end() && out.size() < n; ++at) out.emplace_back(at->first);
  if (at != map.end() && !out.empty())
    headers.set("Link", next_link(path, n, std::string_view(out.back().get_string())));
  return out;
}

net::Response accepted_upload(const Upload& upload, int status) {
  net::Response response = net::Response::empty(status);
  const auto size = upload.blob->size();
  response.headers.set("Location", fmt::format("/v2/{}/blobs/uploads/{}", upload.repository, upload.id));
  response.headers.set("Range", fmt::format("0-{}", size == 0 ? 0 : size - 1));
  response.headers.set("Docker-Upload-UUID", upload.id);
  return response;
}

net::Response created_blob(const std::string& repository, const std::string& digest) {
  net::Response response = net::Response::empty(201);
  response.headers.set("Location", fmt::format("/v2/{}/blobs/{}", repository, digest));
  response.headers.set("Docker-Content-Digest", digest);
  return response;
}

bool reads(std::string_view method) { return method == "GET" || method == "HEAD"; }

}  // namespace

async::Task<net::Response> Endpoints::serve(std::shared_ptr<Endpoints> self,
                                            std::shared_ptr<api::RequestContext> context) {
  net::Response response;
  try {
    const auto rest = context->params.find("path");
    auto target = parse_target(rest == context->params.end() ? std::string_view() : std::string_view(rest->second));
    if (!target) {
      const bool name = target.error().code == ErrorCode::kInvalid;
      throw RegistryError(name ? 400 : 404, name ? "NAME_INVALID" : "UNSUPPORTED", target.error().message);
    }
    response = co_await self->dispatch(context, *std::move(target));
  } catch (const RegistryError& error) {
    response = error_response(error.status(), error.code(), error.message());
    if (error.status() >= 500)
      base::log::warn("artifacts", "{} {}: {}", context->http->method, context->http->path, error.message());
  } catch (const base::StatusError& error) {  // a body that broke off or is too large
    response = error_response(error.code(), error.code() == 413 ? "SIZE_INVALID" : "UNKNOWN", error.message());
  }
  response.headers.set("Docker-Distribution-Api-Version", std::string(kApiVersion));
  co_return response;
}

async::Task<net::Response> Endpoints::dispatch(std::shared_ptr<api::RequestContext> context, Target target) {
  const auto& method = context->http->method;
  switch (target.kind) {
    case Kind::kManifest:
      co_return co_await manifests(context, std::move(target));
    case Kind::kBlob:
      co_return co_await blobs(context, std::move(target));
    case Kind::kUpload:
      co_return co_await upload(context, std::move(target));
    case Kind::kUploads:
      if (method != "POST") throw bad_method("POST");
      co_return co_await begin_upload(context, std::move(target));
    case Kind::kBase:
      if (!reads(method)) throw bad_method("GET");
      co_return net::Response::json(200, json::object{});
    case Kind::kCatalog:
      if (!reads(method)) throw bad_method("GET");
      co_return catalog(*context);
    case Kind::kTags:
      if (!reads(method)) throw bad_method("GET");
      co_return tags(*context, target);
    case Kind::kReferrers:
      if (!reads(method)) throw bad_method("GET");
      co_return referrers(*context, target);
  }
  throw RegistryError(500, "UNKNOWN", "unreachable");
}

async::Task<net::Response> Endpoints::manifests(std::shared_ptr<api::RequestContext> context, Target target) {
  const auto& method = context->http->method;
  check_reference(target.reference);
  if (reads(method)) co_return co_await get_manifest(context, std::move(target));
  if (method == "PUT") co_return co_await put_manifest(context, std::move(target));
  if (method != "DELETE") throw bad_method("GET, HEAD, PUT and DELETE");
  if (is_digest(target.reference)) {
    co_await registry_->delete_manifest(target.repository, target.reference);
  } else {
    co_await registry_->delete_tag(target.repository, target.reference);
  }
  co_return net::Response::empty(202);
}

async::Task<net::Response> Endpoints::get_manifest(std::shared_ptr<api::RequestContext> context, Target target) {
  if (is_upstream_repository(target.repository))
    co_await upstreams_->ensure_manifest(target.repository, target.reference);
  auto& index = registry_->index();
  auto record = index.manifest(target.repository, target.reference);
  if (!record) {
    if (index.find(target.repository) == nullptr) {
      throw RegistryError(404, "NAME_UNKNOWN", fmt::format("there is no repository {}", target.repository));
    }
    throw RegistryError(404, "MANIFEST_UNKNOWN", fmt::format("{} has no {}", target.repository, target.reference));
  }
  const auto& headers = context->http->headers;
  if (!accepts(headers, record->media_type)) {
    // A client that asks for a tag and knows no indexes means the image for a machine like this one.
    ManifestPtr chosen;
    if (media_type::is_index(record->media_type) && !is_digest(target.reference)) {
      const auto content = co_await registry_->content(record->digest);
      const auto parsed = parse_manifest(*content, record->media_type);
      const auto* entry = parsed ? for_this_machine(*parsed) : nullptr;
      if (entry != nullptr && is_upstream_repository(target.repository)) {
        co_await upstreams_->ensure_manifest(target.repository, entry->digest);
      }
      if (entry != nullptr) chosen = index.manifest(target.repository, entry->digest);
    }
    if (!chosen || !accepts(headers, chosen->media_type)) {
      throw RegistryError(
          404, "MANIFEST_UNKNOWN",
          fmt::format("it is of type {}, which the request's Accept header leaves out", record->media_type));
    }
    record = chosen;
  }
  net::Response response;
  response.headers.set("Content-Type", record->media_type);
  response.headers.set("Docker-Content-Digest", record->digest);
  response.headers.set("ETag", '"' + record->digest + '"');
  if (etag_matches(headers.get("If-None-Match"), record->digest)) {
    response.status = 304;
    co_return response;
  }
  auto content = registry_->content_in_memory(record->digest);
  if (!content) content = co_await registry_->content(record->digest);
  response.body = std::move(content);
  co_return response;
}

async::Task<net::Response> Endpoints::put_manifest(std::shared_ptr<api::RequestContext> context, Target target) {
  auto& request = *context->http;
  auto bytes = co_await request.body->read_all(kMaxManifestBytes);
  const auto pushed = co_await registry_->put_manifest(
      target.repository, target.reference, std::string(request.headers.get("Content-Type")), std::move(bytes));
  net::Response response = net::Response::empty(201);
  response.headers.set("Location", fmt::format("/v2/{}/manifests/{}", target.repository, pushed.digest));
  response.headers.set("Docker-Content-Digest", pushed.digest);
  if (!pushed.subject.empty()) response.headers.set("OCI-Subject", pushed.subject);
  co_return response;
}

async::Task<net::Response> Endpoints::blobs(std::shared_ptr<api::RequestContext> context, Target target) {
  const auto& request = *context->http;
  check_digest(target.reference);
  if (request.method == "DELETE") {
    co_await registry_->delete_blob(target.repository, target.reference);
    co_return net::Response::empty(202);
  }
  if (!reads(request.method)) throw bad_method("GET, HEAD and DELETE");
  if (is_upstream_repository(target.repository)) co_await upstreams_->ensure_blob(target.repository, target.reference);
  const auto* link = registry_->index().blob(target.repository, target.reference);
  if (link == nullptr)
    throw RegistryError(404, "BLOB_UNKNOWN", fmt::format("{} has no blob {}", target.repository, target.reference));
  const auto path = registry_->blobs().path(target.reference);
  if (!path) {
    throw RegistryError(
        500, "BLOB_UNKNOWN",
        fmt::format("the blob {} is in the index, but its file is gone: push it again", target.reference));
  }
  net::Response response;
  response.headers.set("Content-Type", "application/octet-stream");
  response.headers.set("Docker-Content-Digest", target.reference);
  response.headers.set("ETag", '"' + target.reference + '"');
  response.headers.set("Cache-Control", "private, max-age=31536000, immutable");
  response.headers.set("Accept-Ranges", "bytes");
  if (etag_matches(request.headers.get("If-None-Match"), target.reference)) {
    response.status = 304;
    co_return response;
  }
  const std::uint64_t size = link->size;
  net::FileBody file{*path, 0, size};
  const auto range = parse_range(request.method == "GET" ? request.headers.get("Range") : std::string_view(), size);
  if (!range) {
    auto refused = error_response(416, "RANGE_INVALID", range.error().message);
    refused.headers.set("Content-Range", fmt::format("bytes */{}", size));
    co_return refused;
  }
  if (*range) {
    response.status = 206;
    response.headers.set("Content-Range", fmt::format("bytes {}-{}/{}", (*range)->first, (*range)->last, size));
    file.offset = (*range)->first;
    file.length = (*range)->length();
  }
  response.body = std::move(file);
  co_return response;
}

async::Task<net::Response> Endpoints::begin_upload(std::shared_ptr<api::RequestContext> context, Target target) {
  auto& request = *context->http;
  co_await registry_->check_writable(target.repository);
  if (request.query.has("mount")) {
    const std::string digest(request.query.get("mount")), from(request.query.get("from"));
    check_digest(digest);
    const auto [ns, name] = split_repository(from);
    const api::Attributes pull{.verb = "get", .group = "mainstay.dev", .resource = "artifacts", .ns = ns, .name = name};
    // Without the right to pull it the answer is as if it were not there: upload it.
    if (platform::valid_repository_name(from) && allowed_(context->user, pull) &&
        co_await registry_->mount(target.repository, digest, from)) {
      co_return created_blob(target.repository, digest);
    }
  }
  if (request.query.has("digest")) check_digest(request.query.get("digest"));
  auto use = co_await uploads_->begin(target.repository, context->user.name);
  if (request.query.has("digest")) co_return co_await finish_upload(context, std::move(use));
  co_return accepted_upload(**use, 202);
}

async::Task<net::Response> Endpoints::upload(std::shared_ptr<api::RequestContext> context, Target target) {
  const auto& method = context->http->method;
  auto use = co_await uploads_->open(target.repository, target.reference, context->user.name);
  if (reads(method)) co_return accepted_upload(**use, 204);
  if (method == "PATCH") co_return co_await patch_upload(context, std::move(use));
  if (method == "PUT") co_return co_await finish_upload(context, std::move(use));
  if (method != "DELETE") throw bad_method("GET, PATCH, PUT and DELETE");
  co_await uploads_->abort(use);
  co_return net::Response::empty(204);
}

async::Task<net::Response> Endpoints::patch_upload(std::shared_ptr<api::RequestContext> context, Uploads::UsePtr use) {
  auto& request = *context->http;
  const std::uint64_t before = (*use)->blob->size();
  if (request.headers.has("Content-Range")) {
    const auto range = parse_content_range(request.headers.get("Content-Range"));
    if (!range) throw RegistryError(400, "BLOB_UPLOAD_INVALID", range.error().message);
    if (range->first != before) {
      auto refused =
          error_response(416, "BLOB_UPLOAD_INVALID", fmt::format("the next byte is {}, not {}", before, range->first));
      const auto state = accepted_upload(**use, 416);
      for (const auto& [name, value] : state.headers.all()) refused.headers.set(name, value);
      co_return refused;
    }
    if (const auto length = request.body->length(); length && *length != range->length()) {
      throw RegistryError(400, "SIZE_INVALID",
                          fmt::format("Content-Range is of {} bytes, the body has {}", range->length(), *length));
    }
  }
  co_await uploads_->receive(use, request.body);
  co_return accepted_upload(**use, 202);
}

async::Task<net::Response> Endpoints::finish_upload(std::shared_ptr<api::RequestContext> context, Uploads::UsePtr use) {
  auto& request = *context->http;
  const std::string digest(request.query.get("digest"));
  check_digest(digest);
  if (request.headers.has("Content-Range")) {
    const auto range = parse_content_range(request.headers.get("Content-Range"));
    if (!range || range->first != (*use)->blob->size()) {
      throw RegistryError(416, "BLOB_UPLOAD_INVALID", fmt::format("the next byte is {}", (*use)->blob->size()));
    }
  }
  const std::string repository = (*use)->repository;
  co_await uploads_->receive(use, request.body);
  co_await uploads_->finish(use, digest);
  co_return created_blob(repository, digest);
}

net::Response Endpoints::tags(Context context, const Target& target) const {
  const auto* found = registry_->index().find(target.repository);
  if (found == nullptr)
    throw RegistryError(404, "NAME_UNKNOWN", fmt::format("there is no repository {}", target.repository));
  net::Headers headers;
  auto names = page(found->tags, context.http->query, fmt::format("/v2/{}/tags/list", target.repository), headers);
  auto response = net::Response::json(200, json::object{{"name", target.repository}, {"tags", std::move(names)}});
  if (headers.has("Link")) response.headers.set("Link", std::string(headers.get("Link")));
  return response;
}

net::Response Endpoints::catalog(Context context) const {
  net::Headers headers;
  auto names = page(registry_->index().repositories(), context.http->query, "/v2/_catalog", headers);
  auto response = net::Response::json(200, json::object{{"repositories", std::move(names)}});
  if (headers.has("Link")) response.headers.set("Link", std::string(headers.get("Link")));
  return response;
}

net::Response Endpoints::referrers(Context context, const Target& target) const {
  check_digest(target.reference);
  const auto& query = context.http->query;
  const std::string type(query.get("artifactType"));
  auto all = registry_->referrers(target.repository, target.reference, type);
  // Paged so that the answer stays below what clients take; in digest order, so `last` finds its place again.
  const auto n = std::max<std::size_t>(1, page_size(query));
  const auto last = query.get("last");
  json::array manifests;
  bool more = false;
  for (auto& item : all) {
    if (!last.empty() && std::string_view(item.at("digest").as_string()) <= last) continue;
    if ((more = manifests.size() >= n)) break;
    manifests.push_back(std::move(item));
  }
  std::string link;
  if (more) {
    link = next_link(fmt::format("/v2/{}/referrers/{}", target.repository, target.reference), n,
                     std::string_view(manifests.back().at("digest").as_string()),
                     type.empty() ? "" : "&artifactType=" + base::percent_encode(type));
  }
  auto response = net::Response::json(
      200,
      json::object{{"schemaVersion", 2}, {"mediaType", media_type::kOciIndex}, {"manifests", std::move(manifests)}});
  response.headers.set("Content-Type", std::string(media_type::kOciIndex));
  if (!type.empty()) response.headers.set("OCI-Filters-Applied", "artifactType");
  if (more) response.headers.set("Link", link);
  return response;
}

api::Attributes attributes_of(const api::RequestContext& context) {
  api::Attributes what{.group = "mainstay.dev", .resource = "artifacts"};
  const auto& method = context.http->method;
  const auto rest = context.params.find("path");
  const auto target = parse_target(rest == context.params.end() ? std::string_view() : std::string_view(rest->second));
  const bool upload = target && (target->kind == Kind::kUploads || target->kind == Kind::kUpload);
  what.verb = upload ? "update" : reads(method) ? "get" : method == "DELETE" ? "delete" : "update";
  if (!target) return what;  // of the whole cluster: only an admin is told what is wrong with the name
  if (target->kind == Kind::kCatalog) what.verb = "list";
  if (target->repository.empty()) return what;
  // What is cached from public registries is for everyone who may use the base images.
  if (is_upstream_repository(target->repository)) {
    what.ns = "library";
    what.name = target->repository;
  } else {
    std::tie(what.ns, what.name) = split_repository(target->repository);
  }
  return what;
}

std::vector<api::Route> routes(std::shared_ptr<Endpoints> endpoints) {
  const auto handler = [endpoints](std::shared_ptr<api::RequestContext> context) {
    return Endpoints::serve(endpoints, std::move(context));
  };
  const auto denied = [](const api::RequestContext&, int status, const std::string& message) {
    return error_response(status, status == 401 ? "UNAUTHORIZED" : "DENIED", message);
  };
  std::vector<api::Route> out;
  const auto add = [&](std::string method, std::string pattern, api::Permission permission, std::string summary) {
    out.push_back({.method = std::move(method),
                   .pattern = std::move(pattern),
                   .permission = std::move(permission),
                   .summary = std::move(summary),
                   .handler = handler,
                   .on_denied = denied});
  };
  const api::Require require = attributes_of;
  add("GET", "/v2", api::Authenticated{"tells a client that its credentials are good; no content"},
      "OCI registry: the API is here");
  add("GET", "/v2/{path...}", require, "OCI registry: pull manifests and blobs, list tags and referrers");
  add("POST", "/v2/{path...}", require, "OCI registry: begin an upload, mount a blob");
  add("PATCH", "/v2/{path...}", require, "OCI registry: append to an upload");
  add("PUT", "/v2/{path...}", require, "OCI registry: finish an upload, push a manifest");
  add("DELETE", "/v2/{path...}", require, "OCI registry: delete a manifest, tag, blob or upload");
  return out;
}

}  // namespace mainstay::artifacts
