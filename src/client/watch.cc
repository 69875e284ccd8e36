// Watches over a transport's response: one JSON document a line.
#include "base/encoding.h"
#include "client/wire.h"

namespace mainstay::client {
namespace {

// A server ends its watches after some minutes at most, and sends a bookmark about every minute: silence for longer
// than this means that the peer has gone without a word.
constexpr std::chrono::minutes kSilenceLimit{12};

class LineWatch final : public WatchStream {
 public:
  explicit LineWatch(net::ClientResponse response) : response_(std::move(response)) {}

  async::Task<std::optional<WatchEvent>> next() override {
    while (true) {
      if (auto end = buffer_.find('\n', scanned_); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        scanned_ = 0;
        if (line.find_first_not_of(" \r\t") == std::string::npos) continue;
        co_return parse(line);
      }
      scanned_ = buffer_.size();
      if (buffer_.size() > kMaxWatchLineBytes) throw base::unavailable("a watch event is over 16 MiB long");
      if (!co_await fill()) co_return std::nullopt;
    }
  }

 private:
  // False at the end, also where the connection broke: the caller watches anew from what it has seen.
  async::Task<bool> fill() {
    try {
      auto got = co_await async::with_timeout(response_.body->read(std::span<char>(chunk_)), kSilenceLimit);
      if (!got || *got == 0) co_return false;
      buffer_.append(chunk_.data(), *got);
    } catch (const base::StatusError&) {
      co_return false;
    }
    co_return true;
  }

  static WatchEvent parse(const std::string& line) {
    auto value = base::parse_json(line, 128);
    if (!value) throw base::unavailable("a watch event is not JSON: " + value.error().message);
    std::string type = base::get_string(*value, "type");
    const json::value* object = base::find(*value, "object");
    if (!object) throw base::unavailable("a watch event has no object");
    if (type == "ERROR")
      throw base::StatusError::from_json(static_cast<int>(base::get_int(*object, "code", 500)), *object);
    return WatchEvent{std::move(type), std::make_shared<const json::value>(std::move(value->as_object()["object"]))};
  }

  net::ClientResponse response_;
  std::string buffer_;
  std::size_t scanned_ = 0;  // no line ends before here
  std::array<char, 16384> chunk_;
};

}  // namespace

std::string append_query(std::string target, std::string_view query) {
  if (query.empty()) return target;
  target += target.find('?') == std::string::npos ? '?' : '&';
  target += query;
  return target;
}

std::string list_query(const ListQuery& query) {
  std::string text;
  auto add = [&](std::string_view name, std::string_view value) {
    if (value.empty()) return;
    if (!text.empty()) text += '&';
    text += std::string(name) + "=" + base::percent_encode(value);
  };
  add("labelSelector", query.label_selector);
  add("fieldSelector", query.field_selector);
  if (query.limit > 0) add("limit", std::to_string(query.limit));
  add("continue", query.continue_token);
  return text;
}

async::Task<> throw_status(net::ClientResponse response) {
  std::string text = co_await response.body->read_all(1u << 20);
  auto value = base::parse_json(text, 128);
  throw base::StatusError::from_json(response.status, value ? *value : json::value(text));
}

std::unique_ptr<WatchStream> read_watch(net::ClientResponse response) {
  return std::make_unique<LineWatch>(std::move(response));
}

async::Task<std::unique_ptr<WatchStream>> ApiClient::watch(Resource resource, std::string ns,
                                                           std::string resource_version, ListQuery query) const {
  if (!transport_) throw base::unavailable("this client has no server: it was made without a transport");
  auto transport = transport_;
  if (auto shared = co_await transport->watch_objects(resource, ns, resource_version, query))
    co_return std::move(shared);
  query.limit = 0;
  query.continue_token.clear();
  net::ClientRequest request;
  // Ended by the server after five minutes: so a watch that a proxy has forgotten heals.
  request.target = append_query(path(resource, ns), "watch=true&allowWatchBookmarks=true&timeoutSeconds=300");
  if (!resource_version.empty())
    request.target = append_query(request.target, "resourceVersion=" + base::percent_encode(resource_version));
  request.target = append_query(request.target, list_query(query));
  request.headers.set("Accept", "application/json");
  request.headers.set("User-Agent", manager_ + "/mainstay");
  auto response = co_await raw(std::move(request));
  if (response.status >= 400) co_await throw_status(std::move(response));
  co_return read_watch(std::move(response));
}

}  // namespace mainstay::client
