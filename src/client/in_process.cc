#include "client/in_process.h"

#include <fcntl.h>
#include <unistd.h>

#include "api/verbs.h"
#include "api/watch_feed.h"
#include "async/sync.h"
#include "base/encoding.h"

namespace mainstay::client {
namespace {

constexpr std::size_t kFileChunk = 256 * 1024;
constexpr std::size_t kPipedChunks = 16;

class SharedStringBody final : public net::BodyReader {
 public:
  explicit SharedStringBody(std::shared_ptr<const std::string> text) : text_(std::move(text)) {}
  async::Task<std::size_t> read(std::span<char> buffer) override {
    const std::size_t n = std::min(buffer.size(), text_->size() - offset_);
    std::copy_n(text_->data() + offset_, n, buffer.data());
    offset_ += n;
    co_return n;
  }
  std::optional<std::uint64_t> length() const override { return text_->size(); }

 private:
  std::shared_ptr<const std::string> text_;
  std::size_t offset_ = 0;
};

class FileReader final : public net::BodyReader {
 public:
  FileReader(async::Runtime& runtime, net::FileBody file) : runtime_(runtime), file_(std::move(file)) {}
  async::Task<std::size_t> read(std::span<char> buffer) override {
    const std::size_t wanted = std::min({buffer.size(), kFileChunk, static_cast<std::size_t>(file_.length - done_)});
    if (wanted == 0) co_return 0;
    std::string chunk = co_await runtime_.blocking([path = file_.path, at = file_.offset + done_, wanted] {
      std::string bytes(wanted, '\0');
      const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      const ssize_t got = fd < 0 ? -1 : ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
      if (fd >= 0) ::close(fd);
      bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
      return bytes;
    });
    if (chunk.empty()) throw base::bad_request("the file being read was cut short");
    std::copy(chunk.begin(), chunk.end(), buffer.data());
    done_ += chunk.size();
    co_return chunk.size();
  }
  std::optional<std::uint64_t> length() const override { return file_.length; }

 private:
  async::Runtime& runtime_;
  net::FileBody file_;
  std::uint64_t done_ = 0;
};

// A streamed body, between the coroutine that writes it (in the server's group of streams) and our reader.
struct Pipe {
  explicit Pipe(async::Executor executor) : chunks(std::move(executor), kPipedChunks) {}
  async::Channel<std::string> chunks;
  bool broken = false;  // the writer failed
};

class PipeWriter final : public net::BodyWriter {
 public:
  explicit PipeWriter(std::shared_ptr<Pipe> pipe) : pipe_(std::move(pipe)) {}
  async::Task<> write(std::string_view data) override {
    if (!co_await pipe_->chunks.push(std::string(data))) throw async::Cancelled();  // the reader has gone
  }

 private:
  std::shared_ptr<Pipe> pipe_;
};

class PipeReader final : public net::BodyReader {
 public:
  PipeReader(std::shared_ptr<Pipe> pipe, std::optional<std::uint64_t> length)
      : pipe_(std::move(pipe)), length_(length) {}
  ~PipeReader() override { pipe_->chunks.close(); }
  async::Task<std::size_t> read(std::span<char> buffer) override {
    while (at_ == chunk_.size()) {
      auto next = co_await pipe_->chunks.pop();
      if (!next) {
        if (pipe_->broken) throw base::bad_request("the response broke off");
        co_return 0;
      }
      chunk_ = std::move(*next);
      at_ = 0;
    }
    const std::size_t n = std::min(buffer.size(), chunk_.size() - at_);
    std::copy_n(chunk_.data() + at_, n, buffer.data());
    at_ += n;
    co_return n;
  }
  std::optional<std::uint64_t> length() const override { return length_; }

 private:
  std::shared_ptr<Pipe> pipe_;
  std::optional<std::uint64_t> length_;
  std::string chunk_;
  std::size_t at_ = 0;
};

// Closes the pipe however the writing ends, cancellation included.
struct PipeCloser {
  std::shared_ptr<Pipe> pipe;
  ~PipeCloser() { pipe->chunks.close(); }
};

async::Task<> pump(std::shared_ptr<Pipe> pipe, net::StreamBody body) {
  PipeCloser closer{pipe};
  PipeWriter writer(pipe);
  pipe->broken = true;
  co_await body.write(writer);
  pipe->broken = false;
}

class SharedWatch final : public WatchStream {
 public:
  explicit SharedWatch(std::unique_ptr<api::WatchFeed> feed) : feed_(std::move(feed)) {}
  async::Task<std::optional<WatchEvent>> next() override {
    auto event = co_await feed_->next();
    if (!event) co_return std::nullopt;
    co_return WatchEvent{std::string(api::to_string(event->type)), std::move(event->object)};
  }

