// The secrets of all teams: objects in the store, values sealed before they reach it. On the loop.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "capabilities/secrets/kv_entry.h"
#include "platform/host.h"

namespace mainstay::secrets {

class KvStore {
 public:
  explicit KvStore(platform::Host& host);
  async::Task<> synced() const { return entries_->synced(); }
  bool team_exists(const std::string& team) const;
  bool exists(const KvPath& path) const { return find(path) != nullptr; }
  client::ObjectPtr find(const KvPath& path) const;  // nullptr: none was ever written
  std::vector<std::string> paths(const std::string& team) const;
  std::vector<std::string> teams() const;

  // A version's value. kInvalid: damaged, or sealed under a key that is gone.
  base::Result<json::object> open(const KvPath& path, const json::value& version) const;
  struct Written {
    std::int64_t version = 0;
    json::value entry;
  };
  // Resumes when the version is durable and read by whoever asks next. Throws StatusError: 400 where check-and-set
  // fails, 404 where there is no such team, 507 where the team or the secret has no room.
  async::Task<Written> write(KvPath path, WriteBody body, std::string by);
  // Merges (RFC 7386) into the newest version; 404 where there is none to read.
  async::Task<Written> merge(KvPath path, WriteBody body, std::string by);
  // Changes what is there; 404 where nothing is, unless `create`.
  async::Task<> change(KvPath path, std::function<void(json::value&)> change, bool create = false);
  async::Task<> remove(KvPath path);  // all versions, for good; nothing there is fine
  // Wraps data keys under the newest master key; gives how many.
  async::Task<base::Result<std::size_t>> rewrap();

 private:
  using Edit = std::function<std::int64_t(json::value& entry)>;
  async::Task<Written> edit(KvPath path, bool create, Edit edit);
  std::string seal(const KvPath& path, std::int64_t version, const json::object& data) const;

  const crypto::Sealer& sealer_;
  const base::Clock& clock_;
  client::ApiClient client_;
  std::shared_ptr<client::Cache> entries_, namespaces_;
};

}  // namespace mainstay::secrets
