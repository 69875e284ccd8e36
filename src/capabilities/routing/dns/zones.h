// What this server answers for: zones, and the records that objects put into them. Pure.
//
// A source ("service/shop-dev/web") contributes records and may replace or withdraw them; the same record from two
// sources stays until the last withdraws it. Reads never look at objects: an answer is two or three hash look-ups.
#pragma once
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "capabilities/routing/dns/message.h"

namespace mainstay::routing::dns {

inline constexpr std::uint32_t kServiceTtl = 5;  // what changes with pods
inline constexpr std::uint32_t kHostTtl = 30;

struct Lookup {
  bool ours = false;   // in one of our zones
  bool inner = false;  // in a zone that only pods and this machine may ask for
  Reply reply;
  std::string chase;  // the name that a CNAME left our zones for, to be asked elsewhere
};

class Zones {
 public:
  // `origin` and `name_server` are wire names. Inner zones are told to pods and to this machine alone.
  void add_zone(const std::string& origin, const std::string& name_server, bool inner);
  void remove_zone(const std::string& origin);
  void set(const std::string& source, std::vector<Record> records);  // none: withdraws
  Lookup find(const Query& query) const;
  std::size_t names() const { return nodes_.size(); }

 private:
  struct Entry {
    Record record;
    int sources = 1;
  };
  struct Node {
    std::vector<Entry> entries;
    int below = 0;  // names below this one: it exists then, though it may have no record (RFC 8020)
  };
  struct Zone {
    Record soa, ns;
    bool inner = false;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  const Zone* zone_of(std::string_view name) const;
  void add(const Record& record);
  void remove(const Record& record);
  void count_below(std::string_view name, int by);
  std::string star_for(std::string_view name) const;  // "" where none is
  // Appends the records of the type.
  void collect(std::string_view name, std::uint16_t type, std::vector<Record>& out) const;

  std::unordered_map<std::string, Zone, Hash, std::equal_to<>> zones_;
  std::unordered_map<std::string, Node, Hash, std::equal_to<>> nodes_;
  std::map<std::string, std::vector<Record>> sources_;
  std::uint32_t serial_ = 1;
};

}  // namespace mainstay::routing::dns
