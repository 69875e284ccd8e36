// Reading a repository over HTTP, for people who look at it in a browser: folders, files, commits and what they
// changed. Guarded as a fetch is (get repositories/git); bounded in size, time and how many at once.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "capabilities/source/git.h"
#include "platform/host.h"
#include "platform/interfaces/git.h"

namespace mainstay::source {

// `git ls-tree -l -z`'s records as [{name, type: blob | tree | commit | link, size}], folders first; kInvalid where it
// is not such a text.
base::Result<base::json::array> parse_listing(std::string_view records);
// Records of kLogFormat, closed by NUL, as [{sha, parents, author: {name, email}, authoredAt, subject, body}].
base::json::array parse_log(std::string_view records);
extern const std::string_view kLogFormat;

// False for paths that git could take for something else than a path in a tree: absolute, with `..`, control
// characters.
bool is_tree_path(std::string_view path);

// Adds GET …/repositories/{name}/git/tree, blob, commits and commits/{sha}.
void add_browse_routes(platform::Host& host, std::shared_ptr<Git> git, std::shared_ptr<platform::GitReader> reader);

}  // namespace mainstay::source
