#include "capabilities/cloud/resources/redis_driver.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "async/process.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/cloud/resources/claim_meter.h"
#include "capabilities/cloud/resources/redis_backup.h"
#include "capabilities/cloud/resources/unprivileged.h"
#include "crypto/digest.h"
#include "net/client.h"

namespace mainstay::cloud {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
namespace {

constexpr const char* kUser = "redis";
constexpr const char* kProgram = "/usr/bin/redis-server";
constexpr std::int64_t kDefaultMemory = 64, kMostMemory = 1024;  // MiB
constexpr std::uint16_t kFirstPort = platform::kFirstResourcePort + 40;

std::string credential(const platform::ClaimRequest& claim, const std::string& key) {
  const auto at = claim.credentials.find(key);
  return at == claim.credentials.end() ? "" : at->second;
}

// The claim's place in the set for as long as this lives.
struct Busy {
  std::set<std::string>& all;
  std::string id;
  ~Busy() { all.erase(id); }
};

std::unexpected<base::Error> busy() {
  return fail(ErrorCode::kConflict, "a backup or restore of this Redis is under way; wait for its end");
}

}  // namespace

std::string redis_configuration(const std::string& address, std::uint16_t port, const std::string& password_sha256,
                                std::int64_t memory) {
  // What reaches beyond the data (configuration, modules, the server's end, other users) is nobody's; nor are
  // connections from here to anywhere, which no network policy would stop.
  return fmt::format(
      "bind {}\nport {}\nprotected-mode yes\ndaemonize no\nsupervised no\nlogfile \"\"\nloglevel warning\n"
      "pidfile /mnt/server.pid\ndir /mnt/data\ndbfilename dump.rdb\nappendonly yes\nappendfsync everysec\nmaxmemory "
      "{}mb\n"
      "maxmemory-policy noeviction\nmaxclients 500\ndatabases 1\n"
      "user default on #{} ~* &* +@all -@admin -config -module -debug -shutdown -replicaof -migrate -acl -cluster "
      "+acl|whoami\n",
      address, port, memory, password_sha256);
}

fs::path RedisDriver::folder(const std::string& id) const { return host_.config().dir("redis") / id; }

std::string RedisDriver::address() const {
  return host_.config().compute ? host_.config().node_address() : "127.0.0.1";
}

// Kept for as long as the data is. Blocking.
base::Result<std::uint16_t> RedisDriver::port_of(const std::string& id) const {
  const fs::path file = folder(id) / "port";
  std::uint16_t port = 0;
  if (const auto kept = base::read_file(file, 16)) {
    std::from_chars(kept->data(), kept->data() + kept->size(), port);
    if (port != 0) return port;
  }
  std::set<std::uint16_t> taken;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(host_.config().dir("redis"), ignored))
    if (const auto other = base::read_file(entry.path() / "port", 16)) {
      std::uint16_t theirs = 0;
      std::from_chars(other->data(), other->data() + other->size(), theirs);
      taken.insert(theirs);
    }
  for (std::uint16_t from = kFirstPort; port == 0; ++from) {
    MAINSTAY_TRY(const auto free, free_port(address(), from, platform::kLastResourcePort));
    if (!taken.contains(free)) port = free;
    from = free;
  }
  MAINSTAY_TRY_VOID(base::write_file(file, std::to_string(port), 0600));
  return port;
}

async::Task<bool> RedisDriver::answers(std::shared_ptr<RedisDriver> self, std::uint16_t port) {
  co_return co_await net::tcp_probe(self->address(), port, std::chrono::milliseconds(500));
}

platform::EngineOptions RedisDriver::engine_options(const std::string& id, Instance& instance) {
  platform::EngineOptions o;
  o.name = "redis-" + id;
  o.argv = as_user(kUser, folder(id), {kProgram, "/mnt/redis.conf"});
  o.memory_limit_bytes = static_cast<std::uint64_t>(kMostMemory * 2) << 20;
  o.detached = true;
  o.start_limit = std::chrono::minutes(1);
  o.ready = [self = this, &instance](pid_t) { return answers(self->shared_from_this(), instance.port); };
  // By its own word: surer than our file, which a crash can leave behind by one.
  o.find_running = [self = this, id] { return find_running(self->shared_from_this(), id); };
  return o;
}

