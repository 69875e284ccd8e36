#include "capabilities/observe/scrapes.h"

#include "capabilities/observe/metrics_engine.h"

namespace mainstay::observe {
namespace {
using ContextPtr = std::shared_ptr<api::RequestContext>;

// The engine finds a sample about a second after it took it in.
constexpr std::chrono::milliseconds kSearchable{1500};

async::Task<> tell(platform::Host* host, std::shared_ptr<Scrapes> scrapes, net::BodyWriter& out) {
  for (;;) {
    co_await scrapes->next();
    const boost::json::object line{{"time", base::rfc3339(host->clock().now())}};
    co_await out.write(boost::json::serialize(line) + "\n");
  }
}

async::Task<net::Response> follow(platform::Host* host, std::shared_ptr<Scrapes> scrapes) {
  net::Response response;
  response.headers.set("Content-Type", "application/x-ndjson");
  response.headers.set("Cache-Control", "no-store");
  response.body =
      net::StreamBody{[host, scrapes](net::BodyWriter& out) { return tell(host, scrapes, out); }, std::nullopt};
  co_return response;
}

}  // namespace

void Scrapes::note(const api::UserInfo& reader) {
  if (reader.name == MetricsEngine::kScraper) read_.notify_all();
}

async::Task<> Scrapes::next() {
  co_await read_.wait();
  co_await async::sleep_for(kSearchable);
}

void add_scrapes_route(platform::Host& host, std::shared_ptr<Scrapes> scrapes) {
  host.api().add_route({"GET", "/apis/mainstay.dev/v1/metrics/scrapes",
                        api::Authenticated{"tells that there are new figures, and none of them"},
                        "A JSON line each time the metrics engine has new figures, until the reader goes away",
                        [host = &host, scrapes](ContextPtr) { return follow(host, scrapes); }, nullptr});
}

}  // namespace mainstay::observe
