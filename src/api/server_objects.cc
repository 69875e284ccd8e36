// The object verbs in HTTP: parameters and bodies in, objects and lists out.
#include <fmt/format.h>

#include "api/server_impl.h"
#include "base/status.h"
#include "base/strings.h"
#include "base/utf8.h"
#include "base/yaml.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

constexpr std::size_t kParseOnPool = 128 * 1024;  // larger bodies take over a millisecond

std::int64_t whole_number(const net::Query& query, std::string_view name, std::int64_t fallback) {
  const std::string_view text = query.get(name);
  if (text.empty()) return fallback;
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    throw base::bad_request(fmt::format("{}: Invalid value: \"{}\": must be a whole number, 0 or more", name, text));
  }
  return value;
}

bool dry_run(const net::Query& query) {
  if (!query.has("dryRun")) return false;
  if (query.get("dryRun") != "All") throw base::bad_request("dryRun: Unsupported value: only \"All\" is supported");
  return true;
}

// As upstream: the part of the User-Agent before the slash, where the client does not name its manager.
std::string field_manager(const net::Request& request, bool required) {
  std::string manager(request.query.get("fieldManager"));
  if (manager.empty() && required) throw base::bad_request("fieldManager is required for apply patch");
  if (!base::is_utf8(manager)) throw base::bad_request("fieldManager: Invalid value: must be text in UTF-8");
  if (manager.empty()) {
    const std::string_view agent = request.headers.get("User-Agent");
    manager = agent.substr(0, agent.find('/'));
    if (!base::is_utf8(manager)) manager.clear();
  }
  if (manager.empty()) manager = "unknown";
  if (manager.size() > 128) {
    if (required) throw base::bad_request("fieldManager: Too long: may not be more than 128 bytes");
    manager = base::utf8_text(manager, 128);
  }
  return manager;
}

WriteOptions write_options(Exchange& x, bool apply) {
  const net::Query& query = x.http->query;
  WriteOptions options;
  options.subresource = x.path->subresource;
  options.field_manager = field_manager(*x.http, apply);
  options.dry_run = dry_run(query);
  options.force = flag(query, "force");
  if (options.force && !apply) throw base::bad_request("force: Forbidden: may not be specified for non-apply patch");
  if (const std::string_view validation = query.get("fieldValidation"); !validation.empty()) {
    if (validation != "Ignore" && validation != "Warn" && validation != "Strict") {
      throw base::bad_request(
          fmt::format("fieldValidation: Unsupported value: \"{}\": supported values: \"Ignore\", \"Strict\", \"Warn\"",
                      validation));
    }
    options.field_validation = validation;
  }
  options.warnings = &x.warnings;
  return options;
}

DeleteOptions delete_options(const net::Query& query, const json::value& body) {
  DeleteOptions options;
  options.propagation = base::get_string(body, "propagationPolicy", query.get("propagationPolicy"));
  if (const json::value* orphan = base::find(body, "orphanDependents");
      orphan && orphan->is_bool() && options.propagation.empty()) {
    options.propagation = orphan->get_bool() ? "Orphan" : "Background";
  }
  if (const json::value* grace = base::find(body, "gracePeriodSeconds"); grace && grace->is_int64()) {
    options.grace_seconds = grace->get_int64();
  } else if (query.has("gracePeriodSeconds")) {
    options.grace_seconds = whole_number(query, "gracePeriodSeconds", 0);
  }
  options.uid_precondition = base::get_string(body, "preconditions.uid");
  options.version_precondition = base::get_string(body, "preconditions.resourceVersion");
  options.dry_run = dry_run(query);
  for (const auto& value : base::get_array(body, "dryRun")) {
    if (value != "All") throw base::bad_request("dryRun: Unsupported value: only \"All\" is supported");
    options.dry_run = true;
  }
  return options;
}

base::Result<json::value> parse(std::string_view text, BodyKind kind) {
  return kind == BodyKind::kYaml || kind == BodyKind::kApplyPatch ? base::parse_yaml(text) : base::parse_json(text);
}

