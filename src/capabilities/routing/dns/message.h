// DNS messages as bytes (RFC 1035, section 4; EDNS: RFC 6891): what an authoritative server must read and write, and no
// more. Pure. Names are kept in wire form without compression and in lower case ("\3web\7default\0"), so a label may
// hold any byte and two names are equal where their bytes are.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mainstay::routing::dns {

enum Type : std::uint16_t {
  kA = 1,
  kNs = 2,
  kCname = 5,
  kSoa = 6,
  kPtr = 12,
  kAaaa = 28,
  kSrv = 33,
  kOpt = 41,
  kIxfr = 251,
  kAxfr = 252,
  kAny = 255
};
enum Rcode : std::uint8_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5,
  kBadVers = 16  // its upper bits travel in the OPT record
};

// "web.default" or "web.default." to wire form; nullopt where a label is empty or over 63 bytes or the whole over 255.
std::optional<std::string> wire_name(std::string_view text);
std::string text_name(std::string_view wire);  // for people: "web.default.", odd bytes as \ddd
// The name without its first label; "" for the root's.
std::string_view parent_name(std::string_view wire);

struct Query {
  std::uint16_t id = 0;
  bool recursion_desired = false, checking_disabled = false;
  std::uint8_t opcode = 0;
  std::string name;  // as wire_name
  std::uint16_t type = 0, klass = 0;
  std::size_t question_end = 0;  // header and question are the message's first bytes
  bool edns = false, dnssec_ok = false;
  std::uint16_t payload = 512;  // what the client takes over UDP
};
struct ParsedQuery {
  std::optional<Query> query;  // none: not to be answered at all (no header, or itself a reply)
  Rcode rcode = kNoError;      // other than kNoError: what to answer; the question may be missing then
};
ParsedQuery parse_query(std::string_view message);

struct Record {
  std::string name;  // as wire_name
  Type type = kA;
  std::uint32_t ttl = 0;
  std::string data;  // names in it are not compressed
  auto operator<=>(const Record&) const = default;
};

struct Reply {
  Rcode rcode = kNoError;
  bool authoritative = false, recursion_available = false;
  std::vector<Record> answers, authority, additional;
};
// Writes the reply to a query; `limit` is what the transport takes: what does not fit is left out and TC set
// (additional records are left out without it). `request` gives the question as it came, upper and lower case kept.
std::size_t write_reply(const Query& query, std::string_view request, const Reply& reply, std::span<char> out,
                        std::size_t limit);
// A query of our own. A server may answer with EDNS only what asks with it (RFC 6891, section 7).
std::string write_query(std::uint16_t id, std::string_view name, std::uint16_t type, bool edns, bool dnssec_ok);

// Where the records of a whole message stand: to age and to read what another server answered. nullopt: malformed.
struct Section {
  std::size_t offset = 0, data = 0, size = 0;  // of the record, its data, and that data's length
  std::uint16_t type = 0;
  std::uint32_t ttl = 0;
  int section = 1;  // 1 answer, 2 authority, 3 additional
};
struct Layout {
  std::uint16_t id = 0;
  bool response = false, truncated = false;
  Rcode rcode = kNoError;
  std::string name;
  std::uint16_t type = 0, klass = 0;
  std::vector<Section> records;
};
std::optional<Layout> read_layout(std::string_view message);
// The name at the offset, decompressed, at most 255 bytes; `end` is set to the byte after it.
std::optional<std::string> read_name(std::string_view message, std::size_t offset, std::size_t* end = nullptr);

}  // namespace mainstay::routing::dns