async::Task<pid_t> RedisDriver::find_running(std::shared_ptr<RedisDriver> self, std::string id) {
  co_return co_await self->host_.runtime().blocking([where = self->folder(id)]() -> pid_t {
    const auto text = base::read_file(where / "server.pid", 64);
    if (!text) return 0;
    pid_t pid = 0;
    std::from_chars(text->data(), text->data() + text->size(), pid);
    const auto name = base::read_file(fmt::format("/proc/{}/comm", pid), 64);
    return pid > 0 && name && base::trim(*name) == "redis-server" && runs_in(pid, where) ? pid : 0;
  });
}

async::Task<base::Result<platform::Provisioned>> RedisDriver::provision(platform::ClaimRequest claim) {
  const auto self = shared_from_this();
  if (::geteuid() != 0)
    co_return fail(ErrorCode::kUnavailable, "Redis runs as a user of its own, which needs Mainstay to be root");
  MAINSTAY_CO_TRY_VOID(platform::check_params(claim, {"memoryMiB"}));
  std::int64_t memory = kDefaultMemory;
  for (const boost::json::object* from : {&claim.parameters, &claim.params})
    if (const auto* wanted = from->if_contains("memoryMiB")) {
      if (!wanted->is_int64() || wanted->as_int64() < 8 || wanted->as_int64() > kMostMemory)
        co_return fail(ErrorCode::kInvalid, fmt::format("params.memoryMiB must be a number from 8 to {}", kMostMemory));
      memory = wanted->as_int64();
    }
  // From before anything is written: what is configured is what was started. A restore has the engine in its hands;
  // none begins while it is changed here.
  if (!self->busy_.insert(claim.id).second) co_return fail(ErrorCode::kUnavailable, "a backup or restore is under way");
  const Busy mark{self->busy_, claim.id};
  std::string password = credential(claim, "password");
  if (password.size() < 16 || password.size() > 128) password = base::random_hex(24);
  auto& slot = self->instances_[claim.id];
  if (!slot) slot = std::make_shared<Instance>();
  const auto instance = slot;
  const std::string hash = crypto::sha256_hex(password);
  const bool first = !instance->engine, runs = first && co_await find_running(self, claim.id) != 0;
  auto prepared = co_await self->host_.runtime().blocking(
      [self, id = claim.id, hash, memory, first, runs]() -> base::Result<std::pair<std::uint16_t, bool>> {
        std::error_code ignored;
        if (!fs::exists(kProgram, ignored))
          return fail(ErrorCode::kUnavailable, "there is no Redis server here: apt-get install redis-server");
        MAINSTAY_TRY_VOID(base::make_directories(self->host_.config().dir("redis"), 0700));
        for (const char* child : {"", "data"})
          MAINSTAY_TRY_VOID(make_folder_for(self->folder(id) / child, kUser, "redis-server"));
        // A restore that was killed in the middle: what a server runs from is good. Restores of this process need an
        // engine, so that none is under way here.
        if (first) settle_redis_data(self->folder(id) / "data", runs);
        MAINSTAY_TRY(const auto port, self->port_of(id));
        const fs::path file = self->folder(id) / "redis.conf";
        const std::string text = redis_configuration(self->address(), port, hash, memory);
        const auto present = base::read_file(file, 1u << 16);
        if (present && *present == text) return std::pair{port, false};
        MAINSTAY_TRY_VOID(base::write_file(file, text, 0600));
        MAINSTAY_TRY_VOID(give_to(file, kUser));
        return std::pair{port, true};
      });
  if (!prepared) co_return std::unexpected(prepared.error());
  instance->port = prepared->first;
  const bool known = instance->engine != nullptr;
  if (!known) MAINSTAY_CO_TRY_VOID(co_await self->start_anew(claim.id, instance));
  if (prepared->second && (known || instance->engine->adopted())) {
    // Another password or size, or one that an earlier Mainstay started with less to it: it is started with it.
    co_await instance->engine->terminate();
    MAINSTAY_CO_TRY_VOID(co_await self->start_anew(claim.id, instance));
  }
  if (!instance->engine->running()) co_return fail(ErrorCode::kUnavailable, instance->engine->health().message);
  platform::Provisioned out;
  const std::string port = std::to_string(instance->port);
  out.outputs = {{"host", self->address()}, {"port", port}, {"username", "default"}};
  out.secrets = {{"password", password},
                 {"uri", fmt::format("redis://default:{}@{}:{}", password, self->address(), port)}};
  co_return out;
}

