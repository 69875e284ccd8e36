// Reading, and what reading and writing share. Writing is in verbs_write.cc, deleting in verbs_delete.cc.
#include "api/verbs.h"

#include <fmt/format.h>

#include "api/metadata.h"
#include "base/encoding.h"
#include "base/status.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

// Where the next page starts, and at which revision the first began: a client that watches from that revision after the
// last page sees all that changed while it turned pages.
struct Continue {
  std::int64_t revision = 0;
  std::string ns, name;
  std::size_t seen = 0;

  std::string encode() const {
    return base::base64url(
        json::serialize(json::object{{"v", 1}, {"rv", revision}, {"ns", ns}, {"n", name}, {"s", seen}}));
  }

  static Continue decode(std::string_view token) {
    const base::StatusError bad = base::gone(
        "The provided continue parameter is not one this server gave out. List again without it to start over.");
    if (token.size() > 2048) throw bad;
    auto text = base::base64url_decode(token);
    if (!text) throw bad;
    auto parsed = base::parse_json(*text, 4);
    if (!parsed || !parsed->is_object() || base::get_int(*parsed, "v") != 1) throw bad;
    Continue out{base::get_int(*parsed, "rv"), base::get_string(*parsed, "ns"), base::get_string(*parsed, "n"),
                 static_cast<std::size_t>(base::get_int(*parsed, "s"))};
    if (out.revision <= 0 || out.name.empty()) throw bad;
    return out;
  }
};

void check_version(const std::string& wanted, std::int64_t current) {
  if (wanted.empty() || wanted == "0") return;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), number);
  if (error != std::errc{} || end != wanted.data() + wanted.size() || number < 0) {
    throw base::bad_request(fmt::format("resourceVersion: Invalid value: \"{}\": must be a whole number", wanted));
  }
  if (number > current) {
    throw base::StatusError(504, "Timeout", fmt::format("Too large resource version: {}, current: {}", number, current),
                            {{"causes", json::array{json::object{{"reason", "ResourceVersionTooLarge"},
                                                                 {"message", "Too large resource version"}}}},
                             {"retryAfterSeconds", 1}});
  }
}

void check_fields(const Type& type, const base::FieldSelector& fields) {
  for (const std::string& path : fields.paths()) {
    if (!type.selectable_fields.contains(path))
      throw base::bad_request(fmt::format("field label not supported: {}", path));
  }
}

}  // namespace

Verbs::Verbs(const TypeRegistry& types, store::Backend& store, base::Clock& clock, Admit admit)
    : types_(types), store_(store), clock_(clock), admit_(std::move(admit)) {}

store::Key Verbs::key_of(const Type& type, std::string_view ns, std::string_view name) const {
  return {type.group, type.plural, type.namespaced ? std::string(ns) : std::string(), std::string(name)};
}

store::RecordPtr Verbs::require(const Type& type, std::string_view ns, std::string_view name) const {
  store::RecordPtr record = store_.get(key_of(type, ns, name));
  if (!record) throw base::not_found(type.qualified(), name);
  return record;
}

store::RecordPtr Verbs::get(const Type& type, std::string_view ns, std::string_view name) const {
  return require(type, ns, name);
}

ListResult Verbs::list(const Type& type, std::string_view ns, const ListOptions& options) const {
  check_version(options.resource_version, store_.revision());
  check_fields(type, options.fields);
  ListResult result;
  result.revision = store_.revision();
  if (options.exact) {
    // Only what is there now is kept, which is what was there then where nothing has changed since.
    std::from_chars(options.resource_version.data(), options.resource_version.data() + options.resource_version.size(),
                    result.revision);
    if (store_.changed_at(type.group, type.plural) > result.revision)
      throw base::gone(
          fmt::format("The provided resource version {} is too old: {} have changed since. List without it.",
                      options.resource_version, type.qualified()));
  }
  std::optional<std::pair<std::string, std::string>> after;
  std::size_t seen = 0;
  if (!options.continue_token.empty()) {
    Continue from = Continue::decode(options.continue_token);
    result.revision = from.revision;
    after.emplace(std::move(from.ns), std::move(from.name));
    seen = from.seen;
  }
  const bool selective = !options.labels.empty() || !options.fields.empty();
  const auto wanted = [&](const store::Record& record) {
    return !selective || (options.labels.matches_object(*record.object) && options.fields.matches(*record.object));
  };
  // A selector for one name is a get in a list's clothes: clients that wait for one object ask so.
  if (const std::string name = options.fields.required("metadata.name");
      !name.empty() && (!ns.empty() || !type.namespaced)) {
    if (auto record = store_.get(key_of(type, ns, name)); record && !after && wanted(*record))
      result.items.push_back(record);
    return result;
  }
  // One more than the page tells whether there is another; with selectors the store is read in pieces.
  const std::size_t most = options.limit == 0 ? SIZE_MAX : options.limit;
  const std::size_t piece = options.limit == 0 ? 0
                            : selective        ? std::max<std::size_t>(options.limit, 500)
                                               : options.limit + 1;
  bool more = false;
  for (bool end = false; !end && !more;) {
    auto records = store_.list(type.group, type.plural, ns, after, piece);
    end = piece == 0 || records.size() < piece;
    if (!end) after.emplace(records.back()->key.ns, records.back()->key.name);
    for (auto& record : records) {
      if (!wanted(*record)) continue;
      if (result.items.size() == most) {
        more = true;
        break;
      }
      result.items.push_back(std::move(record));
    }
  }
  if (!more) return result;
  const store::Key& last = result.items.back()->key;
  seen += result.items.size();
  result.continue_token = Continue{result.revision, last.ns, last.name, seen}.encode();
  // Known cheaply only for a whole resource; Kubernetes lets a server leave it out.
  if (!selective && (ns.empty() || !type.namespaced)) {
    const std::size_t total = store_.count(type.group, type.plural);
    result.remaining = total > seen ? total - seen : 0;
  }
  return result;
}

void Verbs::check_namespace(const Type& type, const std::string& ns, const std::string& name) const {
  if (!type.namespaced) return;
  if (ns.empty()) throw base::bad_request("an object of a namespaced kind needs a namespace");
  const store::RecordPtr record = store_.get({"", "namespaces", "", ns});
  if (!record) throw base::not_found("namespaces", ns);
  if (!base::find(*record->object, "metadata.deletionTimestamp")) return;
  throw base::StatusError(
      403, "Forbidden",
      fmt::format("{} \"{}\" is forbidden: unable to create new content in namespace {} because it is being terminated",
                  type.qualified(), name, ns),
      {{"name", name},
       {"group", type.group},
       {"kind", type.plural},
       {"causes", json::array{json::object{{"reason", "NamespaceTerminating"},
                                           {"message", fmt::format("namespace {} is being terminated", ns)},
                                           {"field", "metadata.namespace"}}}}});
}

async::Task<> Verbs::admit(AdmissionRequest& request) const {
  if (admit_) co_await admit_(request);
}

}  // namespace mainstay::api
