#include "net/parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <cstring>

namespace mainstay::net {
namespace http = boost::beast::http;
namespace {

using ErrorCode = boost::beast::error_code;
using View = boost::beast::string_view;

// A chunk's size line and the trailers are small; whoever sends more of them than this is up to something.
constexpr std::size_t kMaxChunkHead = 16 * 1024;

}  // namespace

struct MessageParser::Impl {
  virtual ~Impl() = default;
  virtual State parse_head(std::string_view data, std::size_t& used) = 0;
  virtual State decode(std::string_view data, std::span<char> out, std::size_t& used, std::size_t& written) = 0;
  Head head;
  ErrorCode error;
};

template <bool kRequest>
struct MessageParser::Parser final : MessageParser::Impl, http::basic_parser<kRequest> {
  using Base = http::basic_parser<kRequest>;

  explicit Parser(std::size_t max_head_bytes) {
    this->header_limit(static_cast<std::uint32_t>(max_head_bytes));
    this->body_limit(boost::none);  // whoever reads the body limits it
    this->eager(false);
  }

  State parse_head(std::string_view data, std::size_t& used) override {
    used = 0;
    while (!this->is_header_done()) {
      ErrorCode failure;
      const std::size_t n = this->put(boost::asio::buffer(data.data() + used, data.size() - used), failure);
      used += n;
      if (failure == http::error::need_more) return State::kNeedMore;
      if (failure == http::error::header_limit) return State::kHeadTooLarge;
      if (failure) return fail(failure);
      if (n == 0 && !this->is_header_done()) return State::kNeedMore;
    }
    head.keep_alive = this->keep_alive();
    head.chunked = this->chunked();
    head.upgrade = this->upgrade();
    head.until_close = this->need_eof();
    if (const auto length = this->content_length()) head.content_length = *length;
    return State::kDone;
  }

  State decode(std::string_view data, std::span<char> into, std::size_t& used, std::size_t& written) override {
    used = written = 0;
    out = into;
    while (!this->is_done()) {
      const bool room = !out.empty();
      if (used == data.size()) break;
      ErrorCode failure;
      const std::size_t n = this->put(boost::asio::buffer(data.data() + used, data.size() - used), failure);
      used += n;
      if (failure == http::error::need_more) {
        if (data.size() - used > kMaxChunkHead) return fail(http::error::bad_chunk);
        break;
      }
      if (failure) return fail(failure);
      if (n == 0 && !room) break;
    }
    written = into.size() - out.size();
    return this->is_done() ? State::kDone : State::kNeedMore;
  }

  State fail(ErrorCode failure) {
    error = failure;
    return State::kBad;
  }

  // What Beast calls.
  void on_request_impl(http::verb, View method, View target, int version, ErrorCode& failure) override {
    head.method.assign(method.data(), method.size());
    head.target.assign(target.data(), target.size());
    head.version = version;
    failure = {};
  }
  void on_response_impl(int code, View, int version, ErrorCode& failure) override {
    head.status = code;
    head.version = version;
    failure = {};
  }
  void on_field_impl(http::field, View name, View value, ErrorCode& failure) override {
    // Trailers come here too, after the head: nothing of ours reads them.
    if (!in_body) head.headers.add({name.data(), name.size()}, std::string(value.data(), value.size()));
    failure = {};
  }
  void on_header_impl(ErrorCode& failure) override {
    in_body = true;
    failure = {};
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCode& failure) override { failure = {}; }
  std::size_t on_body_impl(View body, ErrorCode& failure) override { return take(body, failure); }
  void on_chunk_header_impl(std::uint64_t, View, ErrorCode& failure) override { failure = {}; }
  std::size_t on_chunk_body_impl(std::uint64_t, View body, ErrorCode& failure) override { return take(body, failure); }
  void on_finish_impl(ErrorCode& failure) override { failure = {}; }

  std::size_t take(View body, ErrorCode& failure) {
    failure = {};
    const std::size_t n = std::min(body.size(), out.size());
    if (n > 0) std::memcpy(out.data(), body.data(), n);
    out = out.subspan(n);
    return n;
  }

  std::span<char> out;
  bool in_body = false;
};

MessageParser::MessageParser(Kind kind, std::size_t max_head_bytes) {
  if (kind == Kind::kRequest) {
    impl_ = std::make_unique<Parser<true>>(max_head_bytes);
  } else {
    impl_ = std::make_unique<Parser<false>>(max_head_bytes);
  }
}

MessageParser::~MessageParser() = default;
MessageParser::State MessageParser::parse_head(std::string_view data, std::size_t& used) {
  return impl_->parse_head(data, used);
}
Head& MessageParser::head() { return impl_->head; }
std::string MessageParser::error() const { return impl_->error.message(); }
MessageParser::State MessageParser::decode(std::string_view data, std::span<char> out, std::size_t& used,
                                           std::size_t& written) {
  return impl_->decode(data, out, used, written);
}

}  // namespace mainstay::net
