#include "capabilities/secrets/kv_entry.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "crypto/digest.h"

namespace mainstay::secrets {
namespace {

json::array& versions_of(json::value& entry) {
  json::value* list = base::find(entry, "spec.versions");
  if (list == nullptr || !list->is_array()) {
    base::set(entry, "spec.versions", json::array{});
    list = base::find(entry, "spec.versions");
  }
  return list->as_array();
}

std::int64_t limit_of(const json::value& entry) {
  const std::int64_t limit = base::get_int(entry, "spec.maxVersions");
  return limit > 0 ? limit : kDefaultVersions;
}

void drop_oldest(json::value& entry) {
  json::array& versions = versions_of(entry);
  while (static_cast<std::int64_t>(versions.size()) > limit_of(entry)) versions.erase(versions.begin());
}

template <class Change>
void change_versions(json::value& entry, const std::vector<std::int64_t>& wanted, Change change) {
  for (json::value& version : versions_of(entry)) {
    if (std::ranges::find(wanted, base::get_int(version, "version")) != wanted.end()) change(version);
  }
}

json::value custom_metadata(const json::value& entry) {
  const json::object& custom = base::get_object(entry, "spec.customMetadata");
  return custom.empty() ? json::value(nullptr) : json::value(custom);
}

}  // namespace

std::string entry_name(std::string_view path) { return "kv-" + crypto::sha256_hex(path).substr(0, 40); }

std::string seal_context(const KvPath& path, std::int64_t version) {
  return fmt::format("secrets/{}/{}", path.to_string(), version);
}

json::value new_entry(const KvPath& path, base::SystemTime now) {
  const std::string time = base::rfc3339_micro(now);
  return {{"apiVersion", kSecretEntries.api_version()},
          {"kind", kSecretEntries.kind},
          {"metadata", {{"name", entry_name(path.path)}, {"namespace", path.team}}},
          {"spec",
           {{"path", path.path},
            {"maxVersions", 0},
            {"casRequired", false},
            {"createdTime", time},
            {"updatedTime", time},
            {"currentVersion", 0},
            {"versions", json::array{}}}}};
}

std::int64_t current_version(const json::value& entry) { return base::get_int(entry, "spec.currentVersion"); }

const json::value* find_version(const json::value& entry, std::int64_t version) {
  const std::int64_t wanted = version == 0 ? current_version(entry) : version;
  for (const json::value& one : base::get_array(entry, "spec.versions")) {
    if (base::get_int(one, "version") == wanted) return &one;
  }
  return nullptr;
}

bool readable(const json::value& version) {
  return !base::get_bool(version, "destroyed") && base::get_string(version, "deletionTime").empty();
}

base::Result<> check_cas(const json::value& entry, std::optional<std::int64_t> cas) {
  if (!cas && base::get_bool(entry, "spec.casRequired"))
    return base::fail(base::ErrorCode::kInvalid, "check-and-set parameter required for this call");
  if (cas && *cas != current_version(entry))
    return base::fail(base::ErrorCode::kInvalid, "check-and-set parameter did not match the current version");
  return {};
}

std::int64_t add_version(json::value& entry, std::string sealed, const std::string& by, base::SystemTime now) {
  const std::int64_t version = current_version(entry) + 1;
  const std::string time = base::rfc3339_micro(now);
  versions_of(entry).push_back({{"version", version},
                                {"createdTime", time},
                                {"createdBy", by},
                                {"deletionTime", ""},
                                {"destroyed", false},
                                {"sealed", std::move(sealed)}});
  base::set(entry, "spec.currentVersion", version);
  base::set(entry, "spec.updatedTime", json::string(time));
  drop_oldest(entry);
  return version;
}

void delete_versions(json::value& entry, const std::vector<std::int64_t>& versions, base::SystemTime now) {
  change_versions(entry, versions, [&](json::value& version) {
    if (readable(version)) base::set(version, "deletionTime", json::string(base::rfc3339_micro(now)));
  });
}

void undelete_versions(json::value& entry, const std::vector<std::int64_t>& versions) {
  change_versions(entry, versions, [](json::value& version) {
    if (!base::get_bool(version, "destroyed")) base::set(version, "deletionTime", "");
  });
}

void destroy_versions(json::value& entry, const std::vector<std::int64_t>& versions) {
  change_versions(entry, versions, [](json::value& version) {
    base::set(version, "destroyed", true);
    base::set(version, "sealed", "");
  });
}

void change_metadata(json::value& entry, const MetadataBody& change, bool patch, base::SystemTime now) {
  if (change.max_versions) base::set(entry, "spec.maxVersions", *change.max_versions);
  if (change.cas_required) base::set(entry, "spec.casRequired", *change.cas_required);
  if (change.custom_metadata) {
    json::value merged = patch ? json::value(base::get_object(entry, "spec.customMetadata")) : json::object{};
    base::apply_merge_patch(merged, *change.custom_metadata);
    base::set(entry, "spec.customMetadata", std::move(merged));
  }
  base::set(entry, "spec.updatedTime", json::string(base::rfc3339_micro(now)));
  drop_oldest(entry);
}

json::object version_answer(const json::value& entry, const json::value& version) {
  return {{"created_time", base::get_string(version, "createdTime")},
          {"custom_metadata", custom_metadata(entry)},
          {"deletion_time", base::get_string(version, "deletionTime")},
          {"destroyed", base::get_bool(version, "destroyed")},
          {"version", base::get_int(version, "version")}};
}

json::object metadata_answer(const json::value& entry) {
  json::object versions;
  std::int64_t oldest = 0;
  for (const json::value& version : base::get_array(entry, "spec.versions")) {
    const std::int64_t number = base::get_int(version, "version");
    if (oldest == 0) oldest = number;
    versions[std::to_string(number)] = {{"created_time", base::get_string(version, "createdTime")},
                                        {"created_by", base::get_string(version, "createdBy")},
                                        {"deletion_time", base::get_string(version, "deletionTime")},
                                        {"destroyed", base::get_bool(version, "destroyed")}};
  }
  return {{"cas_required", base::get_bool(entry, "spec.casRequired")},
          {"created_time", base::get_string(entry, "spec.createdTime")},
          {"current_version", current_version(entry)},
          {"custom_metadata", custom_metadata(entry)},
          {"delete_version_after", "0s"},
          {"max_versions", base::get_int(entry, "spec.maxVersions")},
          {"oldest_version", oldest},
          {"updated_time", base::get_string(entry, "spec.updatedTime")},
          {"versions", std::move(versions)}};
}

std::vector<std::string> children(const std::vector<std::string>& paths, std::string_view folder) {
  const std::string prefix = folder.empty() ? "" : std::string(folder) + "/";
  std::set<std::string> out;
  for (const std::string& path : paths) {
    if (!path.starts_with(prefix) || path.size() == prefix.size()) continue;
    const auto slash = path.find('/', prefix.size());
    out.insert(path.substr(prefix.size(), slash == std::string::npos ? slash : slash - prefix.size() + 1));
  }
  return {out.begin(), out.end()};
}

}  // namespace mainstay::secrets