// Whether the body is an object, rather than a patch.
bool holds_object(BodyKind kind) { return kind == BodyKind::kJson || kind == BodyKind::kYaml; }

PatchType patch_type(BodyKind kind) {
  switch (kind) {
    case BodyKind::kJsonPatch:
      return PatchType::kJson;
    case BodyKind::kMergePatch:
      return PatchType::kMerge;
    case BodyKind::kStrategicPatch:
      return PatchType::kStrategic;
    case BodyKind::kApplyPatch:
      return PatchType::kApply;
    default:
      throw base::unsupported_media_type(
          "the body of the request was in an unknown format - accepted media types include: "
          "application/json-patch+json, "
          "application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml");
  }
}

// What a deletion answers when nothing is left of the object.
json::value deleted_status(const Type& type, const store::Record& record) {
  return json::object{{"kind", "Status"},
                      {"apiVersion", "v1"},
                      {"metadata", json::object{}},
                      {"status", "Success"},
                      {"details", json::object{{"name", record.key.name},
                                               {"group", type.group},
                                               {"kind", type.plural},
                                               {"uid", base::get_string(*record.object, "metadata.uid")}}}};
}

}  // namespace

ListOptions list_options(const Type& type, const net::Query& query) {
  ListOptions options;
  if (query.has("labelSelector")) {
    auto labels = base::LabelSelector::parse(query.get("labelSelector"));
    if (!labels) throw base::bad_request("labelSelector: " + labels.error().message);
    options.labels = std::move(*labels);
  }
  if (query.has("fieldSelector")) {
    auto fields = base::FieldSelector::parse(query.get("fieldSelector"));
    if (!fields) throw base::bad_request("fieldSelector: " + fields.error().message);
    for (const auto& path : fields->paths()) {
      const bool known = path == "metadata.name" || (path == "metadata.namespace" && type.namespaced) ||
                         type.selectable_fields.contains(path);
      if (!known) throw base::bad_request(fmt::format("field label not supported: {}", path));
    }
    options.fields = std::move(*fields);
  }
  options.limit = static_cast<std::size_t>(whole_number(query, "limit", 0));
  options.continue_token = query.get("continue");
  options.resource_version = query.get("resourceVersion");
  const std::string_view match = query.get("resourceVersionMatch");
  if (match.empty() || query.has("sendInitialEvents")) return options;
  if (match != "Exact" && match != "NotOlderThan") {
    throw base::bad_request(fmt::format(
        "resourceVersionMatch: Unsupported value: \"{}\": supported values: \"Exact\", \"NotOlderThan\"", match));
  }
  options.exact = match == "Exact";
  if (options.resource_version.empty() || (options.exact && options.resource_version == "0"))
    throw base::bad_request("resourceVersionMatch: Forbidden: resourceVersionMatch needs a resourceVersion");
  if (!options.continue_token.empty())
    throw base::bad_request("resourceVersionMatch: Forbidden: resourceVersionMatch is not for a continued list");
  return options;
}

async::Task<json::value> Server::Impl::body_of(ExchangePtr x, BodyKind kind) {
  std::string text = co_await x->http->body->read_all(kMaxBody);
  const bool yaml = kind == BodyKind::kYaml || kind == BodyKind::kApplyPatch;
  base::Result<json::value> value;
  if (text.size() > kParseOnPool || (yaml && text.size() > kParseOnPool / 16)) {
    value = co_await d.runtime.blocking([text = std::move(text), kind] { return parse(text, kind); });
  } else {
    value = parse(text, kind);
  }
  if (!value) throw base::bad_request("the body of the request cannot be read: " + value.error().message);
  co_return std::move(*value);
}

