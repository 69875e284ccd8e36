// Bodies that stream: uploads, downloads, files, and clients that go.
#include <unistd.h>

#include <filesystem>

#include "base/files.h"
#include "net/testing.h"

namespace mainstay::net::testing {
namespace {

using ::testing::HasSubstr;

// A body of `size` bytes made while it is read; the declared length is optional.
class Generated final : public BodyReader {
 public:
  Generated(std::uint64_t size, bool declared) : left_(size), size_(size), declared_(declared) {}
  Task<std::size_t> read(std::span<char> buffer) override {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, buffer.size()));
    std::fill_n(buffer.data(), n, 'g');
    left_ -= n;
    co_return n;
  }
  std::optional<std::uint64_t> length() const override { return declared_ ? std::optional(size_) : std::nullopt; }
  std::uint64_t left() const { return left_; }

 private:
  std::uint64_t left_, size_;
  bool declared_;
};

Task<Response> counts(std::shared_ptr<Request> request) {
  std::vector<char> buffer(256 * 1024);
  std::uint64_t total = 0;
  while (const auto n = co_await request->body->read(buffer)) total += n;
  co_return Response::text(200, std::to_string(total));
}

using StreamTest = Loopback;

TEST_F(StreamTest, UploadsWithAndWithoutLength) {
  serve(counts);
  run([this]() -> Task<> {
    auto http = client(listen(server_tls()), true);
    for (const bool declared : {true, false}) {
      ClientRequest request{"PUT", "/", {}, "", std::make_shared<Generated>(20'000'000, declared)};
      auto response = co_await http->send(std::move(request));
      EXPECT_EQ(co_await response->body->read_all(100), "20000000");
    }
    EXPECT_EQ(server_->connections(), 1u);
  });
}

TEST_F(StreamTest, ASlowReaderHoldsTheSenderBack) {
  auto read_on = std::make_shared<async::Event>(runtime_.executor());
  serve([read_on](std::shared_ptr<Request> request) -> Task<Response> {
    co_await read_on->wait();
    co_return co_await counts(request);
  });
  run([this, read_on]() -> Task<> {
    struct Send {
      static Task<> run(std::shared_ptr<Client> http, std::shared_ptr<Generated> body,
                        std::shared_ptr<std::string> out) {
        auto response = co_await http->send({"PUT", "/", {}, "", body});
        *out = co_await response->body->read_all(100);
      }
    };
    auto body = std::make_shared<Generated>(200'000'000, false);
    auto out = std::make_shared<std::string>();
    async::TaskGroup group(runtime_.executor(), "send");
    group.spawn("send", Send::run(client(listen()), body, out));
    co_await async::sleep_for(100ms);
    EXPECT_GT(body->left(), 150'000'000u) << "the sender stands still at the sockets' buffers";
    read_on->notify_all();
    co_await group.join();
    EXPECT_EQ(*out, "200000000");
  });
}

TEST_F(StreamTest, ALargeUploadThatIsRefusedStillGetsItsAnswer) {
  serve([](std::shared_ptr<Request> request) -> Task<Response> {
    co_return Response::text(200, co_await request->body->read_all(1000));
  });
  run([this]() -> Task<> {
    auto http = client(listen());
    for (const bool declared : {true, false}) {
      auto response = co_await http->send({"PUT", "/", {}, "", std::make_shared<Generated>(30'000'000, declared)});
      EXPECT_TRUE(response.has_value()) << response.error().message;
      EXPECT_EQ(response->status, 413);
      EXPECT_THAT(co_await response->body->read_all(1000), HasSubstr("larger than the 1000 bytes"));
    }
  });
}

Task<Response> streams(std::shared_ptr<Request> request) {
  StreamBody body;
  if (request->path == "/length") body.length = 10;
  if (request->path == "/short") body.length = 11;
  if (request->path == "/fails") {
    body.write = [](BodyWriter& writer) -> Task<> {
      co_await writer.write("begin");
      throw std::runtime_error("the disk is gone");
    };
  } else {
    body.write = [](BodyWriter& writer) -> Task<> {
      co_await writer.write("01234");
      co_await writer.write("");
      co_await async::sleep_for(1ms);
      co_await writer.write("56789");
    };
  }
  co_return Response{200, {}, std::move(body)};
}

TEST_F(StreamTest, DownloadsChunkedAndWithLength) {
  serve(streams);
  run([this]() -> Task<> {
    auto http = client(listen());
    auto chunked = co_await http->send(get("/chunked"));
    EXPECT_EQ(chunked->headers.get("Transfer-Encoding"), "chunked");
    EXPECT_EQ(co_await chunked->body->read_all(100), "0123456789");
    auto length = co_await http->send(get("/length"));
    EXPECT_EQ(length->body->length(), 10u);
    EXPECT_EQ(co_await length->body->read_all(100), "0123456789");
    EXPECT_EQ(server_->connections(), 1u);
    for (const char* path : {"/fails", "/short"}) {
      auto cut = co_await http->send(get(path));
      bool thrown = false;
      try {
        co_await cut->body->read_all(100);
      } catch (const base::StatusError& e) {
        thrown = e.code() == 503;
      }
      EXPECT_TRUE(thrown) << path << ": a body that is cut short must not look whole";
    }
  });
}

