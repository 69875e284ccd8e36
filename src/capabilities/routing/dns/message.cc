#include "capabilities/routing/dns/message.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace mainstay::routing::dns {
namespace {

constexpr std::size_t kHeader = 12;
constexpr std::size_t kMostRecords = 512;

std::uint8_t byte_at(std::string_view m, std::size_t at) { return static_cast<std::uint8_t>(m[at]); }
std::uint16_t u16_at(std::string_view m, std::size_t at) {
  return static_cast<std::uint16_t>(byte_at(m, at) << 8 | byte_at(m, at + 1));
}
std::uint32_t u32_at(std::string_view m, std::size_t at) {
  return static_cast<std::uint32_t>(u16_at(m, at)) << 16 | u16_at(m, at + 2);
}
char lower_byte(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

class Writer {
 public:
  explicit Writer(std::span<char> out) : out_(out) {}
  void u8(std::uint8_t v) {
    if (at_ < out_.size()) out_[at_] = static_cast<char>(v);
    ++at_;
  }
  void u16(std::uint16_t v) {
    u8(static_cast<std::uint8_t>(v >> 8));
    u8(static_cast<std::uint8_t>(v));
  }
  void u32(std::uint32_t v) {
    u16(static_cast<std::uint16_t>(v >> 16));
    u16(static_cast<std::uint16_t>(v));
  }
  void bytes(std::string_view text) {
    if (at_ + text.size() <= out_.size()) std::memcpy(out_.data() + at_, text.data(), text.size());
    at_ += text.size();
  }
  void patch16(std::size_t at, std::uint16_t v) {
    out_[at] = static_cast<char>(v >> 8);
    out_[at + 1] = static_cast<char>(v);
  }
  std::size_t at() const { return at_; }
  void back_to(std::size_t at) { at_ = at; }
  bool fits(std::size_t limit) const { return at_ <= std::min(limit, out_.size()); }

 private:
  std::span<char> out_;
  std::size_t at_ = 0;
};

// Compressed where it is the question's name or one it ends in (RFC 1035, section 4.1.4).
void write_owner(Writer& w, std::string_view name, std::string_view question) {
  if (name.size() > 1 && question.ends_with(name)) {
    // A suffix of bytes need not begin at a label: walk them.
    for (std::string_view rest = question; rest.size() >= name.size(); rest = parent_name(rest)) {
      if (rest.size() != name.size()) continue;
      w.u16(static_cast<std::uint16_t>(0xc000 | (kHeader + question.size() - rest.size())));
      return;
    }
  }
  w.bytes(name);
}

void write_record(Writer& w, const Record& r, std::string_view question) {
  write_owner(w, r.name, question);
  w.u16(r.type);
  w.u16(1);
  w.u32(r.ttl);
  w.u16(static_cast<std::uint16_t>(r.data.size()));
  w.bytes(r.data);
}

void write_opt(Writer& w, std::uint16_t payload, Rcode rcode, bool dnssec_ok) {
  w.u8(0);
  w.u16(kOpt);
  w.u16(payload);
  w.u8(static_cast<std::uint8_t>(rcode >> 4));
  w.u8(0);
  w.u16(dnssec_ok ? 0x8000 : 0);
  w.u16(0);
}

// Skips a record at `at`; false where it does not fit.
bool read_record(std::string_view m, std::size_t& at, Section& out) {
  out.offset = at;
  std::size_t end = 0;
  if (!read_name(m, at, &end) || end + 10 > m.size()) return false;
  out.type = u16_at(m, end);
  out.ttl = u32_at(m, end + 4);
  out.size = u16_at(m, end + 8);
  out.data = end + 10;
  at = out.data + out.size;
  return at <= m.size();
}

}  // namespace

std::optional<std::string> wire_name(std::string_view text) {
  std::string out;
  if (text.ends_with('.')) text.remove_suffix(1);
  while (!text.empty()) {
    const std::size_t dot = std::min(text.find('.'), text.size());
    if (dot == 0 || dot > 63) return std::nullopt;
    out.push_back(static_cast<char>(dot));
    for (const char c : text.substr(0, dot)) out.push_back(lower_byte(c));
    if (dot + 1 == text.size()) return std::nullopt;  // "a..", its last label empty
    text.remove_prefix(std::min(dot + 1, text.size()));
  }
  out.push_back('\0');
  if (out.size() > 255) return std::nullopt;
  return out;
}

std::string text_name(std::string_view wire) {
  std::string out;
  while (wire.size() > 1) {
    const std::size_t size = std::min<std::size_t>(byte_at(wire, 0), wire.size() - 1);
    for (const char c : wire.substr(1, size)) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
      if (plain) {
        out.push_back(c);
      } else {
        out += fmt::format("\\{:03}", static_cast<unsigned char>(c));
      }
    }
    out.push_back('.');
    wire.remove_prefix(size + 1);
  }
  return out.empty() ? "." : out;
}

