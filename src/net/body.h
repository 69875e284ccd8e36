// Bodies on a connection: how a message's body is read from it and how a file is written to it.
#pragma once
#include <memory>

#include "async/runtime.h"
#include "net/buffer.h"
#include "net/http.h"
#include "net/parser.h"
#include "net/stream.h"
#include "net/wire.h"

namespace mainstay::net {

// The body of the message whose head was read last. Its connection detaches it before it goes on to the next message.
class WireBody final : public BodyReader {
 public:
  enum class Side { kServer, kClient };
  struct Source {
    Stream* stream = nullptr;
    Buffer* buffer = nullptr;
    MessageParser* parser = nullptr;  // of a chunked body
    Side side = Side::kServer;
    std::shared_ptr<void> owner;  // kept until the body is detached (the client's connection)
  };
  WireBody(Source source, Framing framing, bool expects_continue);
  ~WireBody() override;

  async::Task<std::size_t> read(std::span<char> buffer) override;
  std::optional<std::uint64_t> length() const override;

  bool at_end() const { return done_; }
  bool awaits_continue() const { return expects_continue_; }
  void detach();
  // Called once when the last byte has been read (the client's connection is free again), or the body goes before that.
  void on_finish(std::function<void(bool complete)> finish) { finish_ = std::move(finish); }

 private:
  async::Task<std::size_t> read_plain(std::span<char> into);
  async::Task<std::size_t> read_chunked(std::span<char> into);
  async::Task<std::size_t> receive(std::span<char> into);
  void finish(bool complete);

  Source source_;
  Framing framing_;
  std::uint64_t remaining_;
  bool done_ = false, expects_continue_;
  std::function<void(bool)> finish_;
};

// Reads the file in the pool, a piece ahead of what is being sent. `head` goes out with the first piece. kBroken also
// where the file is shorter than said: the connection is of no more use then. Throws StatusError before the head is out
// where the file cannot be opened.
async::Task<Io> send_file(async::Runtime& runtime, Stream& stream, std::string head, FileBody file);

}  // namespace mainstay::net
