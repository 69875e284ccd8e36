// A secret with its versions, as the object SecretEntry keeps it, and what the KV engine (version 2) does to it. Pure:
// values come and go sealed.
//
//   spec: {path, maxVersions, casRequired, customMetadata, createdTime, updatedTime, currentVersion,
//          versions: [{version, createdTime, createdBy, deletionTime, destroyed, sealed}]}     # oldest first
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "capabilities/secrets/kv_path.h"
#include "client/client.h"

namespace mainstay::secrets {

inline const client::Resource kSecretEntries{"mainstay.dev", "v1", "secretentries", true, "SecretEntry"};

std::string entry_name(std::string_view path);  // the object's: paths are longer and freer than names may be
std::string seal_context(const KvPath& path, std::int64_t version);
json::value new_entry(const KvPath& path, base::SystemTime now);

std::int64_t current_version(const json::value& entry);  // 0: none was ever written
// nullptr: never there, or no longer kept. `version` 0: the newest.
const json::value* find_version(const json::value& entry, std::int64_t version);
bool readable(const json::value& version);  // neither deleted nor destroyed
// The error is the API's own wording, which clients look for. A missing entry is an empty one.
base::Result<> check_cas(const json::value& entry, std::optional<std::int64_t> cas);

// Adds the next version and drops the oldest over the limit; gives its number.
std::int64_t add_version(json::value& entry, std::string sealed, const std::string& by, base::SystemTime now);
// Unknown versions are passed over, as the API has it.
void delete_versions(json::value& entry, const std::vector<std::int64_t>& versions, base::SystemTime now);
void undelete_versions(json::value& entry, const std::vector<std::int64_t>& versions);
void destroy_versions(json::value& entry, const std::vector<std::int64_t>& versions);
void change_metadata(json::value& entry, const MetadataBody& change, bool patch, base::SystemTime now);

// As the API answers them.
json::object version_answer(const json::value& entry, const json::value& version);  // of one version
json::object metadata_answer(const json::value& entry);                             // of all

// Immediate children of a folder ("" is the team's root): names, and folders with a slash. Sorted.
std::vector<std::string> children(const std::vector<std::string>& paths, std::string_view folder);

}  // namespace mainstay::secrets
