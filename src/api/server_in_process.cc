// List and watch for clients in this process: the chain's rights and counts, the store's own records.
#include "api/server_impl.h"
#include "base/status.h"

namespace mainstay::api {
namespace {

base::LabelSelector labels_of(const Collection& which) {
  auto labels = base::LabelSelector::parse(which.label_selector);
  if (!labels) throw base::bad_request("labelSelector: " + labels.error().message);
  return std::move(*labels);
}

base::FieldSelector fields_of(const Collection& which) {
  auto fields = base::FieldSelector::parse(which.field_selector);
  if (!fields) throw base::bad_request("fieldSelector: " + fields.error().message);
  return std::move(*fields);
}

}  // namespace

ExchangePtr Server::Impl::begin_in_process(UserInfo user, std::string verb, const Collection& which) {
  auto http = std::make_shared<net::Request>();
  http->peer = "in-process";
  http->path = "/" + which.plural;
  auto x = begin(std::move(http));
  x->in_process = true;
  x->verb = std::move(verb);
  x->user = std::move(user);
  add_implied_groups(x->user);
  x->type = find_type(which.group, which.version, which.plural);
  if (!x->type || !x->type->stored()) {
    throw base::StatusError(404, "NotFound", "the server could not find the requested resource " + which.plural);
  }
  x->what = Attributes{x->verb, which.group, which.plural, "", which.ns, "", ""};
  try {
    authorize(*x);
  } catch (const base::StatusError& error) {
    measure(*x, error.code());
    audit(*x, error.code(), error.message());
    throw;
  }
  return x;
}

async::Task<ListResult> Server::list_as(UserInfo user, Collection which) {
  auto x = impl_->begin_in_process(std::move(user), "list", which);
  ListOptions options;
  options.labels = labels_of(which);
  options.fields = fields_of(which);
  options.limit = which.limit;
  options.continue_token = which.continue_token;
  options.resource_version = which.resource_version;
  ListResult result = impl_->verbs.list(*x->type, which.ns, options);
  impl_->measure(*x, 200);
  co_return std::move(result);
}

async::Task<std::unique_ptr<WatchFeed>> Server::watch_as(UserInfo user, Collection which) {
  auto x = impl_->begin_in_process(std::move(user), "watch", which);
  x->long_running = true;
  FeedOptions options;
  options.ns = which.ns;
  options.labels = labels_of(which);
  options.fields = fields_of(which);
  options.resource_version = which.resource_version;
  auto feed = std::make_unique<WatchFeed>(*x->type, impl_->d.store, std::move(options));
  impl_->measure(*x, 200);
  co_return std::move(feed);
}

}  // namespace mainstay::api