std::string_view parent_name(std::string_view wire) {
  if (wire.size() <= 1) return {};
  return wire.substr(std::min<std::size_t>(byte_at(wire, 0) + 1u, wire.size()));
}

std::optional<std::string> read_name(std::string_view m, std::size_t offset, std::size_t* end) {
  std::string out;
  std::size_t at = offset;
  bool jumped = false;
  for (;;) {
    if (at >= m.size()) return std::nullopt;
    const std::uint8_t size = byte_at(m, at);
    if ((size & 0xc0) == 0xc0) {
      if (at + 1 >= m.size()) return std::nullopt;
      const std::size_t target = u16_at(m, at) & 0x3fff;
      if (!jumped && end != nullptr) *end = at + 2;
      jumped = true;
      if (target >= at || target < kHeader) return std::nullopt;  // only backwards: there is no loop
      at = target;
      continue;
    }
    if ((size & 0xc0) != 0 || at + 1 + size > m.size()) return std::nullopt;
    out.push_back(static_cast<char>(size));
    for (const char c : m.substr(at + 1, size)) out.push_back(lower_byte(c));
    if (out.size() > 255) return std::nullopt;
    at += 1u + size;
    if (size != 0) continue;
    if (!jumped && end != nullptr) *end = at;
    return out;
  }
}

ParsedQuery parse_query(std::string_view m) {
  if (m.size() < kHeader || (byte_at(m, 2) & 0x80) != 0) return {};
  Query q;
  q.id = u16_at(m, 0);
  q.opcode = static_cast<std::uint8_t>((byte_at(m, 2) >> 3) & 15);
  q.recursion_desired = (byte_at(m, 2) & 1) != 0;
  q.checking_disabled = (byte_at(m, 3) & 0x10) != 0;
  if (q.opcode != 0) return {q, kNotImp};
  if (u16_at(m, 4) != 1 || u16_at(m, 6) != 0) return {q, kFormErr};
  std::size_t at = kHeader;
  auto name = read_name(m, at, &at);
  if (!name || at + 4 > m.size() || at - kHeader != name->size()) return {q, kFormErr};
  q.name = *std::move(name);
  q.type = u16_at(m, at);
  q.klass = u16_at(m, at + 2);
  at += 4;
  q.question_end = at;
  const std::size_t records = std::size_t{u16_at(m, 8)} + u16_at(m, 10);
  if (records > 16) return {q, kFormErr};
  for (std::size_t i = 0; i < records; ++i) {
    Section record;
    if (!read_record(m, at, record)) return {q, kFormErr};
    if (record.type != kOpt) continue;
    if (q.edns || byte_at(m, record.offset) != 0) return {q, kFormErr};  // RFC 6891, section 6.1.1
    q.edns = true;
    q.payload = std::max<std::uint16_t>(512, u16_at(m, record.data - 8));
    q.dnssec_ok = (record.ttl & 0x8000) != 0;
    if (((record.ttl >> 16) & 0xff) != 0) return {q, kBadVers};
  }
  return {q, kNoError};
}