 private:
  std::unique_ptr<api::WatchFeed> feed_;
};

class InProcessTransport final : public Transport {
 public:
  InProcessTransport(api::Server& server, api::UserInfo user) : server_(server), user_(std::move(user)) {}

  async::Task<base::Result<net::ClientResponse>> send(net::ClientRequest request) override {
    auto made = std::make_shared<net::Request>();
    made->method = std::move(request.method);
    made->raw_target = request.target;
    const auto mark = request.target.find('?');
    auto path = base::percent_decode(std::string_view(request.target).substr(0, mark));
    if (!path) co_return std::unexpected(path.error());
    made->path = std::move(*path);
    if (mark != std::string::npos) {
      auto query = net::Query::parse(std::string_view(request.target).substr(mark + 1));
      if (!query) co_return std::unexpected(query.error());
      made->query = std::move(*query);
    }
    made->headers = std::move(request.headers);
    made->body = request.stream ? std::move(request.stream) : net::body_from_string(std::move(request.body));
    made->peer = "in-process";
    auto& server = server_;
    net::Response response = co_await server.handle_as(user_, std::move(made));
    co_return to_client(server, std::move(response));
  }

  async::Task<std::optional<ObjectList>> list_objects(Resource resource, std::string ns, ListQuery query) override {
    auto result = co_await server_.list_as(user_, to_collection(resource, std::move(ns), query));
    ObjectList list;
    list.items.reserve(result.items.size());
    for (const auto& record : result.items) list.items.push_back(record->object);
    list.resource_version = std::to_string(result.revision);
    co_return std::move(list);
  }

  async::Task<std::unique_ptr<WatchStream>> watch_objects(Resource resource, std::string ns,
                                                          std::string resource_version, ListQuery query) override {
    auto which = to_collection(resource, std::move(ns), query);
    which.resource_version = std::move(resource_version);
    co_return std::make_unique<SharedWatch>(co_await server_.watch_as(user_, std::move(which)));
  }

 private:
  static api::Collection to_collection(const Resource& resource, std::string ns, const ListQuery& query) {
    api::Collection which;
    which.group = resource.group;
    which.version = resource.version;
    which.plural = resource.plural;
    which.ns = std::move(ns);
    which.label_selector = query.label_selector;
    which.field_selector = query.field_selector;
    which.limit = static_cast<std::size_t>(std::max<std::int64_t>(query.limit, 0));
    which.continue_token = query.continue_token;
    return which;
  }

  static base::Result<net::ClientResponse> to_client(api::Server& server, net::Response response) {
    net::ClientResponse made;
    made.status = response.status;
    made.headers = std::move(response.headers);
    if (auto* text = std::get_if<std::string>(&response.body)) {
      made.body = net::body_from_string(std::move(*text));
    } else if (auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body)) {
      made.body = std::make_shared<SharedStringBody>(std::move(*shared));
    } else if (auto* file = std::get_if<net::FileBody>(&response.body)) {
      made.body = std::make_shared<FileReader>(server.runtime(), std::move(*file));
    } else if (auto* stream = std::get_if<net::StreamBody>(&response.body)) {
      auto pipe = std::make_shared<Pipe>(server.runtime().executor());
      auto length = stream->length;
      made.body = std::make_shared<PipeReader>(pipe, length);
      server.streams().spawn("in-process response", pump(std::move(pipe), std::move(*stream)));
    } else if (std::holds_alternative<net::WebSocketBody>(response.body)) {
      return base::fail(base::ErrorCode::kInvalid, "a WebSocket cannot be opened in process");
    } else {
      made.body = net::body_from_string("");
    }
    return made;
  }

  api::Server& server_;
  api::UserInfo user_;
};

}  // namespace

std::shared_ptr<Transport> in_process_transport(api::Server& server, api::UserInfo user) {
  return std::make_shared<InProcessTransport>(server, std::move(user));
}

}  // namespace mainstay::client
