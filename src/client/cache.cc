#include "client/cache.h"

#include <random>

#include "async/sync.h"
#include "base/log.h"

namespace mainstay::client {
namespace {

using Place = std::pair<std::string, std::string>;  // (namespace, name)
using Handler = std::function<void(const ObjectPtr&, const ObjectPtr&)>;

constexpr std::chrono::milliseconds kFirstDelay{100};
constexpr std::chrono::milliseconds kLastDelay{30000};
constexpr std::size_t kYieldEvery = 500;

Place place_of(const json::value& object) {
  return {base::get_string(object, "metadata.namespace"), base::get_string(object, "metadata.name")};
}

std::int64_t number(std::string_view version) {
  std::int64_t n = 0;
  auto [end, error] = std::from_chars(version.data(), version.data() + version.size(), n);
  return error == std::errc() && end == version.data() + version.size() ? n : -1;
}

// Half to one and a half of the delay, so that many caches do not return to a reborn server at one moment.
std::chrono::milliseconds jittered(std::chrono::milliseconds delay) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::milliseconds(
      std::uniform_int_distribution<std::int64_t>(delay.count() / 2, delay.count() * 3 / 2)(random));
}

}  // namespace

struct Cache::Impl {
  Impl(async::Executor executor, ApiClient c, Resource r)
      : client(std::move(c)), resource(std::move(r)), changed(std::move(executor)) {}

  ApiClient client;
  Resource resource;
  std::map<Place, ObjectPtr> objects;
  std::vector<std::shared_ptr<const Handler>> handlers;
  std::string version;  // where the next watch starts; "" before a list
  bool synced = false;
  async::Event changed;

  void call(const Handler& handler, const ObjectPtr& before, const ObjectPtr& after) const {
    try {
      handler(before, after);
    } catch (const std::exception& e) {
      base::log::error("cache", "a handler of {} threw: {}", resource.plural, e.what());
    }
  }

  void tell(const ObjectPtr& before, const ObjectPtr& after) {
    for (std::size_t i = 0; i < handlers.size(); ++i) {  // by index: a handler may add another
      auto handler = handlers[i];
      call(*handler, before, after);
    }
  }

  void put(ObjectPtr object) {
    ObjectPtr& slot = objects[place_of(*object)];
    ObjectPtr before = std::exchange(slot, object);
    tell(before, object);
  }

  void drop(const Place& place) {
    auto found = objects.find(place);
    if (found == objects.end()) return;
    ObjectPtr before = std::move(found->second);
    objects.erase(found);
    tell(before, nullptr);
  }

  async::Task<> list_once() {
    ObjectList listed = co_await client.list_objects(resource, "");
    std::set<Place> present;
    std::size_t done = 0;
    for (auto& object : listed.items) {
      present.insert(place_of(*object));
      put(std::move(object));
      if (++done % kYieldEvery == 0) co_await async::yield();
    }
    std::vector<Place> missing;
    for (const auto& [place, object] : objects) {
      if (!present.contains(place)) missing.push_back(place);
    }
    for (const auto& place : missing) drop(place);
    version = listed.resource_version;
    synced = true;
    changed.notify_all();
  }

  // Until the server ends the watch.
  async::Task<> watch_once() {
    auto stream = co_await client.watch(resource, "", version);
    while (auto event = co_await stream->next()) {
      if (event->type == "ADDED" || event->type == "MODIFIED") {
        put(event->object);
      } else if (event->type == "DELETED") {
        drop(place_of(*event->object));
      }
      std::string seen = base::get_string(*event->object, "metadata.resourceVersion");
      if (!seen.empty()) version = std::move(seen);
      changed.notify_all();
    }
  }
};

Cache::Cache(async::Executor executor, ApiClient client, Resource resource)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(client), std::move(resource))) {}
Cache::~Cache() = default;

// Taken out first: a handler's end may be the end of what else holds the cache.
void Cache::drop_handlers() { const auto dropped = std::exchange(impl_->handlers, {}); }

async::Task<> Cache::run() {
  auto impl = impl_;
  auto delay = kFirstDelay;
  while (true) {
    const auto begun = std::chrono::steady_clock::now();
    std::string trouble;
    bool expired = false;
    try {
      if (impl->version.empty()) co_await impl->list_once();
      co_await impl->watch_once();
    } catch (const base::StatusError& e) {
      expired = e.is_gone();
      trouble = e.message();
    }
    if (expired) impl->version.clear();
    // A watch that held for a while is the ordinary case: go on at once.
    if (!expired && std::chrono::steady_clock::now() - begun > kFirstDelay * 10) {
      delay = kFirstDelay;
      if (trouble.empty()) continue;
    }
    if (!trouble.empty() && !expired) {
      const auto level = delay >= kLastDelay ? base::log::Level::kWarn : base::log::Level::kDebug;
      if (base::log::enabled(level)) {
        base::log::write(level, "cache", "watching " + impl->resource.plural + " failed, trying again: " + trouble);
      }
    }
    co_await async::sleep_for(jittered(delay));
    delay = std::min(delay * 2, kLastDelay);
  }
}

async::Task<> Cache::synced() const {
  auto impl = impl_;
  while (!impl->synced) co_await impl->changed.wait();
}

bool Cache::has_synced() const { return impl_->synced; }

ObjectPtr Cache::get(std::string_view ns, std::string_view name) const {
  auto found = impl_->objects.find(Place(ns, name));
  return found == impl_->objects.end() ? nullptr : found->second;
}

std::vector<ObjectPtr> Cache::list(std::string_view ns) const {
  std::vector<ObjectPtr> all;
  auto from = ns.empty() ? impl_->objects.begin() : impl_->objects.lower_bound(Place(ns, ""));
  for (auto it = from; it != impl_->objects.end() && (ns.empty() || it->first.first == ns); ++it)
    all.push_back(it->second);
  return all;
}

void Cache::on_change(std::function<void(const ObjectPtr& before, const ObjectPtr& after)> handler) {
  auto shared = std::make_shared<const Handler>(std::move(handler));
  impl_->handlers.push_back(shared);
  const auto now = impl_->objects;  // a copy of pointers: the handler may lead to changes
  for (const auto& [place, object] : now) impl_->call(*shared, nullptr, object);
}

async::Task<> Cache::caught_up(std::string resource_version) const {
  auto impl = impl_;
  const std::int64_t wanted = number(resource_version);
  while (wanted >= 0 && number(impl->version) < wanted) co_await impl->changed.wait();
}

const Resource& Cache::resource() const { return impl_->resource; }

Caches::Caches(async::TaskGroup& group, ApiClient client) : group_(group), client_(std::move(client)) {}

Caches::~Caches() {
  for (const auto& [resource, cache] : caches_) cache->drop_handlers();
}

namespace {
async::Task<> run_cache(std::shared_ptr<Cache> cache) { co_await cache->run(); }
}  // namespace

std::shared_ptr<Cache> Caches::of(const Resource& resource) {
  auto& slot = caches_[resource];
  if (!slot) {
    slot = std::make_shared<Cache>(group_.executor(), client_, resource);
    if (!held_) start(slot);
  }
  return slot;
}

void Caches::start(const std::shared_ptr<Cache>& cache) {
  group_.spawn("cache of " + cache->resource().plural, run_cache(cache));
}

void Caches::release() {
  if (!std::exchange(held_, false)) return;
  for (const auto& [resource, cache] : caches_) start(cache);
}

}  // namespace mainstay::client
