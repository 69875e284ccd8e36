// Objects as a Table of meta.k8s.io/v1: what `kubectl get` prints is decided here, not in the client.
#include <fmt/format.h>

#include "api/json_path.h"
#include "api/printers.h"
#include "api/verbs.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

struct Cell {
  const Column* column;
  Printer printer = nullptr;
  JsonPath path;
};

std::vector<Cell> cells_of(const Type& type) {
  std::vector<Cell> out;
  for (const Column& column : type.columns) {
    Cell cell{&column, nullptr, {}};
    if (!column.compute.empty()) {
      cell.printer = find_printer(column.compute);
    } else if (auto path = JsonPath::parse(column.json_path)) {
      cell.path = std::move(*path);
    }
    out.push_back(std::move(cell));
  }
  return out;
}

// A found value as the column's type wants it; null prints as <none>.
json::value value_of(const Cell& cell, const json::value& object, base::SystemTime now) {
  if (cell.printer) return cell.printer(object, now);
  if (!cell.column->compute.empty()) return {};
  const auto found = cell.path.find(object);
  if (found.empty()) return {};
  const std::string& type = cell.column->type;
  const json::value& first = *found.front();
  if (type == "date") return first.is_string() ? json::value(age_of(first.get_string(), now)) : json::value();
  if (type == "integer" || type == "number") return first.is_number() ? first : json::value();
  if (type == "boolean") return first.is_bool() ? first : json::value();
  std::string text;
  for (const json::value* one : found) {
    if (!text.empty()) text += ' ';
    text += one->is_string() ? std::string(one->get_string()) : json::serialize(*one);
  }
  return json::value(text);
}

json::object definition(std::string_view name, std::string_view type, std::string_view format,
                        std::string_view description, int priority) {
  return {{"name", name}, {"type", type}, {"format", format}, {"description", description}, {"priority", priority}};
}

json::array definitions_of(const Type& type, bool with_name) {
  json::array out;
  if (with_name) out.push_back(definition("Name", "string", "name", "Unique within the namespace and kind.", 0));
  for (const Column& column : type.columns) {
    const bool is_name = column.json_path == ".metadata.name";
    out.push_back(definition(column.name, column.type, is_name ? "name" : "", column.description, column.priority));
  }
  return out;
}

json::value metadata_only(const json::value& object) {
  return json::object{
      {"kind", "PartialObjectMetadata"}, {"apiVersion", "meta.k8s.io/v1"}, {"metadata", object.at("metadata")}};
}

}  // namespace

json::value to_table(const Type& type, const std::vector<store::RecordPtr>& items, IncludeObject include,
                     base::SystemTime now) {
  // Types whose own columns hold the name (events) say where it stands.
  const bool with_name = std::ranges::none_of(type.columns, [](const Column& column) { return column.name == "Name"; });
  const std::vector<Cell> cells = cells_of(type);
  json::array rows;
  rows.reserve(items.size());
  for (const store::RecordPtr& item : items) {
    const json::value& object = *item->object;
    json::array values;
    if (with_name) values.push_back(json::value(item->key.name));
    for (const Cell& cell : cells) values.push_back(value_of(cell, object, now));
    json::object row{{"cells", std::move(values)}};
    if (include == IncludeObject::kMetadata) row["object"] = metadata_only(object);
    if (include == IncludeObject::kObject) row["object"] = object;
    rows.push_back(std::move(row));
  }
  return json::object{{"kind", "Table"},
                      {"apiVersion", "meta.k8s.io/v1"},
                      {"metadata", json::object()},
                      {"columnDefinitions", definitions_of(type, with_name)},
                      {"rows", std::move(rows)}};
}

json::value to_table(const Type& type, const std::vector<store::RecordPtr>& items, bool objects_too,
                     base::SystemTime now) {
  return to_table(type, items, objects_too ? IncludeObject::kObject : IncludeObject::kMetadata, now);
}

}  // namespace mainstay::api
