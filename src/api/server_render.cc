// Objects and lists as they go over the wire: the stored bytes, tables, or metadata alone.
#include <fmt/format.h>

#include "api/server_impl.h"
#include "base/status.h"
#include "base/yaml.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

constexpr std::string_view kMeta = "meta.k8s.io/";

json::object list_metadata(const ListResult& list) {
  json::object metadata{{"resourceVersion", std::to_string(list.revision)}};
  if (!list.continue_token.empty()) metadata["continue"] = list.continue_token;
  if (list.remaining > 0) metadata["remainingItemCount"] = list.remaining;
  return metadata;
}

// The items' own bytes, one after the other.
std::string list_bytes(const Type& type, const ListResult& list) {
  std::size_t size = 256;
  for (const auto& item : list.items) size += item->bytes->size() + 1;
  std::string out;
  out.reserve(size);
  out += fmt::format(R"({{"kind":"{}List","apiVersion":"{}","metadata":)", type.kind, type.api_version());
  out += json::serialize(list_metadata(list));
  out += R"(,"items":[)";
  bool first = true;
  for (const auto& item : list.items) {
    if (!std::exchange(first, false)) out += ',';
    out += *item->bytes;
  }
  out += "]}";
  return out;
}

}  // namespace

json::value partial_metadata(const json::value& object) {
  const json::value* metadata = base::find(object, "metadata");
  return json::object{{"kind", "PartialObjectMetadata"},
                      {"apiVersion", "meta.k8s.io/v1"},
                      {"metadata", metadata ? *metadata : json::value(json::object{})}};
}

json::value table_of(const Type& type, const std::vector<store::RecordPtr>& items, const net::Query& query,
                     base::SystemTime now) {
  const std::string_view include = query.get("includeObject");
  if (!include.empty() && include != "None" && include != "Metadata" && include != "Object") {
    throw base::bad_request(fmt::format(
        "includeObject: Unsupported value: \"{}\": supported values: \"None\", \"Metadata\", \"Object\"", include));
  }
  json::value table = to_table(type, items, include == "Object", now);
  if (include == "Object") return table;
  json::array& rows = table.as_object()["rows"].as_array();
  for (std::size_t i = 0; i < rows.size() && i < items.size(); ++i) {
    if (include == "None")
      rows[i].as_object().erase("object");
    else
      rows[i].as_object()["object"] = partial_metadata(*items[i]->object);
  }
  return table;
}

net::Response render_value(const json::value& value, const Negotiated& form, int status) {
  if (!form.yaml) return net::Response::json(status, value);
  net::Response response = net::Response::text(status, base::to_yaml(value));
  response.headers.set("Content-Type", "application/yaml");
  return response;
}

net::Response render_object(const Type& type, const store::RecordPtr& record, const Negotiated& form,
                            const net::Query& query, base::SystemTime now, int status) {
  if (form.form == Form::kTable) {
    json::value table = table_of(type, {record}, query, now);
    table.as_object()["apiVersion"] = std::string(kMeta) + form.as_version;
    base::set(table, "metadata.resourceVersion", json::value(std::to_string(record->revision)));
    return render_value(table, form, status);
  }
  if (form.form == Form::kPartial) return render_value(partial_metadata(*record->object), form, status);
  if (form.yaml) return render_value(*record->object, form, status);
  return net::Response::json_bytes(status, record->bytes);
}

net::Response render_list(const Type& type, const ListResult& list, const Negotiated& form, const net::Query& query,
                          base::SystemTime now) {
  if (form.form == Form::kTable) {
    json::value table = table_of(type, list.items, query, now);
    table.as_object()["apiVersion"] = std::string(kMeta) + form.as_version;
    table.as_object()["metadata"] = list_metadata(list);
    return render_value(table, form);
  }
  if (form.form == Form::kObject && !form.yaml) {
    return net::Response::json_bytes(200, std::make_shared<const std::string>(list_bytes(type, list)));
  }
  json::array items;
  const bool partial = form.form == Form::kPartial;
  for (const auto& item : list.items) items.push_back(partial ? partial_metadata(*item->object) : *item->object);
  return render_value(json::object{{"kind", partial ? "PartialObjectMetadataList" : type.kind + "List"},
                                   {"apiVersion", partial ? "meta.k8s.io/v1" : type.api_version()},
                                   {"metadata", list_metadata(list)},
                                   {"items", std::move(items)}},
                      form);
}

}  // namespace mainstay::api
