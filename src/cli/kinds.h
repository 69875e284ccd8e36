// Finding the resource a user means by "pods", "po", "deploy" or "repositories.mainstay.dev", from the server's
// discovery.
#pragma once
#include <string>
#include <vector>

#include "cli/session.h"

namespace mainstay::cli {

// All resources the server serves, core first. Subresources are left out.
struct Served {
  client::Resource resource;
  std::string singular;
  std::vector<std::string> short_names, categories;
};
async::Task<std::vector<Served>> served(client::ApiClient client);
// Throws Failure(kUsage) naming near misses.
async::Task<client::Resource> find_resource(client::ApiClient client, std::string name);
async::Task<client::Resource> find_kind(client::ApiClient client, std::string api_version, std::string kind);

// The object; where it is not there Failure(kNotFound), with a name that may be meant or the namespaces that have one.
async::Task<json::value> get_object(client::ApiClient client, client::Resource resource, std::string ns,
                                    std::string name);

}  // namespace mainstay::cli
