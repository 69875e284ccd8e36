#include "cli/kinds.h"

#include "base/strings.h"
#include "cli/suggest.h"

namespace mainstay::cli {
namespace {

async::Task<json::value> get_json(client::ApiClient client, std::string target) {
  net::ClientRequest request;
  request.target = std::move(target);
  request.headers.set("Accept", "application/json");
  net::ClientResponse response = co_await client.raw(std::move(request));
  const std::string body = co_await response.body->read_all(16u << 20);
  auto parsed = base::parse_json(body);
  if (!parsed) throw Failure{kFailed, "the server's discovery is not JSON: " + parsed.error().message};
  if (response.status != 200) throw base::StatusError::from_json(response.status, *parsed);
  co_return *std::move(parsed);
}

void add(const json::value& list, const std::string& group, const std::string& version, std::vector<Served>& out) {
  for (const json::value& r : base::get_array(list, "resources")) {
    const std::string name = base::get_string(r, "name");
    if (name.find('/') != std::string::npos) continue;
    Served served;
    served.resource = {group, version, name, base::get_bool(r, "namespaced"), base::get_string(r, "kind")};
    served.singular = base::get_string(r, "singularName");
    for (const json::value& s : base::get_array(r, "shortNames")) served.short_names.emplace_back(s.as_string());
    for (const json::value& c : base::get_array(r, "categories")) served.categories.emplace_back(c.as_string());
    out.push_back(std::move(served));
  }
}

bool names(const Served& s, const std::string& wanted) {
  if (wanted == s.resource.plural || wanted == s.singular || wanted == base::lower(s.resource.kind)) return true;
  if (!s.resource.group.empty() && wanted == s.resource.plural + "." + s.resource.group) return true;
  return std::find(s.short_names.begin(), s.short_names.end(), wanted) != s.short_names.end();
}

}  // namespace

async::Task<std::vector<Served>> served(client::ApiClient client) {
  std::vector<Served> out;
  const json::value core = co_await get_json(client, "/api/v1");
  add(core, "", "v1", out);
  const json::value groups = co_await get_json(client, "/apis");
  for (const json::value& group : base::get_array(groups, "groups")) {
    const std::string name = base::get_string(group, "name");
    const std::string version = base::get_string(group, "preferredVersion.version");
    const json::value list = co_await get_json(client, "/apis/" + name + "/" + version);
    add(list, name, version, out);
  }
  co_return out;
}

async::Task<client::Resource> find_resource(client::ApiClient client, std::string name) {
  const std::string wanted = base::lower(name);
  const std::vector<Served> all = co_await served(client);
  for (const Served& s : all) {
    if (names(s, wanted)) co_return s.resource;
  }
  std::vector<std::string> known;
  for (const Served& s : all) {
    known.push_back(s.resource.plural);
    if (!s.singular.empty()) known.push_back(s.singular);
  }
  const std::string near = nearest(wanted, known);
  throw Failure{kUsage, fmt::format("the server has no resource type \"{}\"{}; `mainstay get --types` lists them", name,
                                    near.empty() ? "" : fmt::format(": did you mean {}?", near))};
}

namespace {

// The names of all objects that may be seen, with their namespaces; of one namespace where not all may be listed.
async::Task<std::vector<std::pair<std::string, std::string>>> names_in(client::ApiClient client,
                                                                       client::Resource resource, std::string ns) {
  json::value list;
  for (const std::string& where : {std::string(), ns}) {
    try {
      list = co_await client.list(resource, where);
      break;
    } catch (const base::StatusError&) {
      // The answer is the first error; this only makes it kinder.
    }
  }
  std::vector<std::pair<std::string, std::string>> out;
  for (const json::value& one : base::get_array(list, "items"))
    out.emplace_back(base::get_string(one, "metadata.namespace"), base::get_string(one, "metadata.name"));
  co_return out;
}

}  // namespace

async::Task<json::value> get_object(client::ApiClient client, client::Resource resource, std::string ns,
                                    std::string name) {
  std::string message;
  try {
    co_return co_await client.get(resource, ns, name);
  } catch (const base::StatusError& e) {
    if (!e.is_not_found()) throw;
    message = e.message();
  }
  if (resource.namespaced) message += " in namespace " + ns;
  std::vector<std::string> here, elsewhere;
  for (const auto& [place, other] : co_await names_in(client, resource, ns)) {
    if (place == ns || !resource.namespaced) here.push_back(other);
    if (other == name && place != ns) elsewhere.push_back(place);
  }
  if (const std::string near = nearest(name, here); !near.empty())
    message += fmt::format("; did you mean {}?", near);
  else if (!elsewhere.empty())
    message += fmt::format("; there is one in {} (-n {})", base::join(elsewhere, ", "), elsewhere.front());
  throw Failure{kNotFound, message};
}

async::Task<client::Resource> find_kind(client::ApiClient client, std::string api_version, std::string kind) {
  const std::vector<Served> all = co_await served(client);
  for (const Served& s : all) {
    if (s.resource.kind == kind && s.resource.api_version() == api_version) co_return s.resource;
  }
  throw Failure{kUsage,
                fmt::format("the server has no kind {} in {}: check apiVersion and kind, or ask `mainstay get --types`",
                            kind, api_version)};
}

}  // namespace mainstay::cli
