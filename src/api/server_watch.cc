// Watches: the feed of one type's changes as a selection sees them, and its wire form.
#include <fmt/format.h>

#include <random>

#include "api/server_impl.h"
#include "base/log.h"
#include "base/status.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

constexpr std::chrono::seconds kBookmarkEvery{45};
constexpr std::string_view kInitialEventsEnd = "k8s.io/initial-events-end";

std::shared_ptr<const std::string> serialized(const json::value& value) {
  return std::make_shared<const std::string>(base::to_json(value));
}

base::StatusError too_old(std::string_view version, std::int64_t current) {
  return base::gone(fmt::format("too old resource version: {} ({})", version, current));
}

// Watches that all began with the server should not all end in one moment.
std::chrono::seconds default_life() {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::seconds(std::uniform_int_distribution<int>(1800, 3600)(random));
}

}  // namespace

std::string_view to_string(WatchType type) {
  switch (type) {
    case WatchType::kAdded:
      return "ADDED";
    case WatchType::kModified:
      return "MODIFIED";
    case WatchType::kDeleted:
      return "DELETED";
    case WatchType::kBookmark:
      return "BOOKMARK";
  }
  return "";
}

struct WatchFeed::Impl {
  const Type& type;
  store::Backend& store;
  FeedOptions options;
  std::unique_ptr<store::Watch> changes;
  std::vector<store::RecordPtr> initial;  // still to be given out, last first
  bool announce_end = false;              // a bookmark after them tells that they are complete
  std::int64_t start = 0;
  std::chrono::steady_clock::time_point bookmarked = std::chrono::steady_clock::now();

  bool sees(const store::RecordPtr& record) const {
    if (!record || (!options.ns.empty() && record->key.ns != options.ns)) return false;
    return (options.labels.empty() || options.labels.matches_object(*record->object)) &&
           (options.fields.empty() || options.fields.matches(*record->object));
  }

  // Whether objects can come into the selection and leave it while they exist. Their names and namespaces stay.
  bool needs_previous() const {
    return !options.labels.empty() || std::ranges::any_of(options.fields.paths(), [](const std::string& path) {
      return path != "metadata.name" && path != "metadata.namespace";
    });
  }

  static FeedEvent event(WatchType type, const store::RecordPtr& record) {
    return {type, record->object, record->bytes, record};
  }

  // What a change is to this selection; nullopt: nothing.
  std::optional<FeedEvent> translate(const store::Change& change) const {
    const bool before = sees(change.previous);
    if (change.type == store::Change::Type::kDelete) {
      if (!before) return std::nullopt;
      return event(WatchType::kDeleted, change.record);
    }
    const bool after = sees(change.record);
    if (after) return event(before ? WatchType::kModified : WatchType::kAdded, change.record);
    if (!before) return std::nullopt;
    // Moved out of the selection: its last state within, with the revision of the move.
    auto record = std::make_shared<store::Record>(*change.previous);
    json::value object = *change.previous->object;
    base::set(object, "metadata.resourceVersion", json::value(std::to_string(change.revision)));
    record->revision = change.revision;
    record->bytes = serialized(object);
    record->object = std::make_shared<const json::value>(std::move(object));
    return event(WatchType::kDeleted, record);
  }

  FeedEvent bookmark(std::int64_t revision, bool initial_end) {
    bookmarked = std::chrono::steady_clock::now();
    json::object metadata{{"resourceVersion", std::to_string(revision)}, {"creationTimestamp", nullptr}};
    if (initial_end) metadata["annotations"] = json::object{{kInitialEventsEnd, "true"}};
    json::value object =
        json::object{{"kind", type.kind}, {"apiVersion", type.api_version()}, {"metadata", std::move(metadata)}};
    auto bytes = serialized(object);
    return {WatchType::kBookmark, std::make_shared<const json::value>(std::move(object)), std::move(bytes), nullptr};
  }

  void begin() {
    const std::int64_t current = store.revision();
    const std::string& version = options.resource_version;
    const bool from_now = version.empty() || version == "0" || options.initial_events.value_or(false);
    start = current;
    if (!from_now) {
      auto [end, error] = std::from_chars(version.data(), version.data() + version.size(), start);
      if (error != std::errc() || end != version.data() + version.size() || start < 0) {
        throw base::bad_request(fmt::format("resourceVersion: Invalid value: \"{}\": must be a whole number", version));
      }
      // From the future: the client knew another life of this server's state.
      if (start > current) throw too_old(version, current);
    }
    auto opened = store.watch(type.group, type.plural, start, needs_previous());
    if (!opened)
      throw opened.error().code == base::ErrorCode::kNotFound ? too_old(version, current)
                                                              : base::from_error(opened.error());
    changes = std::move(*opened);
    if (!from_now || !options.initial_events.value_or(true)) return;
    for (auto& record : store.list(type.group, type.plural, options.ns)) {
      if (sees(record)) initial.push_back(std::move(record));
    }
    std::ranges::reverse(initial);
    announce_end = options.initial_events.value_or(false) && options.bookmarks;
  }
};

WatchFeed::WatchFeed(const Type& type, store::Backend& store, FeedOptions options)
    : impl_(std::make_unique<Impl>(Impl{type, store, std::move(options)})) {
  impl_->begin();
}
WatchFeed::~WatchFeed() = default;

