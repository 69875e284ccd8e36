// A local copy of one resource, kept by list and watch: what reconcilers read. On the loop.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"

namespace mainstay::client {

using ObjectPtr = std::shared_ptr<const json::value>;

class Cache {
 public:
  Cache(async::Executor executor, ApiClient client, Resource resource);
  ~Cache();
  // Lists, watches, and starts over with jittered back-off (0.1 s doubling to 30 s), until cancelled. Once.
  async::Task<> run();
  async::Task<> synced() const;  // waits for the first list
  bool has_synced() const;
  ObjectPtr get(std::string_view ns, std::string_view name) const;  // null where missing
  std::vector<ObjectPtr> list(std::string_view ns = "") const;      // "" : all namespaces
  // Called for every change, and for every object at (re)list: (old or null, new or null). A handler added after the
  // first list is told of every object at once. An exception leaving it is logged and otherwise ignored.
  void on_change(std::function<void(const ObjectPtr& before, const ObjectPtr& after)> handler);
  // Forgets every handler.
  void drop_handlers();
  // Waits until the copy is at least at this resourceVersion (read your writes): one of an object of this resource,
  // since others become known with the next bookmark only. A version that is no number (a foreign cluster's) does not
  // wait.
  async::Task<> caught_up(std::string resource_version) const;
  const Resource& resource() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// One cache a resource, shared by all who ask. Owned by platform::Host.
class Caches {
 public:
  Caches(async::TaskGroup& group, ApiClient client);
  ~Caches();  // ends all notifications: a handler often holds its cache, and would keep itself alive
  Caches(const Caches&) = delete;
  std::shared_ptr<Cache> of(const Resource& resource);  // starts it at first use, or at release() where held
  // Between hold() and release() caches may be asked for but do not run: the server they ask is not there yet.
  void hold() { held_ = true; }
  void release();

 private:
  void start(const std::shared_ptr<Cache>& cache);

  bool held_ = false;
  async::TaskGroup& group_;
  ApiClient client_;
  std::map<Resource, std::shared_ptr<Cache>> caches_;
};

}  // namespace mainstay::client
