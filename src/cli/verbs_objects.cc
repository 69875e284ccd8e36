// get, apply, delete: kubectl's verbs for those who have only this program at hand.
#include <iostream>

#include "base/encoding.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/yaml.h"
#include "cli/kinds.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

struct GetOptions {
  std::string type, name, ns, output, selector;
  bool all_namespaces = false, types = false;
};

async::Task<int> list_types(client::ApiClient client) {
  std::vector<std::vector<std::string>> rows;
  for (const Served& s : co_await served(client)) {
    rows.push_back({s.resource.plural, base::join(s.short_names, ","), s.resource.api_version(),
                    s.resource.namespaced ? "true" : "false", s.resource.kind});
  }
  print(format_table({"NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"}, rows));
  co_return kDone;
}

async::Task<int> print_table(client::ApiClient client, client::Resource resource, const GetOptions& o) {
  net::ClientRequest request;
  request.target = client.path(resource, o.all_namespaces ? "" : o.ns, o.name);
  if (!o.selector.empty()) request.target += "?labelSelector=" + base::percent_encode(o.selector);
  request.headers.set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
  net::ClientResponse response = co_await client.raw(std::move(request));
  const std::string body = co_await response.body->read_all(256u << 20);
  auto table = base::parse_json(body);
  if (!table || response.status != 200)
    throw base::StatusError::from_json(response.status, table ? *table : json::value(body));
  if (base::get_array(*table, "rows").empty() && o.name.empty()) {
    std::fprintf(stderr, "no %s%s\n", resource.plural.c_str(),
                 resource.namespaced && !o.all_namespaces ? (" in namespace " + o.ns).c_str() : "");
    co_return kDone;
  }
  print(format_server_table(*table, o.output == "wide", o.all_namespaces && resource.namespaced));
  co_return kDone;
}

async::Task<int> get(Session& session, const GetOptions& given) {
  client::ApiClient client = session.client();
  if (given.types) co_return co_await list_types(client);
  if (given.type.empty()) throw Failure{kUsage, "get what? mainstay get TYPE [NAME], or mainstay get --types"};
  GetOptions o = given;
  if (const auto slash = o.type.find('/'); slash != std::string::npos) {
    o.name = o.type.substr(slash + 1);
    o.type.resize(slash);
  }
  const client::Resource resource = co_await find_resource(client, o.type);
  if (!resource.namespaced) o.ns.clear();
  if (!o.name.empty() && !o.all_namespaces) (void)co_await get_object(client, resource, o.ns, o.name);
  if (o.output.empty() || o.output == "wide") co_return co_await print_table(client, resource, o);
  if (!o.name.empty()) {
    print(format_object(co_await client.get(resource, o.ns, o.name), o.output));
  } else {
    client::ListQuery query;
    query.label_selector = o.selector;
    print(format_object(co_await client.list(resource, o.all_namespaces ? "" : o.ns, query), o.output));
  }
  co_return kDone;
}

struct FileOptions {
  std::vector<std::string> files;
  std::string ns, type, name;
  bool force = false, ignore_missing = false;
};

std::vector<json::value> read_objects(const std::vector<std::string>& files) {
  std::vector<json::value> out;
  for (const std::string& file : files) {
    std::string text;
    if (file == "-") {
      text.assign(std::istreambuf_iterator<char>(std::cin), {});
    } else {
      auto read = base::read_file(file, 3u << 20);
      if (!read) throw Failure{kUsage, read.error().message};
      text = *std::move(read);
    }
    auto documents = base::parse_yaml_documents(text);
    if (!documents) throw Failure{kUsage, fmt::format("{}: {}", file, documents.error().message)};
    for (json::value& document : *documents) {
      if (base::get_string(document, "kind") == "List") {
        for (const json::value& item : base::get_array(document, "items")) out.push_back(item);
        continue;
      }
      for (const char* field : {"apiVersion", "kind", "metadata.name"}) {
        if (base::get_string(document, field).empty())
          throw Failure{kUsage, fmt::format("{}: document {} has no {}", file, out.size() + 1, field)};
      }
      out.push_back(std::move(document));
    }
  }
  return out;
}

