// Which objects belong to a controller: by controlling owner reference, adopting orphans that its selector matches and
// letting go those that it no longer matches.
#pragma once
#include <vector>

#include "base/selector.h"
#include "client/cache.h"

namespace mainstay::compute {
namespace json = boost::json;

// `candidates` are all objects of `resource` in the owner's namespace. An owner being deleted adopts nothing. Throws
// StatusError where an adoption is refused (a conflict: another pass reads the newer object).
async::Task<std::vector<client::ObjectPtr>> claim(client::ApiClient client, client::Resource resource,
                                                  client::ObjectPtr owner, base::LabelSelector selector,
                                                  std::vector<client::ObjectPtr> candidates);

// The controlling owner reference, or null.
const json::value* controller_of(const json::value& object);

// For Watched.map: the object's controller where that is of `kind`, else (an orphan) every one in `owners` that selects
// it.
std::vector<std::pair<std::string, std::string>> owners_of(const json::value& object, std::string_view kind,
                                                           const client::Cache& owners);

}  // namespace mainstay::compute
