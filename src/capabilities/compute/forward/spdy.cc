#include "capabilities/compute/forward/spdy.h"

#include <zlib.h>

#include <stdexcept>

#include "base/strings.h"

namespace mainstay::compute {
namespace {

using base::ErrorCode;
using base::fail;

// Numbers of the SPDY protocol, draft 3.1, sections 2.2 and 2.6.
constexpr std::uint16_t kVersion = 3;
enum Type : std::uint16_t { kSynStream = 1, kSynReply = 2, kRstStream = 3, kPing = 6, kGoAway = 7, kHeaders = 8 };
constexpr std::uint8_t kFin = 1;
constexpr std::uint32_t kRefusedStream = 3;
constexpr std::size_t kHead = 8, kMaxNames = 64;

// Section 2.6.10.1: what both sides' compression begins with; words with their length, then text.
const std::string& dictionary() {
  static const std::string made = [] {
    std::string out;
    for (const std::string_view word : base::split(
             "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges "
             "age allow authorization cache-control connection content-base content-encoding content-language "
             "content-length content-location content-md5 content-range content-type date etag expect expires from "
             "host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location "
             "max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer "
             "transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version "
             "HTTP/1.1 url public set-cookie keep-alive origin",
             ' ')) {
      out += {0, 0, 0, static_cast<char>(word.size())};
      for (const char c : word) out += c == '_' ? ' ' : c;
    }
    out +=
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 "
        "Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 "
        "Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May "
        "Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, "
        "GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
        "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
    return out;
  }();
  return made;
}

Bytef* bytes_of(std::string_view text) { return reinterpret_cast<Bytef*>(const_cast<char*>(text.data())); }

std::uint32_t number(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < size; ++i) out = out << 8 | static_cast<unsigned char>(bytes[at + i]);
  return out;
}

void put(std::string& out, std::uint32_t value, int size) {
  while (size-- > 0) out += static_cast<char>(value >> 8 * size);
}

std::string control_frame(Type type, std::string_view body) {
  std::string out;
  put(out, 0x80000000u | kVersion << 16 | type, 4);
  put(out, static_cast<std::uint32_t>(body.size()), 4);  // no flags
  return out.append(body);
}

std::unexpected<base::Error> broken(std::string why) { return fail(ErrorCode::kInvalid, "SPDY: " + std::move(why)); }

}  // namespace

struct SpdyReader::Inflate {
  Inflate() {
    if (inflateInit(&stream) != Z_OK) throw std::bad_alloc();
  }
  ~Inflate() { inflateEnd(&stream); }
  Inflate(const Inflate&) = delete;
  z_stream stream{};
};

SpdyReader::SpdyReader() : inflate_(std::make_unique<Inflate>()) {}
SpdyReader::~SpdyReader() = default;

base::Result<std::map<std::string, std::string>> SpdyReader::headers(std::string_view block) {
  std::string plain(kMaxHeaders, '\0');
  z_stream& z = inflate_->stream;
  z.next_in = bytes_of(block);
  z.avail_in = static_cast<uInt>(block.size());
  z.next_out = bytes_of(plain);
  z.avail_out = static_cast<uInt>(plain.size());
  while (z.avail_in > 0) {
    int state = inflate(&z, Z_SYNC_FLUSH);
    if (state == Z_NEED_DICT)
      state = inflateSetDictionary(&z, bytes_of(dictionary()), static_cast<uInt>(dictionary().size()));
    if (state != Z_OK || z.avail_out == 0) return broken("a header block cannot be unpacked, or is too large");
  }
  plain.resize(plain.size() - z.avail_out);
  std::map<std::string, std::string> out;
  std::size_t at = 0;
  const auto text = [&]() -> std::optional<std::string> {
    if (plain.size() - at < 4) return std::nullopt;
    const std::size_t size = number(plain, at, 4);
    at += 4;
    if (plain.size() - at < size) return std::nullopt;
    at += size;
    return plain.substr(at - size, size);
  };
  if (plain.size() < 4) return broken("a header block is cut off");
  const std::size_t count = number(plain, 0, 4);
  at = 4;
  if (count > kMaxNames) return broken("a stream has too many headers");
  for (std::size_t i = 0; i < count; ++i) {
    auto name = text(), value = name ? text() : std::nullopt;
    if (!value) return broken("a header block is cut off");
    out[base::lower(*name)] = *std::move(value);
  }
  return out;
}

