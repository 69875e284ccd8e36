#include "api/managed_fields.h"

#include <fmt/format.h>

#include "api/verbs.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

constexpr std::size_t kMaxUpdaters = 10;
constexpr std::string_view kAncient = "ancient-changes";

Manager& find_or_add(std::vector<Manager>& managers, const Manager& like) {
  for (Manager& one : managers) {
    if (one.name == like.name && one.operation == like.operation && one.subresource == like.subresource &&
        one.api_version == like.api_version) {
      return one;
    }
  }
  managers.push_back(like);
  return managers.back();
}

// Objects that many programs write through the years must not grow for ever.
void fold_updaters(std::vector<Manager>& managers) {
  std::vector<std::size_t> updaters;
  for (std::size_t i = 0; i < managers.size(); ++i) {
    if (managers[i].operation == "Update" && managers[i].name != kAncient) updaters.push_back(i);
  }
  if (updaters.size() <= kMaxUpdaters) return;
  std::ranges::sort(updaters, {}, [&](std::size_t i) { return std::pair(managers[i].time, i); });
  std::vector<bool> folded(managers.size());
  std::vector<Manager> out, old;
  for (std::size_t i = 0; i < updaters.size() - kMaxUpdaters; ++i) folded[updaters[i]] = true;
  for (std::size_t i = 0; i < managers.size(); ++i) (folded[i] ? old : out).push_back(std::move(managers[i]));
  for (Manager& one : old) {
    Manager& ancient =
        find_or_add(out, {std::string(kAncient), "Update", one.api_version, one.subresource, one.time, {}});
    ancient.fields.add_all(one.fields);
    ancient.time = std::max(ancient.time, one.time);
  }
  managers = std::move(out);
}

}  // namespace

std::string Manager::to_string() const {
  std::string out = json::serialize(json::value(name));
  if (!subresource.empty()) out += fmt::format(" with subresource \"{}\"", subresource);
  if (operation != "Update") return out;
  out += fmt::format(" using {}", api_version);
  if (!time.empty()) out += fmt::format(" at {}", time);
  return out;
}

std::vector<Manager> read_managers(const json::value& object) {
  std::vector<Manager> out;
  for (const json::value& entry : base::get_array(object, "metadata.managedFields")) {
    const json::value* fields = base::find(entry, "fieldsV1");
    if (!fields) continue;
    FieldSet set = FieldSet::from_json(*fields);
    if (set.empty()) continue;  // says nothing, and would look like somebody who knows the object
    out.push_back({base::get_string(entry, "manager"), base::get_string(entry, "operation"),
                   base::get_string(entry, "apiVersion"), base::get_string(entry, "subresource"),
                   base::get_string(entry, "time"), std::move(set)});
  }
  return out;
}

void write_managers(std::vector<Manager> managers, json::value& object) {
  std::erase_if(managers, [](const Manager& one) { return one.fields.empty(); });
  fold_updaters(managers);
  std::ranges::sort(managers, [](const Manager& a, const Manager& b) {
    return std::tie(a.operation, a.time, a.name, a.subresource, a.api_version) <
           std::tie(b.operation, b.time, b.name, b.subresource, b.api_version);
  });
  json::array out;
  for (const Manager& one : managers) {
    json::object entry{{"manager", one.name}, {"operation", one.operation}, {"apiVersion", one.api_version}};
    if (!one.time.empty()) entry["time"] = one.time;
    entry["fieldsType"] = "FieldsV1";
    entry["fieldsV1"] = one.fields.to_json();
    if (!one.subresource.empty()) entry["subresource"] = one.subresource;
    out.push_back(std::move(entry));
  }
  if (out.empty()) {
    base::erase(object, "metadata.managedFields");
  } else {
    base::set(object, "metadata.managedFields", std::move(out));
  }
}

void track_managed_fields(const Schema& schema, const json::value* before, json::value& after, std::string_view manager,
                          std::string_view subresource, std::string_view api_version, base::SystemTime now) {
  FieldChanges changes = changes_between(schema, before, after);
  if (changes.set.empty() && changes.removed.empty()) return;
  std::vector<Manager> managers = read_managers(after);
  const std::string time = base::rfc3339(now);
  const Manager like{std::string(manager), "Update", std::string(api_version), std::string(subresource), time, {}};
  Manager& own = find_or_add(managers, like);
  for (Manager& one : managers) {
    one.fields.remove_all(changes.removed);
    if (&one != &own) one.fields.remove_all(changes.set);
  }
  own.fields.add_all(changes.set);
  own.time = time;
  write_managers(std::move(managers), after);
}

}  // namespace mainstay::api