std::map<std::string, double> redis_figures(std::string_view info) {
  static constexpr std::pair<std::string_view, const char*> kFields[] = {
      {"used_memory:", "memory_bytes"},
      {"maxmemory:", "memory_limit_bytes"},
      {"connected_clients:", "connections"},
      {"total_commands_processed:", "commands_total"},
      {"db0:keys=", "keys"}};
  std::map<std::string, double> out;
  const auto number = [](std::string_view text) {
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  for (std::size_t at = 0; at < info.size();) {
    const std::size_t end = std::min(info.find('\n', at), info.size());
    const std::string_view line = info.substr(at, end - at);
    for (const auto& [prefix, name] : kFields)
      if (line.starts_with(prefix)) out[name] = number(line.substr(prefix.size()));
    at = end + 1;
  }
  // A server without a key has no line for its database.
  if (out.contains("memory_bytes")) out.emplace("keys", 0);
  return out;
}

async::Task<base::Result<std::map<std::string, double>>> RedisDriver::measure(platform::ClaimRequest claim) {
  const auto self = shared_from_this();
  const auto at = self->instances_.find(claim.id);
  if (at == self->instances_.end() || !at->second->engine || !at->second->engine->running())
    co_return fail(ErrorCode::kUnavailable, "its Redis does not run");
  async::ProcessOptions options;
  options.argv = {"/usr/bin/redis-cli", "-h",  self->address(), "-p", std::to_string(at->second->port),
                  "--no-auth-warning",  "INFO"};
  options.env = {{"REDISCLI_AUTH", credential(claim, "password")}, {"HOME", "/nonexistent"}};
  auto done = co_await async::run_process(std::move(options), "", std::chrono::seconds(10));
  if (!done) co_return std::unexpected(done.error());
  std::map<std::string, double> out = redis_figures(done->out);
  if (out.empty()) co_return fail(ErrorCode::kUnavailable, "its Redis does not answer");
  out["size_bytes"] = static_cast<double>(co_await self->host_.runtime().blocking(
      [where = self->folder(claim.id) / "data"] { return bytes_below(where); }));
  co_return out;
}

async::Task<base::Result<>> RedisDriver::release(platform::ClaimRequest claim, bool keep) {
  const auto self = shared_from_this();
  if (self->busy_.contains(claim.id)) co_return fail(ErrorCode::kUnavailable, "a backup or restore is under way");
  const auto at = self->instances_.find(claim.id);
  auto instance = at == self->instances_.end() ? std::make_shared<Instance>() : at->second;
  if (!instance->engine) {
    // One of an earlier Mainstay, which may still run.
    const fs::path where = self->folder(claim.id);
    auto port = co_await self->host_.runtime().blocking([self, where, id = claim.id]() -> base::Result<std::uint16_t> {
      std::error_code ignored;
      if (!fs::exists(where, ignored)) return static_cast<std::uint16_t>(0);
      return self->port_of(id);
    });
    if (!port) co_return std::unexpected(port.error());
    if (*port == 0) co_return base::Result<>{};
    instance->port = *port;
    instance->engine = std::make_unique<platform::Engine>(self->host_, self->engine_options(claim.id, *instance));
    MAINSTAY_CO_TRY_VOID(co_await instance->engine->start());
  }
  co_await instance->engine->terminate();
  self->instances_.erase(claim.id);
  if (keep) co_return base::Result<>{};
  co_await self->host_.runtime().blocking([where = self->folder(claim.id), copies = self->backup_folder(claim.id)] {
    std::error_code ignored;
    fs::remove_all(where, ignored);
    fs::remove_all(copies, ignored);
  });
  co_return base::Result<>{};
}

fs::path RedisDriver::backup_folder(const std::string& id) const {
  return host_.config().dir("backups") / "redis" / id;
}

async::Task<base::Result<platform::ResourceBackup>> RedisDriver::backup(platform::ClaimRequest claim) {
  const auto self = shared_from_this();
  if (!self->busy_.insert(claim.id).second) co_return busy();
  const Busy mark{self->busy_, claim.id};
  std::string name = base::rfc3339(self->host_.clock().now());
  std::erase_if(name, [](char c) { return c == '-' || c == ':'; });
  co_return co_await self->host_.runtime().blocking([data = self->folder(claim.id) / "data",
                                                     to = self->backup_folder(claim.id),
                                                     name] { return copy_redis(data, to, name); });
}

// An engine that was ended is not begun again: another takes its place.
async::Task<base::Result<>> RedisDriver::start_anew(std::string id, std::shared_ptr<Instance> instance) {
  const auto self = shared_from_this();
  instance->engine = std::make_unique<platform::Engine>(self->host_, self->engine_options(id, *instance));
  co_return co_await instance->engine->start();
}

async::Task<base::Result<>> RedisDriver::restore(platform::ClaimRequest claim, std::string backup) {
  const auto self = shared_from_this();
  const auto known = co_await self->backups(claim);
  if (std::ranges::find(known, backup, &platform::ResourceBackup::name) == known.end())
    co_return fail(ErrorCode::kNotFound,
                   fmt::format("there is no backup {}; see status.backups", backup.substr(0, 60)));
  const auto at = self->instances_.find(claim.id);
  if (at == self->instances_.end() || !at->second->engine)
    co_return fail(ErrorCode::kUnavailable, "its Redis does not run yet; try again in a moment");
  if (!self->busy_.insert(claim.id).second) co_return busy();
  const Busy mark{self->busy_, claim.id};
  const auto instance = at->second;
  const fs::path data = self->folder(claim.id) / "data", copy = self->backup_folder(claim.id) / backup;
  co_await instance->engine->terminate();
  base::Result<> done =
      co_await self->host_.runtime().blocking([copy, data] { return place_redis_copy(copy, data, kUser); });
  if (done) done = co_await self->start_anew(claim.id, instance);
  const bool good = done && instance->engine->running();
  if (!good) co_await instance->engine->terminate();
  co_await self->host_.runtime().blocking([data, good] { settle_redis_data(data, good); });
  if (good) co_return base::Result<>{};
  const auto again = co_await self->start_anew(claim.id, instance);
  co_return fail(ErrorCode::kUnavailable, fmt::format("the backup could not be put in place ({}); {}",
                                                      done ? "Redis does not start from it" : done.error().message,
                                                      again ? "the data is as it was" : again.error().message));
}

async::Task<std::vector<platform::ResourceBackup>> RedisDriver::backups(platform::ClaimRequest claim) {
  co_return co_await host_.runtime().blocking([from = backup_folder(claim.id)] { return list_redis_copies(from); });
}

platform::Health RedisDriver::health() const {
  for (const auto& [id, instance] : instances_)
    if (instance->engine && !instance->engine->running()) return instance->engine->health();
  return {true, ""};
}

async::Task<> RedisDriver::stop() {
  const auto self = shared_from_this();
  for (const auto& [id, instance] : self->instances_)
    if (instance->engine) co_await instance->engine->stop();
}

}  // namespace mainstay::cloud