std::size_t write_reply(const Query& q, std::string_view request, const Reply& reply, std::span<char> out,
                        std::size_t limit) {
  // With EDNS there must be room for its record.
  const std::size_t opt = q.edns ? 11 : 0;
  Writer w(out.first(std::min(out.size(), std::max<std::size_t>(limit, 512))));
  const std::size_t room = std::min(out.size(), std::max<std::size_t>(limit, 512)) - opt;
  w.u16(q.id);
  w.u8(static_cast<std::uint8_t>(0x80 | q.opcode << 3 | (reply.authoritative ? 4 : 0) | (q.recursion_desired ? 1 : 0)));
  w.u8(static_cast<std::uint8_t>((reply.recursion_available ? 0x80 : 0) | (q.checking_disabled ? 0x10 : 0) |
                                 (reply.rcode & 15)));
  w.u16(q.question_end > 0 ? 1 : 0);
  w.u16(0);
  w.u16(0);
  w.u16(0);
  if (q.question_end > 0) w.bytes(request.substr(kHeader, q.question_end - kHeader));
  const std::size_t after_question = w.at();
  bool truncated = false;
  std::uint16_t counts[3] = {0, 0, 0};
  const std::vector<Record>* sections[3] = {&reply.answers, &reply.authority, &reply.additional};
  for (int section = 0; section < 3 && !truncated; ++section) {
    for (const Record& record : *sections[section]) {
      const std::size_t before = w.at();
      write_record(w, record, q.name);
      if (!w.fits(room)) {
        w.back_to(before);
        truncated = section < 2;
        break;
      }
      ++counts[section];
    }
  }
  if (truncated) {  // RFC 2181, section 9: a set in parts is of no use
    w.back_to(after_question);
    std::fill(std::begin(counts), std::end(counts), 0);
    out[2] = static_cast<char>(out[2] | 2);
  }
  if (q.edns) {
    write_opt(w, 1232, reply.rcode, q.dnssec_ok);
    ++counts[2];
  }
  for (std::size_t i = 0; i < 3; ++i) w.patch16(6 + 2 * i, counts[i]);
  return w.at();
}

std::string write_query(std::uint16_t id, std::string_view name, std::uint16_t type, bool edns, bool dnssec_ok) {
  std::string out(kHeader + name.size() + 4 + (edns ? 11 : 0), '\0');
  Writer w(out);
  w.u16(id);
  w.u16(0x0100);  // recursion desired
  w.u16(1);
  w.u16(0);
  w.u16(0);
  w.u16(edns ? 1 : 0);
  w.bytes(name);
  w.u16(type);
  w.u16(1);
  if (edns) write_opt(w, 1232, kNoError, dnssec_ok);
  return out;
}

std::optional<Layout> read_layout(std::string_view m) {
  if (m.size() < kHeader || u16_at(m, 4) != 1) return std::nullopt;
  Layout out;
  out.id = u16_at(m, 0);
  out.response = (byte_at(m, 2) & 0x80) != 0;
  out.truncated = (byte_at(m, 2) & 2) != 0;
  out.rcode = static_cast<Rcode>(byte_at(m, 3) & 15);
  std::size_t at = kHeader;
  auto name = read_name(m, at, &at);
  if (!name || at + 4 > m.size()) return std::nullopt;
  out.name = *std::move(name);
  out.type = u16_at(m, at);
  out.klass = u16_at(m, at + 2);
  at += 4;
  for (int section = 1; section <= 3; ++section) {
    const std::size_t count = u16_at(m, 4 + 2 * static_cast<std::size_t>(section));
    if (out.records.size() + count > kMostRecords) return std::nullopt;
    for (std::size_t i = 0; i < count; ++i) {
      Section record;
      record.section = section;
      if (!read_record(m, at, record)) return std::nullopt;
      out.records.push_back(record);
    }
  }
  return out;
}

}  // namespace mainstay::routing::dns
