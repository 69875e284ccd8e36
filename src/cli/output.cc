#include "cli/output.h"

#include <cstdio>

#include "base/clock.h"
#include "base/yaml.h"

namespace mainstay::cli {
namespace json = boost::json;

namespace {

std::string cell(const json::value& value) {
  if (value.is_string()) return std::string(value.as_string());
  if (value.is_null()) return "<none>";
  return json::serialize(value);
}

}  // namespace

std::string format_table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const std::string& name : header) widths.push_back(name.size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t i = 0; i < cells.size() && i < widths.size(); ++i) {
      text += cells[i];
      if (i + 1 < cells.size()) text.append(widths[i] - cells[i].size() + 3, ' ');
    }
    while (text.ends_with(' ')) text.pop_back();
    out += text + "\n";
  };
  line(header);
  for (const auto& row : rows) line(row);
  return out;
}

std::string format_object(const json::value& object, std::string_view format) {
  if (format == "yaml") return base::to_yaml(object);
  return json::serialize(object) + "\n";
}

std::string format_server_table(const json::value& table, bool wide, bool with_namespace) {
  std::vector<std::size_t> shown;
  std::vector<std::string> header;
  if (with_namespace) header.push_back("NAMESPACE");
  const json::array& columns = base::get_array(table, "columnDefinitions");
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (!wide && base::get_int(columns[i], "priority") > 0) continue;
    shown.push_back(i);
    std::string name = base::get_string(columns[i], "name");
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    header.push_back(name);
  }
  std::vector<std::vector<std::string>> rows;
  for (const json::value& row : base::get_array(table, "rows")) {
    std::vector<std::string> cells;
    if (with_namespace) cells.push_back(base::get_string(row, "object.metadata.namespace"));
    const json::array& values = base::get_array(row, "cells");
    for (const std::size_t i : shown) cells.push_back(i < values.size() ? cell(values[i]) : "");
    rows.push_back(std::move(cells));
  }
  return format_table(header, rows);
}

std::string age(std::string_view rfc3339) {
  const auto then = base::parse_rfc3339(rfc3339);
  if (!then) return "";
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(base::real_clock().now() - *then).count();
  if (seconds < 120) return fmt::format("{}s", std::max<std::int64_t>(seconds, 0));
  if (seconds < 7200) return fmt::format("{}m", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{}h", seconds / 3600);
  return fmt::format("{}d", seconds / 86400);
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace mainstay::cli
