// Asking another provider's endpoints, bounded in size and time.
#pragma once
#include <string>

#include "async/task.h"
#include "base/json.h"
#include "base/status.h"
#include "net/http.h"

namespace mainstay::identity {
namespace json = boost::json;

// 503 that names the IdentityProvider.
base::StatusError upstream_trouble(const std::string& name, std::string_view why);

// GET, or POST of a form where `body` is not empty, to an absolute URL; the JSON object it answers. Throws
// upstream_trouble.
async::Task<json::value> ask_upstream(async::Executor executor, std::string name, std::string url, std::string ca_pem,
                                      net::Headers headers, std::string body);

}  // namespace mainstay::identity
