#include "capabilities/artifacts/upstream.h"

#include <boost/url.hpp>

#include "base/encoding.h"
#include "base/status.h"
#include "base/strings.h"
#include "platform/interfaces/images.h"

namespace mainstay::artifacts {

using base::ErrorCode;
using base::fail;

namespace {

constexpr auto kFresh = std::chrono::seconds(300);
constexpr int kMaxRedirects = 4;
constexpr std::size_t kMaxTokenBytes = 64 * 1024, kMaxClients = 32, kMaxTokens = 256;

const std::vector<std::string> kManifestTypes = {
    std::string(media_type::kOciIndex), std::string(media_type::kDockerList), std::string(media_type::kOciManifest),
    std::string(media_type::kDockerManifest)};

// 424, since clients show the message of a 4xx answer only.
RegistryError unreachable(std::string_view host, std::string_view why) {
  return {424, "UNAVAILABLE",
          fmt::format("{} cannot be reached from this machine: {}. Push the image here instead (skopeo copy … "
                      "docker://<this registry>/<team>/<name>), "
                      "or name a mirror in the ConfigMap library/upstreams",
                      host, why)};
}

}  // namespace

base::Result<Challenge> parse_challenge(std::string_view text) {
  text = base::trim(text);
  if (text.size() < 7 || !base::iequals(text.substr(0, 7), "Bearer ")) {
    return fail(ErrorCode::kInvalid, "it asks for credentials other than a token");
  }
  text.remove_prefix(7);
  Challenge out;
  while (!(text = base::trim(text)).empty()) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos || equals + 1 >= text.size() || text[equals + 1] != '"') break;
    const auto name = base::lower(base::trim(text.substr(0, equals)));
    const auto close = text.find('"', equals + 2);
    if (close == std::string_view::npos) break;
    const auto value = std::string(text.substr(equals + 2, close - equals - 2));
    if (name == "realm") out.realm = value;
    if (name == "service") out.service = value;
    if (name == "scope") out.scope = value;
    text.remove_prefix(close + 1);
    if (text.starts_with(',')) text.remove_prefix(1);
  }
  if (out.realm.empty()) return fail(ErrorCode::kInvalid, "its token challenge has no realm");
  return out;
}

base::Result<Url> Url::parse(std::string_view text) {
  const auto parsed = boost::urls::parse_uri(text);
  if (!parsed) return fail(ErrorCode::kInvalid, "not a URL");
  Url out;
  const std::string scheme = base::lower(std::string_view(parsed->scheme()));
  const std::string host = parsed->host();
  out.secure = scheme == "https";
  out.loopback = host == "localhost" || host == "[::1]" ||
                 (parsed->host_type() == boost::urls::host_type::ipv4 && parsed->host_ipv4_address().is_loopback());
  if ((scheme != "https" && scheme != "http") || host.empty())
    return fail(ErrorCode::kInvalid, "not an http or https URL");
  if (!out.secure && !out.loopback)
    return fail(ErrorCode::kInvalid, "plain http is for this machine's own addresses only: use https");
  out.origin = scheme + "://" + std::string(std::string_view(parsed->encoded_host_and_port()));
  out.target = std::string(std::string_view(parsed->encoded_target()));
  if (!out.target.starts_with('/')) out.target.insert(0, "/");
  return out;
}

Upstreams::Upstreams(std::shared_ptr<Registry> registry, std::shared_ptr<Uploads> uploads, async::TaskGroup& tasks,
                     Configured configured)
    : registry_(std::move(registry)), uploads_(std::move(uploads)), tasks_(tasks), configured_(std::move(configured)) {}

base::Result<Upstreams::Source> Upstreams::source(std::string_view repository) const {
  const auto [name, path] = split_repository(repository);
  std::string address;
  const auto configured = configured_();
  if (const auto at = configured.find(name); at != configured.end()) {
    address = at->second;
  } else {
    for (const auto& [known, url] : platform::kPublicRegistries) {
      if (known == name) address = url;
    }
  }
  if (address.empty() || path.empty()) {
    return fail(
        ErrorCode::kNotFound,
        fmt::format("{} is not a registry this platform caches; an admin can add it to the ConfigMap library/upstreams",
                    name));
  }
  auto url = Url::parse(address);
  if (!url)
    return fail(ErrorCode::kInvalid, fmt::format("ConfigMap library/upstreams: {}: {}", name, url.error().message));
  return Source{name, path, *std::move(url)};
}

