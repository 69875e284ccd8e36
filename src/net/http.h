// HTTP messages as the rest of the program sees them: no Beast type in sight.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "async/task.h"
#include "base/json.h"
#include "base/result.h"

namespace mainstay::net {

// In order, names compared without case.
class Headers {
 public:
  std::string_view get(std::string_view name) const;  // the first; "" where missing
  bool has(std::string_view name) const;
  void set(std::string_view name, std::string value);  // replaces all of that name
  void add(std::string_view name, std::string value);
  void erase(std::string_view name);
  const std::vector<std::pair<std::string, std::string>>& all() const { return items_; }

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

// The query string, percent-decoded.
class Query {
 public:
  static base::Result<Query> parse(std::string_view text);
  std::string_view get(std::string_view name) const;  // the first; "" where missing
  bool has(std::string_view name) const;
  std::vector<std::string> all_of(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return items_; }

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

// The body of a request or of a response as it arrives.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // At least one byte into `buffer`, or 0 at the end. Throws StatusError(400) where the peer breaks off.
  virtual async::Task<std::size_t> read(std::span<char> buffer) = 0;
  // As the message declares it, where it does.
  virtual std::optional<std::uint64_t> length() const { return std::nullopt; }
  // Everything; throws StatusError 413 past `max` bytes.
  async::Task<std::string> read_all(std::size_t max);
};
std::shared_ptr<BodyReader> body_from_string(std::string text);

struct Request {
  std::string method = "GET";
  std::string path = "/";  // percent-decoded, normalised: no `.`/`..` segments, no empty ones, no NUL
  std::string raw_target;  // as received
  Query query;
  Headers headers;
  std::shared_ptr<BodyReader> body;  // never null on the server
  std::string peer;                  // "127.0.0.1:40312", "in-process"
  bool secure = true;
  std::string client_certificate;  // PEM, where the client showed one that our CA verifies
};

// What a streaming response writes through. write() suspends while the peer is slow; throws Cancelled when it has gone.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  virtual async::Task<> write(std::string_view data) = 0;
};

// A WebSocket connection (RFC 6455). One reader and one writer at a time.
class WebSocket {
 public:
  struct Message {
    bool binary = false;
    std::string data;
  };
  virtual ~WebSocket() = default;
  virtual const std::string& subprotocol() const = 0;
  virtual async::Task<std::optional<Message>> read() = 0;  // nullopt: closed
  virtual async::Task<> write(Message message) = 0;
  virtual async::Task<> close(std::uint16_t code, std::string reason) = 0;
};

struct FileBody {
  std::filesystem::path path;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
struct StreamBody {
  std::function<async::Task<>(BodyWriter&)> write;  // the writer outlives the call; chunked unless `length` is known
  std::optional<std::uint64_t> length;
};
struct WebSocketBody {
  std::vector<std::string> subprotocols;  // ours, best first
  std::function<async::Task<>(WebSocket&)> serve;
};
using Body =
    std::variant<std::monostate, std::string, std::shared_ptr<const std::string>, FileBody, StreamBody, WebSocketBody>;

struct Response {
  int status = 200;
  Headers headers;
  Body body;

  static Response text(int status, std::string body);
  static Response json(int status, const base::json::value& body);
  static Response json_bytes(int status, std::shared_ptr<const std::string> body);
  static Response empty(int status) { return Response{status, {}, {}}; }
};

using Handler = std::function<async::Task<Response>(std::shared_ptr<Request>)>;

}  // namespace mainstay::net
