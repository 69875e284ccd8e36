// What the files server*.cc share. Not for others: include api/server.h.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/request_info.h"
#include "api/server.h"
#include "api/verbs.h"
#include "api/watch_feed.h"
#include "async/sync.h"
#include "base/status.h"

namespace mainstay::api {

inline constexpr std::size_t kMaxBody = 3u << 20;  // of an object, as etcd-backed servers bound it
inline constexpr std::string_view kComponent = "api";

// One request on its way through the chain. Shared by the chain and the responses that outlive it.
struct Exchange {
  std::shared_ptr<net::Request> http;
  std::string audit_id;
  base::SystemTime received;
  base::SteadyTime begun;
  bool in_process = false;

  UserInfo user;
  std::string impersonator;
  // What was matched: a route (capability's or our own), or an object path with its type.
  const Route* route = nullptr;
  std::map<std::string, std::string> params;
  std::optional<ObjectPath> path;
  const Type* type = nullptr;
  const Server::Subresource* handler = nullptr;  // of a registered subresource

  std::string verb;  // for audit and metrics
  Attributes what;
  Decision decision;
  bool changes = false;  // a mutation: audited
  bool long_running = false;
  std::uint64_t rights = 0, roles = 0;  // Server::Impl::rights and roles when the chain looked
  std::vector<std::string> warnings;
  std::shared_ptr<std::map<std::string, std::string>> annotations =
      std::make_shared<std::map<std::string, std::string>>();  // for the audit line
};
using ExchangePtr = std::shared_ptr<Exchange>;

// Patterns of routes, compiled and ordered so that the most exact comes first.
class RouteTable {
 public:
  // An error names the pattern and what is wrong with it.
  base::Result<> build(const std::vector<Route>& routes);
  struct Match {
    const Route* route = nullptr;
    std::map<std::string, std::string> params;
    std::string allowed;  // where the path is known but not the method: for the Allow header
  };
  Match match(std::string_view method, std::string_view path) const;

 private:
  struct Entry {
    const Route* route;
    std::vector<std::string> segments;  // "{x}" and "{x...}" as written
    bool rest = false;
  };
  static bool fits(const Entry& entry, const std::vector<std::string_view>& segments,
                   std::map<std::string, std::string>* params);
  std::map<std::string, std::vector<Entry>, std::less<>> by_first_;  // "" : the first segment is a parameter
};

// Bounds what one user has under way, so that one client's burst leaves the others their share.
class InflightLimits {
 public:
  static constexpr int kReadsPerUser = 400, kWritesPerUser = 200;
  class Slot {
   public:
    Slot() = default;
    explicit Slot(int* count) : count_(count) { ++*count_; }
    Slot(Slot&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (count_) --*count_;
    }

   private:
    int* count_ = nullptr;
  };
  // Throws StatusError 429. The platform's own services are not counted.
  Slot take(const UserInfo& user, bool write);
  int total(bool write) const;

 private:
  struct Counts {
    int reads = 0, writes = 0;
  };
  std::unordered_map<std::string, Counts> users_;
};

// Documents that follow from the types alone: made once, at the first request.
struct Document {
  std::shared_ptr<const std::string> bytes;
  std::string content_type, etag;
};

struct Server::Impl {
  explicit Impl(Dependencies dependencies);

  Dependencies d;
  TypeRegistry types;
  Authenticator authenticator;
  Authorizer authorizer;
  Verbs verbs;
  async::TaskGroup streams;
  std::vector<Route> routes;
  RouteTable table;
  std::vector<AdmissionPlugin> admission;
  std::vector<Subresource> subresources;
  std::unordered_map<std::string, const Type*> type_index;                   // "<group>/<version>/<plural>"
  std::map<std::string, std::vector<const Subresource*>> subresource_index;  // "<group>/<plural>/<subresource>"
  std::map<std::string, Document> documents;
  InflightLimits inflight;
  bool started = false;

