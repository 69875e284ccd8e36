// When the metrics engine has read the platform's own figures. Charts that are looked at are drawn anew then: between
// two scrapes there is nothing new to show, and after one there is, so nobody has to ask again and again.
#pragma once
#include <memory>

#include "async/sync.h"
#include "platform/host.h"

namespace mainstay::observe {

// Owned by the routes and the exporter; on the loop.
class Scrapes {
 public:
  explicit Scrapes(async::Executor executor) : read_(executor) {}
  // The engine, by its certificate, has been given the containers' figures. Its other endpoints are read once an
  // interval as well, so that one of them stands for all.
  void note(const api::UserInfo& reader);
  // Suspends until the samples of the next scrape can be searched for.
  async::Task<> next();

 private:
  async::Event read_;
};

// GET /apis/mainstay.dev/v1/metrics/scrapes: a JSON line a scrape, until the reader goes away.
void add_scrapes_route(platform::Host& host, std::shared_ptr<Scrapes> scrapes);

}  // namespace mainstay::observe
