#include "capabilities/routing/dns/forwarder.h"

#include <algorithm>

#include "base/ids.h"
#include "base/strings.h"
#include "net/datagram.h"
#include "net/framed.h"

namespace mainstay::routing::dns {
namespace {

constexpr int kMostUnderWay = 512, kMostOfAClient = 64;
constexpr std::size_t kMostKept = 4096, kLargestKept = 4096;
constexpr std::uint32_t kLongestKept = 300;  // seconds
constexpr std::chrono::milliseconds kLimit{2000};

std::uint32_t u32_at(std::string_view m, std::size_t at) {
  std::uint32_t v = 0;
  for (std::size_t i = 0; i < 4; ++i) v = v << 8 | static_cast<std::uint8_t>(m[at + i]);
  return v;
}
void put32(std::string& m, std::size_t at, std::uint32_t v) {
  for (std::size_t i = 0; i < 4; ++i) m[at + i] = static_cast<char>(v >> (24 - 8 * i));
}

std::uint16_t random_id() {
  unsigned char raw[2];
  base::random_bytes(raw);
  return static_cast<std::uint16_t>(raw[0] << 8 | raw[1]);
}

// Over UDP and TCP, with and without EDNS, answers differ.
std::string cache_key(const Query& q, bool tcp) {
  std::string key = q.name;
  key.push_back(static_cast<char>(q.type >> 8));
  key.push_back(static_cast<char>(q.type));
  key.push_back(static_cast<char>((q.edns ? 1 : 0) | (q.dnssec_ok ? 2 : 0) | (tcp ? 4 : 0)));
  return key;
}

// The other server's message as our reply: the client's id and spelling, no claim of authority. Too long for the
// client's UDP: only the head, with TC.
std::string fitted(std::string message, const Query& query, std::string_view request, bool tcp) {
  message[0] = static_cast<char>(query.id >> 8);
  message[1] = static_cast<char>(query.id);
  message[2] = static_cast<char>((message[2] & ~0x05) | (query.recursion_desired ? 1 : 0));
  message[3] = static_cast<char>(message[3] | 0x80);
  message.replace(12, query.question_end - 12, request.substr(12, query.question_end - 12));
  if (!tcp && message.size() > std::min<std::size_t>(query.payload, 1232)) {
    message.resize(query.question_end);
    std::fill(message.begin() + 6, message.begin() + 12, '\0');
    message[2] = static_cast<char>(message[2] | 2);
  }
  return message;
}

std::string failure(const Query& query, std::string_view request) {
  Reply reply;
  reply.rcode = kServFail;
  reply.recursion_available = true;
  std::string out(1232, '\0');
  out.resize(write_reply(query, request, reply, out, out.size()));
  return out;
}

}  // namespace

std::vector<base::HostPort> upstreams_of(std::string_view text, std::string_view except) {
  std::vector<base::HostPort> out;
  for (std::string_view line : base::split(text, '\n')) {
    line = base::trim(line);
    if (!line.starts_with("nameserver") || line.size() < 12 || (line[10] != ' ' && line[10] != '\t')) continue;
    std::string_view address = base::trim(line.substr(11));
    address = address.substr(0, address.find_first_of(" \t#;%"));
    if (!address.empty() && address != except && out.size() < 3) out.push_back({std::string(address), 53});
  }
  return out;
}

std::chrono::seconds lifetime_of(std::string_view message, const Layout& layout) {
  if (layout.truncated || (layout.rcode != kNoError && layout.rcode != kNxDomain)) return {};
  std::uint32_t least = kLongestKept;
  bool answers = false, negative = false;
  for (const Section& record : layout.records) {
    if (record.type == kOpt) continue;
    answers = answers || record.section == 1;
    least = std::min(least, record.ttl);
    if (record.section == 2 && record.type == kSoa && record.size >= 22) {
      least = std::min(least, u32_at(message, record.data + record.size - 4));
      negative = true;
    }
  }
  if (!answers && !negative) return {};
  return std::chrono::seconds(least);
}

void age(std::string& message, const Layout& layout, std::uint32_t by) {
  for (const Section& record : layout.records) {
    if (record.type != kOpt) put32(message, record.data - 6, record.ttl > by ? record.ttl - by : 0);
  }
}

struct Forwarder::Place {
  Place(Forwarder& f, std::uint32_t c) : forwarder(f), client(c) {
    int& of_client = forwarder.by_client_[client];
    taken = forwarder.under_way_ < kMostUnderWay && of_client < kMostOfAClient;
    ++forwarder.under_way_;
    ++of_client;
  }
  Place(const Place&) = delete;
  ~Place() {
    --forwarder.under_way_;
    if (--forwarder.by_client_[client] == 0) forwarder.by_client_.erase(client);
  }
  Forwarder& forwarder;
  std::uint32_t client;
  bool taken = false;
};

std::string Forwarder::remembered(const Query& query, std::string_view request, bool tcp) {
  const auto at = kept_.find(cache_key(query, tcp));
  if (at == kept_.end()) return "";
  const base::SteadyTime now = clock_.steady();
  if (now >= at->second.until) {
    kept_.erase(at);
    return "";
  }
  std::string message = at->second.message;
  age(message, at->second.layout,
      static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(now - at->second.at).count()));
  return fitted(std::move(message), query, request, tcp);
}