async::Task<net::Response> Server::Impl::act(ExchangePtr x) {
  const bool transformable = x->path->subresource.empty() && x->type->stored();
  const auto form = negotiate(x->http->headers.get("Accept"), transformable);
  if (!form || form->aggregated_discovery) {
    throw base::StatusError(406, "NotAcceptable",
                            "only the following media types are accepted: application/json, application/yaml");
  }
  if (x->verb == "watch") co_return watch(x, *form);
  if (x->verb == "get" || x->verb == "list") co_return co_await read(x, *form);
  if (x->verb == "delete" || x->verb == "deletecollection") co_return co_await remove(x, *form);
  co_return co_await write(x, *form);
}

async::Task<net::Response> Server::Impl::read(ExchangePtr x, Negotiated form) {
  const Type& type = *x->type;
  const net::Query& query = x->http->query;
  if (x->verb == "list") {
    const ListResult list = verbs.list(type, x->path->ns, list_options(type, query));
    co_return render_list(type, list, form, query, d.clock.now());
  }
  const store::RecordPtr record = verbs.get(type, x->path->ns, x->path->name);
  if (x->path->subresource == "scale") co_return render_value(scale_of(type, *record->object), form);
  co_return render_object(type, record, form, query, d.clock.now());
}

async::Task<net::Response> Server::Impl::write(ExchangePtr x, Negotiated form) {
  const Type& type = *x->type;
  const ObjectPath& path = *x->path;
  const BodyKind kind = body_kind(x->http->headers.get("Content-Type"));
  const bool patch = x->verb == "patch";
  const PatchType patching = patch ? patch_type(kind) : PatchType::kMerge;
  if (!patch && !holds_object(kind)) {
    throw base::unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include: application/json, "
        "application/yaml");
  }
  WriteOptions options = write_options(*x, patch && patching == PatchType::kApply);
  json::value body = co_await body_of(x, kind);
  if (!patch && !body.is_object()) throw base::bad_request("the body of the request must be an object");
  if (!type.stored()) co_return co_await review(x, std::move(body));
  store::RecordPtr record;
  bool created = x->verb == "create";
  if (created) {
    record = co_await verbs.create(type, path.ns, std::move(body), x->user, std::move(options));
    x->what.name = record->key.name;
  } else if (patch) {
    record = co_await verbs.patch(type, path.ns, path.name, patching, std::move(body), x->user, std::move(options),
                                  &created);
  } else {
    record = co_await verbs.update(type, path.ns, path.name, std::move(body), x->user, std::move(options));
  }
  if (path.subresource == "scale") co_return render_value(scale_of(type, *record->object), form);
  co_return render_object(type, record, form, x->http->query, d.clock.now(), created ? 201 : 200);
}

async::Task<net::Response> Server::Impl::remove(ExchangePtr x, Negotiated form) {
  const Type& type = *x->type;
  const BodyKind kind = body_kind(x->http->headers.get("Content-Type"));
  json::value body;
  if (const auto length = x->http->body->length(); !length || *length > 0) {
    std::string text = co_await x->http->body->read_all(kMaxBody);
    if (!base::trim(text).empty()) {
      if (!holds_object(kind))
        throw base::unsupported_media_type("DeleteOptions must be application/json or application/yaml");
      auto parsed = parse(text, kind);
      if (!parsed) throw base::bad_request("the DeleteOptions cannot be read: " + parsed.error().message);
      body = std::move(*parsed);
    }
  }
  DeleteOptions options = delete_options(x->http->query, body);
  if (x->verb == "deletecollection") {
    ListResult removed;
    removed.items = co_await verbs.remove_collection(type, x->path->ns, list_options(type, x->http->query),
                                                     std::move(options), x->user);
    removed.revision = d.store.revision();
    co_return render_list(type, removed, form, x->http->query, d.clock.now());
  }
  bool gone = false;
  const store::RecordPtr record =
      co_await verbs.remove(type, x->path->ns, x->path->name, std::move(options), x->user, &gone);
  if (gone) co_return render_value(deleted_status(type, *record), form);
  co_return render_object(type, record, form, x->http->query, d.clock.now());
}

}  // namespace mainstay::api
