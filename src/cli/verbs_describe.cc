// describe: an object's fields for people, its conditions, and the Events about it.
#include "base/strings.h"
#include "cli/kinds.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

struct DescribeOptions {
  std::string type, name, ns = "default";
};

void describe_value(const json::value& value, std::size_t indent, std::string& out);

void describe_entry(std::string_view key, const json::value& value, std::size_t indent, std::string& out) {
  out.append(indent, ' ');
  out += key;
  out += ':';
  if (value.is_object() || value.is_array()) {
    const bool empty = value.is_object() ? value.as_object().empty() : value.as_array().empty();
    out += empty ? "  <none>\n" : "\n";
    if (!empty) describe_value(value, indent + 2, out);
    return;
  }
  out += "  ";
  out += value.is_string() ? std::string(value.as_string()) : json::serialize(value);
  out += '\n';
}

void describe_value(const json::value& value, std::size_t indent, std::string& out) {
  if (value.is_object()) {
    for (const auto& [key, entry] : value.as_object()) describe_entry(key, entry, indent, out);
  } else if (value.is_array()) {
    for (const json::value& item : value.as_array()) {
      if (!item.is_object()) {
        out.append(indent, ' ');
        out += "- " + (item.is_string() ? std::string(item.as_string()) : json::serialize(item)) + "\n";
        continue;
      }
      std::string block;
      describe_value(item, indent + 2, block);
      if (block.size() > indent) block[indent] = '-';
      out += block;
    }
  }
}

async::Task<std::string> events_about(client::ApiClient client, const json::value& object) {
  client::ListQuery query;
  query.field_selector = "involvedObject.uid=" + base::get_string(object, "metadata.uid");
  const std::string ns = base::get_string(object, "metadata.namespace");
  const json::value list = co_await client.list(client::resources::kEvents, ns.empty() ? "default" : ns, query);
  std::vector<std::vector<std::string>> rows;
  for (const json::value& e : base::get_array(list, "items")) {
    const std::int64_t count = base::get_int(e, "count", 1);
    const std::string last = base::get_string(e, "lastTimestamp", base::get_string(e, "eventTime"));
    rows.push_back({"  " + base::get_string(e, "type"), base::get_string(e, "reason"),
                    age(last) + (count > 1 ? fmt::format(" (x{})", count) : ""),
                    base::get_string(e, "source.component"), base::get_string(e, "message")});
  }
  if (rows.empty()) co_return "Events:  <none>\n";
  co_return "Events:\n" + format_table({"  TYPE", "REASON", "AGE", "FROM", "MESSAGE"}, rows);
}

async::Task<int> describe(Session& session, const DescribeOptions& given) {
  DescribeOptions o = given;
  if (const auto slash = o.type.find('/'); slash != std::string::npos) {
    o.name = o.type.substr(slash + 1);
    o.type.resize(slash);
  }
  if (o.name.empty()) throw Failure{kUsage, "describe which one? mainstay describe TYPE NAME"};
  client::ApiClient client = session.client();
  const client::Resource resource = co_await find_resource(client, o.type);
  json::value object = co_await get_object(client, resource, resource.namespaced ? o.ns : "", o.name);
  base::erase(object, "metadata.managedFields");
  std::string out;
  if (resource.plural == "secrets") {
    // Sizes only: a description is for looking over somebody's shoulder.
    if (json::value* data = base::find(object, "data"); data != nullptr && data->is_object()) {
      for (auto& entry : data->as_object())
        entry.value() =
            fmt::format("{} bytes (base64)", entry.value().is_string() ? entry.value().as_string().size() : 0);
    }
  }
  describe_value(object, 0, out);
  out += co_await events_about(client, object);
  print(out);
  co_return kDone;
}

}  // namespace

void add_describe_verb(Command app, Context& context) {
  auto o = std::make_shared<DescribeOptions>();
  Command sub = app.add_subcommand("describe", "Show one object in full, with the Events about it");
  sub.option("type", o->type, "A type or TYPE/NAME").required();
  sub.option("name", o->name, "The object");
  sub.option("-n,--namespace", o->ns, "The namespace").show_default();
  sub.callback([&context, o] { context.choose(&describe, o); });
}

}  // namespace mainstay::cli