async::Task<std::optional<FeedEvent>> WatchFeed::next() {
  Impl& impl = *impl_;
  if (!impl.initial.empty()) {
    auto record = std::move(impl.initial.back());
    impl.initial.pop_back();
    co_return Impl::event(WatchType::kAdded, record);
  }
  if (std::exchange(impl.announce_end, false)) co_return impl.bookmark(impl.start, true);
  while (true) {
    const auto now = std::chrono::steady_clock::now();
    if (impl.options.end && now >= *impl.options.end) co_return std::nullopt;
    if (impl.options.bookmarks && now - impl.bookmarked >= kBookmarkEvery)
      co_return impl.bookmark(impl.changes->revision(), false);
    std::chrono::nanoseconds limit = impl.options.bookmarks ? impl.bookmarked + kBookmarkEvery - now
                                                            : std::chrono::nanoseconds(std::chrono::hours(1));
    if (impl.options.end) limit = std::min<std::chrono::nanoseconds>(limit, *impl.options.end - now);
    auto change = co_await impl.changes->next(limit);
    if (!change) {
      if (change.error().code == base::ErrorCode::kExhausted)
        throw base::gone("the watch fell too far behind; list again");
      if (change.error().code == base::ErrorCode::kUnavailable) co_return std::nullopt;
      throw base::from_error(change.error());
    }
    if (!*change) continue;
    if (auto event = impl.translate(**change)) co_return event;
  }
}

namespace {

struct WatchStreamState {
  ExchangePtr x;
  const Type* type;
  store::Backend* store;
  base::Clock* clock;
  Negotiated form;
  FeedOptions options;
};

// `{"type":…,"object":…}` and a line end. The object's stored bytes are copied, not written anew.
std::string frame(std::string_view type, std::string_view object) {
  std::string line;
  line.reserve(object.size() + 40);
  line.append(R"({"type":")").append(type).append(R"(","object":)").append(object).append("}\n");
  return line;
}

std::string render_event(const WatchStreamState& state, const FeedEvent& event) {
  const std::string_view type = to_string(event.type);
  if (state.form.form == Form::kPartial) {
    return frame(type, base::to_json(partial_metadata(*event.object)));
  }
  if (state.form.form == Form::kTable) {
    std::vector<store::RecordPtr> rows;
    if (event.record) rows.push_back(event.record);
    json::value table = table_of(*state.type, rows, state.x->http->query, state.clock->now());
    table.as_object()["apiVersion"] = "meta.k8s.io/" + state.form.as_version;
    base::set(table, "metadata.resourceVersion",
              json::value(base::get_string(*event.object, "metadata.resourceVersion")));
    return frame(type, base::to_json(table));
  }
  return frame(type, *event.bytes);
}

struct Watching {
  base::Gauge* gauge;
  explicit Watching(base::Gauge* g) : gauge(g) { gauge->add(1); }
  ~Watching() { gauge->add(-1); }
};

async::Task<> write_watch(std::shared_ptr<WatchStreamState> state, base::Gauge* gauge, net::BodyWriter& writer) {
  Watching watching(gauge);
  std::optional<base::StatusError> error;
  try {
    WatchFeed feed(*state->type, *state->store, state->options);
    while (auto event = co_await feed.next()) {
      const std::string line = render_event(*state, *event);
      co_await writer.write(line);
    }
  } catch (const base::StatusError& e) {
    error = e;
  }
  if (error) co_await writer.write(frame("ERROR", base::to_json(json::value(error->to_json()))));
}

}  // namespace

net::Response Server::Impl::watch(ExchangePtr x, Negotiated form) {
  if (form.yaml) form.yaml = false;  // a stream of events is JSON
  const net::Query& query = x->http->query;
  ListOptions selection = list_options(*x->type, query);
  FeedOptions options;
  options.ns = x->path->ns;
  options.labels = std::move(selection.labels);
  options.fields = std::move(selection.fields);
  options.resource_version = selection.resource_version;
  options.bookmarks = flag(query, "allowWatchBookmarks");
  if (query.has("sendInitialEvents")) {
    if (query.get("resourceVersionMatch") != "NotOlderThan") {
      throw base::bad_request("sendInitialEvents requires resourceVersionMatch=NotOlderThan");
    }
    options.initial_events = flag(query, "sendInitialEvents");
  }
  // Legacy clients watch one object by its name in the path.
  if (!x->path->name.empty()) {
    auto by_name = base::FieldSelector::parse("metadata.name=" + x->path->name);
    if (by_name) options.fields = std::move(*by_name);
  }
  std::chrono::seconds life = default_life();
  if (const std::string_view text = query.get("timeoutSeconds"); !text.empty()) {
    std::int64_t seconds = 0;
    std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (seconds > 0) life = std::chrono::seconds(std::min<std::int64_t>(seconds, 24 * 3600));
  }
  options.end = std::chrono::steady_clock::now() + life;
  x->long_running = true;
  auto state =
      std::make_shared<WatchStreamState>(WatchStreamState{x, x->type, &d.store, &d.clock, form, std::move(options)});
  net::Response response;
  response.headers.set("Content-Type", "application/json");
  response.body = net::StreamBody{
      [state, gauge = watchers](net::BodyWriter& writer) { return write_watch(state, gauge, writer); }, std::nullopt};
  return response;
}

}  // namespace mainstay::api