  // An answer that goes on. `revoked`: it is to end.
  struct Live {
    ExchangePtr x;
    bool revoked = false, done = false;
    std::exception_ptr error;
    async::Event changed;
  };
  std::list<std::shared_ptr<Live>> live;
  std::uint64_t rights = 1;  // counts what may have taken a right away
  std::uint64_t roles = 1;   // what of that was RBAC's
  async::Event rights_changed;
  bool following_rights = false;

  // Audit lines of nobody in particular, which anybody can cause.
  struct Strangers {
    base::SteadyTime since{};
    int kept = 0;  // since then
    std::uint64_t left_out = 0;
  };
  mutable Strangers strangers;

  struct Series {
    base::Counter* total;
    base::Histogram* seconds;
  };
  std::unordered_map<std::string, Series> series;
  base::Gauge* watchers = nullptr;

  // server.cc: the chain.
  async::Task<net::Response> chain(ExchangePtr x, std::optional<UserInfo> known);  // nullopt: by its credentials
  async::Task<net::Response> run(ExchangePtr x);
  ExchangePtr begin(std::shared_ptr<net::Request> request);
  void match(Exchange& x) const;
  void match_object(Exchange& x) const;
  void impersonate(Exchange& x) const;
  void authorize(Exchange& x) const;
  net::Response refuse(const ExchangePtr& x, const base::StatusError& error) const;
  void finish(const Exchange& x, net::Response& response, const std::string& refusal);
  std::shared_ptr<RequestContext> context(const Exchange& x) const;
  const Type* find_type(std::string_view group, std::string_view version, std::string_view plural) const;
  base::Result<> index();

  // server_in_process.cc: matched and authorized, or throws.
  ExchangePtr begin_in_process(UserInfo user, std::string verb, const Collection& which);

  // server_audit.cc: what is kept and counted of a request.
  void audit(const Exchange& x, int status, const std::string& refusal) const;
  bool keeps_line_of_stranger() const;
  void measure(const Exchange& x, int status);

  // server_admission.cc
  async::Task<> admit(AdmissionRequest& request) const;
  void guard_rbac(const AdmissionRequest& request) const;

  // server_routes.cc: our own routes.
  void add_builtin_routes();
  async::Task<net::Response> document(std::string key, std::shared_ptr<net::Request> request, std::string content_type,
                                      std::function<std::string()> make);
  void add_subresources_to(base::json::value& resources, std::string_view group) const;
  void add_subresources_to_aggregated(base::json::value& list) const;

  // server_objects.cc: the verbs in HTTP.
  async::Task<net::Response> act(ExchangePtr x);
  async::Task<net::Response> read(ExchangePtr x, Negotiated form);
  async::Task<net::Response> write(ExchangePtr x, Negotiated form);
  async::Task<net::Response> remove(ExchangePtr x, Negotiated form);
  async::Task<base::json::value> body_of(ExchangePtr x, BodyKind kind);

  // server_streams.cc: answers that go on end with the right to them.
  void guard(const ExchangePtr& x, net::Response& response);
  async::Task<bool> still_allowed(ExchangePtr x) const;
  void follow_rights();
  async::Task<> follow_rbac(std::string resource);
  async::Task<> recheck_live();

  // server_watch.cc
  net::Response watch(ExchangePtr x, Negotiated form);
  // server_reviews.cc: TokenReview and its like. `body` is the review.
  async::Task<net::Response> review(ExchangePtr x, base::json::value body);
};

ListOptions list_options(const Type& type, const net::Query& query);
// The wire form of objects (server_render.cc).
net::Response render_object(const Type& type, const store::RecordPtr& record, const Negotiated& form,
                            const net::Query& query, base::SystemTime now, int status = 200);
net::Response render_list(const Type& type, const ListResult& list, const Negotiated& form, const net::Query& query,
                          base::SystemTime now);
base::json::value partial_metadata(const base::json::value& object);
base::json::value table_of(const Type& type, const std::vector<store::RecordPtr>& items, const net::Query& query,
                           base::SystemTime now);
net::Response render_value(const base::json::value& value, const Negotiated& form, int status = 200);
std::string forbidden_message(const UserInfo& user, const Attributes& what, std::string_view reason);

}  // namespace mainstay::api
