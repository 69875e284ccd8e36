#include "capabilities/routing/dns/zones.h"

#include <algorithm>

namespace mainstay::routing::dns {
namespace {

constexpr int kLongestChain = 8;

void append32(std::string& out, std::uint32_t v) {
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(v >> shift));
}

// Serial, refresh, retry, expire, and how long a missing name may be remembered (RFC 2308, section 4).
std::string soa_data(const std::string& name_server, const std::string& origin, std::uint32_t serial) {
  std::string out = name_server + *wire_name("hostmaster");
  out.pop_back();
  out += origin;
  for (const std::uint32_t v : {serial, 7200u, 1800u, 86400u, kServiceTtl}) append32(out, v);
  return out;
}

void with_serial(Record& soa, std::uint32_t serial) {
  std::string bytes;
  append32(bytes, serial);
  soa.data.replace(soa.data.size() - 20, 4, bytes);
}

}  // namespace

void Zones::add_zone(const std::string& origin, const std::string& name_server, bool inner) {
  Zone zone;
  zone.soa = {origin, kSoa, kServiceTtl, soa_data(name_server, origin, serial_)};
  zone.ns = {origin, kNs, kHostTtl, name_server};
  zone.inner = inner;
  zones_[origin] = std::move(zone);
}

void Zones::remove_zone(const std::string& origin) { zones_.erase(origin); }

const Zones::Zone* Zones::zone_of(std::string_view name) const {
  for (; !name.empty(); name = parent_name(name)) {
    if (const auto it = zones_.find(name); it != zones_.end()) return &it->second;
  }
  return nullptr;
}

void Zones::count_below(std::string_view name, int by) {
  for (name = parent_name(name); name.size() > 1; name = parent_name(name)) {
    Node& node = nodes_[std::string(name)];
    node.below += by;
    if (node.below == 0 && node.entries.empty()) nodes_.erase(std::string(name));
  }
}

void Zones::add(const Record& record) {
  Node& node = nodes_[record.name];
  for (Entry& entry : node.entries) {
    if (entry.record.type != record.type || entry.record.data != record.data) continue;
    ++entry.sources;
    return;
  }
  node.entries.push_back({record, 1});
  if (node.entries.size() == 1) count_below(record.name, 1);
}

void Zones::remove(const Record& record) {
  const auto at = nodes_.find(record.name);
  if (at == nodes_.end()) return;
  auto& entries = at->second.entries;
  const auto entry = std::ranges::find_if(
      entries, [&](const Entry& e) { return e.record.type == record.type && e.record.data == record.data; });
  if (entry == entries.end() || --entry->sources > 0) return;
  entries.erase(entry);
  if (!entries.empty()) return;
  if (at->second.below == 0) nodes_.erase(at);
  count_below(record.name, -1);
}

void Zones::set(const std::string& source, std::vector<Record> records) {
  std::ranges::sort(records);
  records.erase(std::ranges::unique(records).begin(), records.end());
  const auto known = sources_.find(source);
  if (known == sources_.end() ? records.empty() : known->second == records) return;
  // New ones first: what stays is never missing in between.
  for (const Record& record : records) add(record);
  if (known != sources_.end()) {
    for (const Record& record : known->second) remove(record);
  }
  if (records.empty()) {
    sources_.erase(source);
  } else {
    sources_[source] = std::move(records);
  }
  ++serial_;
}

void Zones::collect(std::string_view name, std::uint16_t type, std::vector<Record>& out) const {
  const auto at = nodes_.find(name);
  if (at == nodes_.end()) return;
  for (const Entry& entry : at->second.entries) {
    if (entry.record.type == type || type == kAny) out.push_back(entry.record);
  }
}

// RFC 4592: a name that is not there is answered for by the star below its closest name that is.
std::string Zones::star_for(std::string_view name) const {
  for (name = parent_name(name); name.size() > 1; name = parent_name(name)) {
    std::string star = std::string("\1*", 2).append(name);
    if (nodes_.contains(star)) return star;
    if (nodes_.contains(name) || zones_.contains(name)) return "";
  }
  return "";
}

Lookup Zones::find(const Query& query) const {
  Lookup out;
  const Zone* zone = zone_of(query.name);
  if (zone == nullptr) return out;
  out.ours = true;
  out.inner = zone->inner;
  Reply& reply = out.reply;
  reply.authoritative = true;
  std::string name = query.name;
  bool exists = false;
  for (int step = 0; step < kLongestChain; ++step) {
    exists = nodes_.contains(name) || zones_.contains(name);
    const std::size_t before = reply.answers.size();
    const std::string star = exists ? "" : star_for(name);
    exists = exists || !star.empty();
    collect(star.empty() ? name : star, query.type, reply.answers);
    for (std::size_t i = before; i < reply.answers.size(); ++i) reply.answers[i].name = name;
    if (const auto apex = zones_.find(name); apex != zones_.end()) {
      if (query.type == kSoa) reply.answers.push_back(apex->second.soa);
      if (query.type == kNs) reply.answers.push_back(apex->second.ns);
    }
    if (reply.answers.size() > before || query.type == kCname) break;
    std::vector<Record> alias;
    collect(name, kCname, alias);
    if (alias.empty()) break;
    name = alias.front().data;
    reply.answers.push_back(std::move(alias.front()));
    const Zone* next = zone_of(name);
    if (next == nullptr) {
      out.chase = name;
      return out;
    }
    zone = next;
  }
  for (Record& record : reply.answers) {
    if (record.type == kSoa) with_serial(record, serial_);
  }
  const bool only_aliases = std::ranges::all_of(reply.answers, [&](const Record& r) { return r.type == kCname; });
  if (reply.answers.empty() || (only_aliases && query.type != kCname && query.type != kAny)) {
    if (!exists) reply.rcode = kNxDomain;
    reply.authority.push_back(zone->soa);
    with_serial(reply.authority.back(), serial_);
  }
  if (query.type == kSrv) {  // the addresses that will be asked for next
    for (const Record& record : reply.answers) {
      if (record.type == kSrv) collect(std::string_view(record.data).substr(6), kA, reply.additional);
    }
  }
  return out;
}

}  // namespace mainstay::routing::dns