base::Result<> SpdyReader::control(std::uint16_t type, std::uint8_t flags, std::string_view body,
                                   std::vector<SpdyFrame>& out) {
  SpdyFrame frame;
  const std::size_t least = type == kSynStream ? 10 : type == kRstStream ? 8 : 4;
  if (body.size() < least) return broken(fmt::format("a frame of type {} is too short", type));
  frame.id = number(body, 0, 4) & 0x7fffffffu;
  switch (type) {
    case kSynStream: {
      frame.kind = SpdyFrame::Kind::kOpen;
      frame.last = (flags & kFin) != 0;
      MAINSTAY_TRY(frame.headers, headers(body.substr(10)));
      break;
    }
    case kSynReply:
    case kHeaders: {
      // Nobody asked; but what comes after is packed by what is in it.
      MAINSTAY_TRY([[maybe_unused]] auto ignored, headers(body.substr(4)));
      return {};
    }
    case kRstStream:
      frame.kind = SpdyFrame::Kind::kReset;
      break;
    case kPing:
      frame.kind = SpdyFrame::Kind::kPing;
      frame.id = number(body, 0, 4);
      break;
    case kGoAway:
      frame.kind = SpdyFrame::Kind::kGoAway;
      break;
    default:
      return {};  // SETTINGS, WINDOW_UPDATE, and what is not known (section 2.2.1)
  }
  out.push_back(std::move(frame));
  return {};
}

base::Result<std::vector<SpdyFrame>> SpdyReader::feed(std::string_view bytes) {
  left_.append(bytes);
  std::vector<SpdyFrame> out;
  std::size_t at = 0;
  while (left_.size() - at >= kHead) {
    const std::size_t size = number(left_, at + 5, 3);
    if (size > kMaxFrame) return broken(fmt::format("a frame is larger than {} bytes", kMaxFrame));
    if (left_.size() - at < kHead + size) break;
    const std::string_view body = std::string_view(left_).substr(at + kHead, size);
    const std::uint32_t first = number(left_, at, 4);
    const auto flags = static_cast<std::uint8_t>(left_[at + 4]);
    if ((first & 0x80000000u) == 0) {
      out.push_back({SpdyFrame::Kind::kData, first, (flags & kFin) != 0, {}, std::string(body)});
    } else {
      if ((first >> 16 & 0x7fff) != kVersion) return broken("only version 3 is spoken here");
      MAINSTAY_TRY_VOID(control(static_cast<std::uint16_t>(first), flags, body, out));
    }
    at += kHead + size;
  }
  left_.erase(0, at);
  return out;
}

struct SpdyWriter::Deflate {
  Deflate() {
    if (deflateInit(&stream, Z_BEST_SPEED) != Z_OK) throw std::bad_alloc();
    deflateSetDictionary(&stream, bytes_of(dictionary()), static_cast<uInt>(dictionary().size()));
  }
  ~Deflate() { deflateEnd(&stream); }
  Deflate(const Deflate&) = delete;
  z_stream stream{};
};

SpdyWriter::SpdyWriter() : deflate_(std::make_unique<Deflate>()) {}
SpdyWriter::~SpdyWriter() = default;

std::string SpdyWriter::accept(std::uint32_t id) {
  const std::string none(4, '\0');  // as many headers
  std::string packed(64, '\0');
  z_stream& z = deflate_->stream;
  z.next_in = bytes_of(none);
  z.avail_in = static_cast<uInt>(none.size());
  z.next_out = bytes_of(packed);
  z.avail_out = static_cast<uInt>(packed.size());
  if (deflate(&z, Z_SYNC_FLUSH) != Z_OK || z.avail_out == 0) throw std::runtime_error("SPDY: deflate");
  std::string body;
  put(body, id, 4);
  return control_frame(kSynReply, body.append(packed, 0, packed.size() - z.avail_out));
}

std::string SpdyWriter::data(std::uint32_t id, std::string_view bytes, bool last) {
  std::string out;
  out.reserve(kHead + bytes.size());
  put(out, id, 4);
  put(out, static_cast<std::uint32_t>(bytes.size()) | (last ? kFin << 24 : 0), 4);
  return out.append(bytes);
}

std::string SpdyWriter::ping(std::uint32_t id) {
  std::string body;
  put(body, id, 4);
  return control_frame(kPing, body);
}

std::string SpdyWriter::refuse(std::uint32_t id) {
  std::string body;
  put(body, id, 4);
  put(body, kRefusedStream, 4);
  return control_frame(kRstStream, body);
}

}  // namespace mainstay::compute