async::Task<> Upstreams::fly(Upstreams* self, std::string key, std::shared_ptr<Flight> flight,
                             std::shared_ptr<async::Task<>> work) {
  struct End {
    Upstreams* self;
    std::string key;
    Flight& flight;
    ~End() {
      flight.finished = true;
      self->flights_.erase(key);
      flight.ended.notify_all();
    }
  } end{self, std::move(key), *flight};
  flight->error = RegistryError(503, "UNAVAILABLE", "the fetch was interrupted");
  try {
    co_await std::move(*work);
    flight->error.reset();
  } catch (const RegistryError& error) {
    flight->error = error;
  } catch (const base::StatusError& error) {
    flight->error = RegistryError(503, "UNAVAILABLE", error.message());
  }
}

async::Task<> Upstreams::share(std::string key, async::Task<> work) {
  auto& slot = flights_[key];
  if (!slot) {
    slot = std::make_shared<Flight>(registry_->runtime().executor());
    tasks_.spawn("fetch " + key, fly(this, key, slot, std::make_shared<async::Task<>>(std::move(work))));
  }
  const auto flight = slot;
  while (!flight->finished) co_await flight->ended.wait();
  if (flight->error) throw *flight->error;
}

async::Task<> Upstreams::ensure_manifest(std::string repository, std::string reference) {
  const auto here = registry_->index().manifest(repository, reference);
  const bool by_digest = reference.find(':') != std::string::npos;
  if (here) {
    if (by_digest) co_return;
    const auto& tag = registry_->index().find(repository)->tags.find(reference)->second;
    if (registry_->now_seconds() - tag.updated < kFresh.count()) co_return;
  }
  try {
    co_await share(repository + " " + reference, fetch_manifest(repository, reference));
  } catch (const RegistryError& error) {
    // What is here is better than nothing while the other side is away; but gone there is gone here.
    if (!here || error.status() == 404) throw;
  }
}

async::Task<> Upstreams::ensure_blob(std::string repository, std::string digest) {
  if (registry_->index().blob(repository, digest) != nullptr) co_return;
  const auto* found = registry_->index().find(repository);
  const auto refers = [&](const auto& item) {
    return std::ranges::find(item.second->blobs, digest) != item.second->blobs.end();
  };
  if (found == nullptr || !std::ranges::any_of(found->manifests, refers)) co_return;
  co_await share(repository + " " + digest, fetch_blob(repository, digest));
}

async::Task<> Upstreams::fetch_manifest(std::string repository, std::string reference) {
  auto from = source(repository);
  if (!from) throw registry_error(from.error());
  auto response = co_await get(*from, fmt::format("/v2/{}/manifests/{}", from->path, reference), kManifestTypes);
  if (response.status == 404) {
    throw RegistryError(404, "MANIFEST_UNKNOWN", fmt::format("{} has no {} in {}", from->name, reference, from->path));
  }
  if (response.status != 200)
    throw unreachable(from->name, fmt::format("it answered {} to the manifest's request", response.status));
  auto bytes = co_await response.body->read_all(kMaxManifestBytes);
  co_await registry_->put_manifest(repository, reference, std::string(response.headers.get("Content-Type")),
                                   std::move(bytes), true);
}

async::Task<> Upstreams::fetch_blob(std::string repository, std::string digest) {
  auto from = source(repository);
  if (!from) throw registry_error(from.error());
  auto response = co_await get(*from, fmt::format("/v2/{}/blobs/{}", from->path, digest), {});
  if (response.status != 200)
    throw unreachable(from->name, fmt::format("it answered {} to the request for blob {}", response.status, digest));
  auto use = co_await uploads_->begin(repository, "system:mainstay:artifacts");
  std::exception_ptr failure;
  try {
    co_await uploads_->receive(use, response.body);
    co_await uploads_->finish(use, digest);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await uploads_->abort(use);
    std::rethrow_exception(failure);
  }
}