TEST_F(StreamTest, AStreamThatWaitsIsCancelledWhenItsClientGoes) {
  for (const bool tls : {false, true}) {
    auto began = std::make_shared<int>(0), cancelled = std::make_shared<int>(0);
    serve([began, cancelled](std::shared_ptr<Request>) -> Task<Response> {
      StreamBody body;
      body.write = [began, cancelled](BodyWriter& writer) -> Task<> {
        co_await writer.write("first event\n");
        ++*began;
        try {
          co_await async::sleep_for(1h);
        } catch (const async::Cancelled&) {
          ++*cancelled;
          throw;
        }
      };
      co_return Response{200, {}, std::move(body)};
    });
    run([this, tls, began, cancelled]() -> Task<> {
      auto http = client(listen(tls ? std::optional(server_tls()) : std::nullopt), tls);
      auto response = co_await http->send(get("/watch"));
      char buffer[64];
      EXPECT_EQ(co_await response->body->read(buffer), 12u);
      EXPECT_EQ(*began, 1);
      response->body.reset();  // closes the connection
      for (int i = 0; i < 400 && (*cancelled == 0 || server_->connections() > 0); ++i) co_await async::sleep_for(5ms);
      EXPECT_EQ(*cancelled, 1);
      EXPECT_EQ(server_->connections(), 0u);
    });
  }
}

TEST_F(StreamTest, ABodyThatGivesUpAmidAWriteIsNotWhole) {
  serve([](std::shared_ptr<Request>) -> Task<Response> {
    StreamBody body;
    body.write = [](BodyWriter& writer) -> Task<> {
      const std::string much(50'000'000, 'x');
      EXPECT_FALSE(co_await async::with_timeout(writer.write(much), 50ms)) << "nobody reads";
    };
    co_return Response{200, {}, std::move(body)};
  });
  run([this]() -> Task<> {
    auto response = co_await client(listen())->send(get("/"));
    co_await async::sleep_for(100ms);
    bool cut = false;
    try {
      co_await async::with_timeout(response->body->read_all(100'000'000), 5s);
    } catch (const base::StatusError& e) {
      cut = e.code() == 503;
    }
    EXPECT_TRUE(cut) << "an end behind half a chunk would be taken for data";
  });
}

TEST_F(StreamTest, AClientThatStopsReadingIsCutOff) {
  serve([](std::shared_ptr<Request>) -> Task<Response> { co_return Response::text(200, std::string(50'000'000, 'x')); },
        {.idle_timeout = 1s});
  run([this]() -> Task<> {
    auto response = co_await client(listen())->send(get("/"));
    EXPECT_EQ(server_->connections(), 1u);
    const auto begin = std::chrono::steady_clock::now();
    while (server_->connections() > 0 && std::chrono::steady_clock::now() - begin < 5s) co_await async::sleep_for(20ms);
    EXPECT_EQ(server_->connections(), 0u);
  });
}

TEST_F(StreamTest, SendsFilesAndPartsOfThem) {
  const auto path = std::filesystem::temp_directory_path() / ("mainstay-file-" + std::to_string(::getpid()));
  std::string content(3'000'000, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 31 >> 3);
  ASSERT_TRUE(base::write_file(path, content).has_value());
  serve([path, size = content.size()](std::shared_ptr<Request> request) -> Task<Response> {
    if (request->path == "/part") co_return Response{206, {}, FileBody{path, 1000, 600'000}};
    if (request->path == "/empty") co_return Response{200, {}, FileBody{path, 0, 0}};
    if (request->path == "/missing") co_return Response{200, {}, FileBody{"/no/such/file", 0, 5}};
    if (request->path == "/short") co_return Response{200, {}, FileBody{path, 0, size + 1}};
    co_return Response{200, {}, FileBody{path, 0, size}};
  });
  run([&, this]() -> Task<> {
    auto http = client(listen(server_tls()), true);
    auto whole = co_await http->send(get("/"));
    EXPECT_TRUE(co_await whole->body->read_all(10'000'000) == content);
    auto part = co_await http->send(get("/part"));
    EXPECT_TRUE(co_await part->body->read_all(10'000'000) == content.substr(1000, 600'000));
    auto empty = co_await http->send(get("/empty"));
    EXPECT_EQ(co_await empty->body->read_all(10), "");
    EXPECT_EQ(server_->connections(), 1u);
    auto cut = co_await http->send(get("/short"));
    EXPECT_EQ(cut->status, 200);
    bool thrown = false;
    try {
      co_await cut->body->read_all(10'000'000);
    } catch (const base::StatusError&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
    auto missing = co_await http->send(get("/missing"));
    EXPECT_TRUE(missing.has_value());
    if (missing) EXPECT_EQ(missing->status, 500);
  });
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace mainstay::net::testing
