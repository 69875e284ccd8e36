// Rules of the edge, whoever asked for them (HTTPRoute or Ingress), and their text in HAProxy's language. Pure.
//
// A request is tried against all matches in the order of their precedence; the first that fits names its rule, and the
// rule is a key of the edge's map as a host is. All that a user wrote is checked here once more, whatever a schema
// says: what cannot be written safely is an error, never a line.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/config.h"
#include "base/result.h"

namespace mainstay::routing {

enum class Scheme { kPlain, kAny };  // only over plain HTTP; over both (which may still mean a redirect to TLS)

struct Match {
  std::string host;  // "shop.example.com" or "*.example.com"
  Scheme scheme = Scheme::kAny;
  bool exact = false;  // the path; else a prefix, by segments
  std::string path = "/";
  std::string method;  // "" any
  std::vector<std::pair<std::string, std::string>> headers, queries;
  std::string signature() const;  // equal where two match the same
};

struct HeaderChange {
  enum Kind { kSet, kAdd, kRemove } kind = kSet;
  std::string name, value;
};
struct PathChange {
  bool full = false;  // else of the matched prefix
  std::string value;
};
struct Redirect {
  std::string scheme, host;  // "": as asked
  int port = 0;              // 0: the edge's own for the scheme
  std::optional<PathChange> path;
  int code = 302;
};
struct AccessPolicy {
  std::vector<std::string> allow, deny;  // networks: "10.0.0.0/8"
  int requests_per_second = 0;           // of one client address; 0: no limit
};

inline constexpr std::chrono::milliseconds kLongestTimeout = std::chrono::hours(24);

struct Rule {
  std::string key;     // "r-<hash>", unique and stable
  std::string source;  // "HTTPRoute shop-dev/web", for order among equals and comments
  std::string created;
  std::vector<Match> matches;
  std::vector<HeaderChange> request, response;
  std::optional<Redirect> redirect;
  std::optional<PathChange> rewrite;
  std::string rewrite_host;
  // How long a pod may take to begin its answer, and between two pieces of it; 0: as long as it likes (a day).
  std::optional<std::chrono::milliseconds> timeout;
  AccessPolicy access;
};

// What cannot be said safely in the configuration: the message names the value.
base::Result<> check_rule(const Rule& rule);

// Where in the frontend the lines go.
struct RuleTexts {
  std::string select;     // sets txn.match and txn.rule
  std::string deny;       // access policies and redirects: before the backend is looked for
  std::string change;     // of the request, once it is known that it is served
  std::string responses;  // of the answer
  std::string tables;     // sections of their own, for rate limits
  std::string backends;   // in each backend
  bool operator==(const RuleTexts&) const = default;
};
// Of checked rules.
RuleTexts render_rules(const std::vector<Rule>& rules, const base::Config& config);

}  // namespace mainstay::routing
