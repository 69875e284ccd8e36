// What verbs print: tables for people, JSON and YAML for programs.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"

namespace mainstay::cli {

// Columns as wide as their widest cell, three spaces between, as kubectl prints.
std::string format_table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows);
// "json" or "yaml"; with a final newline.
std::string format_object(const boost::json::value& object, std::string_view format);
// A meta.k8s.io Table as the server answers it; wide shows columns of priority > 0.
std::string format_server_table(const boost::json::value& table, bool wide, bool with_namespace);
// "5d3h", "42s": how long ago an RFC 3339 time was; "" for none.
std::string age(std::string_view rfc3339);
void print(const std::string& text);  // standard output, whole

}  // namespace mainstay::cli
