// The texts of the S3 API: dates, headers, ranges, errors. Pure.
#include <charconv>
#include <ctime>

#include "base/strings.h"
#include "capabilities/cloud/buckets/s3.h"
#include "capabilities/cloud/buckets/xml.h"

namespace mainstay::cloud {
namespace {

constexpr std::size_t kMostHeaders = 8u << 10;

std::string formatted(std::int64_t seconds, const char* format) {
  const std::time_t time = seconds;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  char buffer[64];
  return std::string(buffer, std::strftime(buffer, sizeof buffer, format, &parts));
}

bool number(std::string_view text, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string http_date(std::int64_t seconds) { return formatted(seconds, "%a, %d %b %Y %H:%M:%S GMT"); }
std::string iso_date(std::int64_t seconds) { return formatted(seconds, "%Y-%m-%dT%H:%M:%S.000Z"); }

std::string kept_headers(const net::Headers& headers) {
  boost::json::object kept;
  std::size_t size = 0;
  for (const auto& [name, value] : headers.all()) {
    const std::string lower = base::lower(name);
    static constexpr std::string_view kPlain[] = {"content-type",     "cache-control",    "content-disposition",
                                                  "content-encoding", "content-language", "expires"};
    std::string text = value;
    if (lower == "content-encoding") {
      // How the body came is not how the object is.
      if (text.starts_with("aws-chunked")) text = base::trim(text.substr(std::min(text.size(), text.find(',') + 1)));
      if (text == "aws-chunked" || text.empty()) continue;
    }
    if (std::ranges::find(kPlain, lower) == std::end(kPlain) && !lower.starts_with("x-amz-meta-")) continue;
    size += lower.size() + text.size();
    if (size > kMostHeaders) throw S3Error{400, "MetadataTooLarge", "an object's headers have at most 8 KiB"};
    kept[lower] = text;
  }
  return boost::json::serialize(kept);
}

void disarm(net::Response& response) {
  response.headers.set("Content-Security-Policy", "sandbox");
  response.headers.set("X-Content-Type-Options", "nosniff");
}

std::string_view overridden_header(std::string_view parameter) {
  static constexpr std::pair<std::string_view, std::string_view> kKnown[] = {
      {"response-content-type", "Content-Type"},
      {"response-content-language", "Content-Language"},
      {"response-expires", "Expires"},
      {"response-cache-control", "Cache-Control"},
      {"response-content-encoding", "Content-Encoding"},
      {"response-content-disposition", "Content-Disposition"}};
  for (const auto& [name, header] : kKnown)
    if (base::iequals(parameter, name)) return header;
  return "";
}

net::Response xml_response(int status, std::string body) {
  net::Response response = net::Response::text(status, std::move(body));
  response.headers.set("Content-Type", "application/xml");
  return response;
}

net::Response s3_error_response(const S3Error& error, std::string_view resource, std::string_view request_id) {
  net::Response response =
      xml_response(error.status, fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>{}{}{}{}</Error>",
                                             xml_element("Code", error.code), xml_element("Message", error.message),
                                             xml_element("Resource", resource), xml_element("RequestId", request_id)));
  response.headers.set("x-amz-request-id", std::string(request_id));
  return response;
}

std::optional<ByteRange> parse_byte_range(std::string_view header, std::uint64_t size) {
  if (!header.starts_with("bytes=") || header.find(',') != std::string_view::npos) return std::nullopt;
  header.remove_prefix(6);
  const auto dash = header.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::string_view from = header.substr(0, dash), to = header.substr(dash + 1);
  std::uint64_t first = 0, last = size == 0 ? 0 : size - 1;
  if (from.empty()) {
    std::uint64_t suffix = 0;
    if (!number(to, suffix)) return std::nullopt;
    if (suffix == 0 || size == 0) throw S3Error{416, "InvalidRange", "the range is beyond the object's end"};
    first = suffix >= size ? 0 : size - suffix;
  } else {
    if (!number(from, first) || (!to.empty() && !number(to, last)) || (!to.empty() && last < first))
      return std::nullopt;
    if (first >= size) throw S3Error{416, "InvalidRange", "the range is beyond the object's end"};
    last = std::min(last, size - 1);
  }
  return ByteRange{first, last - first + 1};
}

}  // namespace mainstay::cloud