async::Task<net::ClientResponse> Upstreams::get(Source from, std::string target, std::vector<std::string> accept) {
  Url url = from.url;
  url.target = (url.target == "/" ? "" : url.target) + target;
  const std::string key = from.url.origin + " " + from.path;
  bool authorized_host = true, asked = false;
  for (int step = 0; step <= kMaxRedirects;) {
    net::ClientRequest request{.target = url.target};
    for (const auto& type : accept) request.headers.add("Accept", type);
    const auto held = tokens_.find(key);
    if (authorized_host && held != tokens_.end() && std::chrono::steady_clock::now() < held->second.until) {
      request.headers.set("Authorization", "Bearer " + held->second.text);
    }
    auto response = co_await send(url, std::move(request));
    if (response.status == 401 && authorized_host && !asked) {
      asked = true;
      auto challenge = parse_challenge(response.headers.get("WWW-Authenticate"));
      if (!challenge) throw unreachable(from.name, challenge.error().message);
      co_await token(from, *std::move(challenge));
      continue;
    }
    if (response.status == 401 || response.status == 403) {
      throw RegistryError(
          404, "MANIFEST_UNKNOWN",
          fmt::format("{} does not let anonymous clients read {}, or it does not exist", from.name, from.path));
    }
    if (response.status < 300 || response.status >= 400) co_return response;
    auto location = std::string(response.headers.get("Location"));
    if (location.starts_with('/')) location.insert(0, url.origin);
    auto next = Url::parse(location);
    if (!next) throw unreachable(from.name, "it redirects to what is " + next.error().message);
    // Its own storage may be elsewhere; our token is not for there. A public registry has no business on this machine.
    if (next->loopback && !from.url.loopback) throw unreachable(from.name, "it redirects to this machine");
    authorized_host = authorized_host && next->origin == url.origin;
    url = *std::move(next);
    ++step;
  }
  throw unreachable(from.name, "it redirects in circles");
}

async::Task<std::string> Upstreams::token(Source from, Challenge challenge) {
  auto url = Url::parse(challenge.realm);
  if (!url || (url->loopback && !from.url.loopback))
    throw unreachable(from.name, "its token endpoint is not an https URL");
  const std::string scope = challenge.scope.empty() ? fmt::format("repository:{}:pull", from.path) : challenge.scope;
  url->target += url->target.find('?') == std::string::npos ? "?" : "&";
  url->target +=
      fmt::format("service={}&scope={}", base::percent_encode(challenge.service), base::percent_encode(scope));
  auto response = co_await send(*url, net::ClientRequest{.target = url->target});
  const auto body = co_await response.body->read_all(kMaxTokenBytes);
  const auto value = base::parse_json(body, 8);
  std::string text = value ? base::get_string(*value, "token", base::get_string(*value, "access_token")) : "";
  if (response.status != 200 || text.empty()) {
    throw unreachable(from.name, fmt::format("its token endpoint {} answered {}", url->origin, response.status));
  }
  const auto lifetime =
      std::chrono::seconds(std::clamp<std::int64_t>(base::get_int(*value, "expires_in", 60), 10, 3600));
  if (tokens_.size() >= kMaxTokens) tokens_.clear();
  tokens_[from.url.origin + " " + from.path] = {text,
                                                std::chrono::steady_clock::now() + lifetime - std::chrono::seconds(5)};
  co_return text;
}

async::Task<net::ClientResponse> Upstreams::send(Url url, net::ClientRequest request) {
  request.headers.set("User-Agent", "mainstay");
  auto connection = co_await client(url.origin);
  auto response = co_await connection->send(std::move(request));
  if (!response) throw unreachable(url.origin, response.error().message);
  co_return *std::move(response);
}

async::Task<std::shared_ptr<net::Client>> Upstreams::client(std::string origin) {
  if (const auto at = clients_.find(origin); at != clients_.end()) co_return at->second;
  auto made = net::Client::create(registry_->runtime().executor(), origin);
  if (!made) throw unreachable(origin, made.error().message);
  if (clients_.size() >= kMaxClients) clients_.clear();
  clients_[origin] = *made;
  co_return *made;
}

}  // namespace mainstay::artifacts