void Forwarder::remember(std::string key, std::string message, Layout layout) {
  const auto lifetime = lifetime_of(message, layout);
  if (lifetime.count() == 0 || message.size() > kLargestKept) return;
  const base::SteadyTime now = clock_.steady();
  if (kept_.size() >= kMostKept) std::erase_if(kept_, [now](const auto& entry) { return entry.second.until <= now; });
  if (kept_.size() >= kMostKept) kept_.erase(kept_.begin());
  kept_[std::move(key)] = {std::move(message), std::move(layout), now, now + lifetime};
}

async::Task<base::Result<std::string>> Forwarder::exchange(std::string name, std::uint16_t type, bool edns,
                                                           bool dnssec_ok, bool tcp) {
  const auto servers = upstreams_();
  base::Result<std::string> last = base::fail(base::ErrorCode::kUnavailable, "this machine names no resolver");
  for (const base::HostPort& server : servers) {
    const std::uint16_t id = random_id();
    const auto fits = [id, name, type](std::string_view message) {
      const auto layout = read_layout(message);
      return layout && layout->response && layout->id == id && layout->name == name && layout->type == type &&
             layout->klass == 1;
    };
    const std::string question = write_query(id, name, type, edns, dnssec_ok);
    if (tcp) {
      last = co_await net::framed_exchange(server, question, kLimit);
      if (last && !fits(*last)) last = base::fail(base::ErrorCode::kInvalid, "an answer to another question");
    } else {
      last = co_await net::datagram_exchange(server, question, fits, kLimit);
    }
    // A resolver that cannot is not the last word where there is another.
    if (last && (static_cast<unsigned char>((*last)[3]) & 15) != kServFail) co_return last;
  }
  co_return last;
}

async::Task<std::string> Forwarder::ask(Query query, std::string request, bool tcp, std::uint32_t client) {
  auto self = shared_from_this();
  const Place place(*this, client);
  if (!place.taken) co_return failure(query, request);
  auto answer = co_await exchange(query.name, query.type, query.edns, query.dnssec_ok, tcp);
  const auto layout = answer ? read_layout(*answer) : std::nullopt;
  // The question's name must stand there in full, as we sent it, to be replaced by the client's spelling.
  if (!layout || answer->size() < query.question_end || answer->compare(12, query.name.size(), query.name) != 0)
    co_return failure(query, request);
  remember(cache_key(query, tcp), *answer, *layout);
  co_return fitted(*std::move(answer), query, request, tcp);
}

async::Task<std::vector<Record>> Forwarder::addresses(std::string name, std::uint16_t type, std::uint32_t client) {
  auto self = shared_from_this();
  std::vector<Record> out;
  const Place place(*this, client);
  if (!place.taken) co_return out;
  auto answer = co_await exchange(std::move(name), type, true, false, false);
  const auto layout = answer ? read_layout(*answer) : std::nullopt;
  if (!layout) co_return out;
  for (const Section& section : layout->records) {
    if (section.section != 1) continue;
    auto owner = read_name(*answer, section.offset);
    if (!owner) continue;
    if (section.type == kCname) {
      if (auto target = read_name(*answer, section.data))
        out.push_back({*std::move(owner), kCname, section.ttl, *std::move(target)});
    } else if (section.type == kA || section.type == kAaaa) {
      out.push_back({*std::move(owner), static_cast<Type>(section.type), section.ttl,
                     answer->substr(section.data, section.size)});
    }
  }
  co_return out;
}

}  // namespace mainstay::routing::dns