async::Task<int> apply(Session& session, const FileOptions& o) {
  client::ApiClient client = session.client();
  for (json::value& object : read_objects(o.files)) {
    const client::Resource resource =
        co_await find_kind(client, base::get_string(object, "apiVersion"), base::get_string(object, "kind"));
    if (resource.namespaced && base::get_string(object, "metadata.namespace").empty())
      base::set(object, "metadata.namespace", json::value(o.ns));
    const json::value answer = co_await client.apply(resource, object, o.force);
    print(fmt::format("{}/{} applied\n", resource.plural, base::get_string(answer, "metadata.name")));
  }
  co_return kDone;
}

async::Task<int> delete_objects(Session& session, const FileOptions& o) {
  client::ApiClient client = session.client();
  struct Target {
    client::Resource resource;
    std::string ns, name;
  };
  std::vector<Target> targets;
  for (const json::value& object : read_objects(o.files)) {
    const client::Resource resource =
        co_await find_kind(client, base::get_string(object, "apiVersion"), base::get_string(object, "kind"));
    const std::string ns = base::get_string(object, "metadata.namespace");
    targets.push_back({resource,
                       !resource.namespaced ? ""
                       : ns.empty()         ? o.ns
                                            : ns,
                       base::get_string(object, "metadata.name")});
  }
  if (!o.type.empty()) {
    std::string type = o.type, name = o.name;
    if (const auto slash = type.find('/'); slash != std::string::npos) {
      name = type.substr(slash + 1);
      type.resize(slash);
    }
    if (name.empty()) throw Failure{kUsage, "delete which one? mainstay delete TYPE NAME"};
    const client::Resource resource = co_await find_resource(client, type);
    targets.push_back({resource, resource.namespaced ? o.ns : "", name});
  }
  if (targets.empty()) throw Failure{kUsage, "delete what? mainstay delete TYPE NAME, or -f FILE"};
  for (const Target& t : targets) {
    if (!o.ignore_missing) (void)co_await get_object(client, t.resource, t.ns, t.name);
    co_await client.remove(t.resource, t.ns, t.name);
    print(fmt::format("{}/{} deleted\n", t.resource.plural, t.name));
  }
  co_return kDone;
}

}  // namespace

void add_object_verbs(Command app, Context& context) {
  auto g = std::make_shared<GetOptions>();
  g->ns = "default";
  Command get_verb = app.add_subcommand("get", "List objects, or show one");
  get_verb.option("type", g->type, "A type (pods, deploy, repositories) or TYPE/NAME");
  get_verb.option("name", g->name, "One object");
  get_verb.option("-n,--namespace", g->ns, "The namespace").show_default();
  get_verb.flag("-A,--all-namespaces", g->all_namespaces, "Of all namespaces");
  get_verb.option("-l,--selector", g->selector, "A label selector");
  get_verb.option("-o,--output", g->output, "json, yaml or wide").one_of({"json", "yaml", "wide"});
  get_verb.flag("--types", g->types, "List the types that the server knows");
  get_verb.callback([&context, g] { context.choose(&get, g); });

  auto a = std::make_shared<FileOptions>();
  a->ns = "default";
  Command apply_verb =
      app.add_subcommand("apply", "Create or change objects from YAML or JSON files (server-side apply)");
  apply_verb.option("-f,--filename", a->files, "A file; - reads standard input").required();
  apply_verb.option("-n,--namespace", a->ns, "For objects that name none").show_default();
  apply_verb.flag("--force-conflicts", a->force, "Take over fields that others manage");
  apply_verb.callback([&context, a] { context.choose(&apply, a); });

  auto d = std::make_shared<FileOptions>();
  d->ns = "default";
  Command delete_verb = app.add_subcommand("delete", "Delete objects by name or from files");
  delete_verb.option("type", d->type, "A type or TYPE/NAME");
  delete_verb.option("name", d->name, "One object");
  delete_verb.option("-f,--filename", d->files, "The objects in a file; - reads standard input");
  delete_verb.option("-n,--namespace", d->ns, "The namespace").show_default();
  delete_verb.flag("--ignore-not-found", d->ignore_missing, "Missing objects are no failure");
  delete_verb.callback([&context, d] { context.choose(&delete_objects, d); });
}

}  // namespace mainstay::cli
