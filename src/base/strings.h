// Small text helpers.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::base {

std::vector<std::string_view> split(std::string_view text, char separator);  // views into `text`
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);
std::string lower(std::string_view text);
bool iequals(std::string_view a, std::string_view b);  // ASCII
bool constant_time_equal(std::string_view a, std::string_view b);
// RFC 1123 names, as Kubernetes checks them; the error says what is wrong.
Result<> check_dns_label(std::string_view name);      // at most 63, [a-z0-9]([-a-z0-9]*[a-z0-9])?
Result<> check_dns_subdomain(std::string_view name);  // at most 253
Result<> check_label_value(std::string_view value);   // at most 63, may be empty
Result<> check_label_key(std::string_view key);       // [prefix/]name

}  // namespace mainstay::base
