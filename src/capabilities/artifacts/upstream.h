// The pull-through cache: repositories named after another registry ("docker.io/library/debian") are fetched from it
// when they are first asked for, and kept. Which registries: well-known ones, and those of the ConfigMap
// library/upstreams (data: <name>: <url>). No other host is ever contacted, whatever a user asks for.
#pragma once
#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "capabilities/artifacts/uploads.h"
#include "net/client.h"

namespace mainstay::artifacts {

// A Bearer challenge (RFC 6750 3, as the distribution token specification uses it).
struct Challenge {
  std::string realm, service, scope;
};
base::Result<Challenge> parse_challenge(std::string_view www_authenticate);

struct Url {
  std::string origin, target;  // "https://auth.docker.io", "/token?…"
  bool loopback = false, secure = true;
  static base::Result<Url> parse(std::string_view text);
};

class Upstreams {
 public:
  // The configured ones now: name to URL. Read at each fetch, so a change is in effect at once.
  using Configured = std::function<std::map<std::string, std::string>()>;
  Upstreams(std::shared_ptr<Registry> registry, std::shared_ptr<Uploads> uploads, async::TaskGroup& tasks,
            Configured configured);

  // Sees to it that the manifest is here, and fresh where `reference` is a tag (compared every five minutes; an
  // unreachable upstream leaves what is here in use). Throws RegistryError saying which host failed and how.
  async::Task<> ensure_manifest(std::string repository, std::string reference);
  // Likewise a blob that a manifest here refers to.
  async::Task<> ensure_blob(std::string repository, std::string digest);

 private:
  struct Source {
    std::string name, path;
    Url url;
  };
  struct Token {
    std::string text;
    std::chrono::steady_clock::time_point until;
  };
  // One fetch that several requests wait for.
  struct Flight {
    explicit Flight(async::Executor executor) : ended(std::move(executor)) {}
    async::Event ended;
    bool finished = false;
    std::optional<RegistryError> error;
  };
  base::Result<Source> source(std::string_view repository) const;
  async::Task<> share(std::string key, async::Task<> work);
  static async::Task<> fly(Upstreams* self, std::string key, std::shared_ptr<Flight> flight,
                           std::shared_ptr<async::Task<>> work);
  async::Task<> fetch_manifest(std::string repository, std::string reference);
  async::Task<> fetch_blob(std::string repository, std::string digest);
  async::Task<net::ClientResponse> get(Source from, std::string target, std::vector<std::string> accept);
  async::Task<net::ClientResponse> send(Url url, net::ClientRequest request);
  async::Task<std::string> token(Source from, Challenge challenge);
  async::Task<std::shared_ptr<net::Client>> client(std::string origin);

  std::shared_ptr<Registry> registry_;
  std::shared_ptr<Uploads> uploads_;
  async::TaskGroup& tasks_;
  Configured configured_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;
  std::map<std::string, Token> tokens_;
  std::map<std::string, std::shared_ptr<net::Client>> clients_;
};

}  // namespace mainstay::artifacts
