#include "net/wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "base/strings.h"

namespace mainstay::net {
namespace {

// RFC 9110 section 5.6.7. Made once a second; on the loop only.
std::string_view http_date() {
  static thread_local std::time_t made = 0;
  static thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != made || text.empty()) {
    std::tm parts{};
    gmtime_r(&now, &parts);
    constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    text = fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[parts.tm_wday], parts.tm_mday,
                       kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
    made = now;
  }
  return text;
}

void append_value(std::string& out, std::string_view value) {
  const std::size_t from = out.size();
  out += value;
  for (std::size_t i = from; i < out.size(); ++i) {
    if (out[i] == '\r' || out[i] == '\n' || out[i] == '\0') out[i] = ' ';
  }
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  append_value(out, name);
  out += ": ";
  append_value(out, value);
  out += "\r\n";
}

bool is_ours(std::string_view name) {
  return base::iequals(name, "Content-Length") || base::iequals(name, "Transfer-Encoding") ||
         base::iequals(name, "Connection") || base::iequals(name, "Date");
}

void append_framing(std::string& out, const Framing& framing) {
  if (framing.kind == Framing::Kind::kLength) {
    out += "Content-Length: ";
    out += std::to_string(framing.length);
    out += "\r\n";
  } else if (framing.kind == Framing::Kind::kChunked) {
    out += "Transfer-Encoding: chunked\r\n";
  }
}

}  // namespace

std::string_view reason_phrase(int status) {
  struct Phrase {
    int status;
    std::string_view text;
  };
  // RFC 9110 section 15, RFC 6585; in order.
  static constexpr Phrase kPhrases[] = {{100, "Continue"},
                                        {101, "Switching Protocols"},
                                        {200, "OK"},
                                        {201, "Created"},
                                        {202, "Accepted"},
                                        {204, "No Content"},
                                        {206, "Partial Content"},
                                        {301, "Moved Permanently"},
                                        {302, "Found"},
                                        {303, "See Other"},
                                        {304, "Not Modified"},
                                        {307, "Temporary Redirect"},
                                        {308, "Permanent Redirect"},
                                        {400, "Bad Request"},
                                        {401, "Unauthorized"},
                                        {403, "Forbidden"},
                                        {404, "Not Found"},
                                        {405, "Method Not Allowed"},
                                        {406, "Not Acceptable"},
                                        {408, "Request Timeout"},
                                        {409, "Conflict"},
                                        {410, "Gone"},
                                        {412, "Precondition Failed"},
                                        {413, "Content Too Large"},
                                        {415, "Unsupported Media Type"},
                                        {416, "Range Not Satisfiable"},
                                        {422, "Unprocessable Content"},
                                        {426, "Upgrade Required"},
                                        {429, "Too Many Requests"},
                                        {431, "Request Header Fields Too Large"},
                                        {500, "Internal Server Error"},
                                        {501, "Not Implemented"},
                                        {502, "Bad Gateway"},
                                        {503, "Service Unavailable"},
                                        {504, "Gateway Timeout"},
                                        {507, "Insufficient Storage"}};
  const auto* found = std::ranges::lower_bound(kPhrases, status, {}, &Phrase::status);
  return found != std::end(kPhrases) && found->status == status ? found->text : "Status";
}

std::string response_head(const Response& response, const Framing& framing, bool keep_alive, bool keep_content_length) {
  std::string out;
  out.reserve(512);
  out += "HTTP/1.1 ";
  out += std::to_string(response.status);
  out += ' ';
  out += reason_phrase(response.status);
  out += "\r\nDate: ";
  out += http_date();
  out += "\r\n";
  for (const auto& [name, value] : response.headers.all()) {
    const bool kept = keep_content_length && base::iequals(name, "Content-Length");
    if (kept || !is_ours(name)) append_header(out, name, value);
  }
  append_framing(out, framing);
  if (!keep_alive) out += "Connection: close\r\n";
  out += "\r\n";
  return out;
}

std::string request_head(std::string_view method, std::string_view target, std::string_view host,
                         const Headers& headers, const Framing& framing) {
  std::string out;
  out.reserve(512);
  append_value(out, method);
  out += ' ';
  append_value(out, target);
  out += " HTTP/1.1\r\n";
  if (!headers.has("Host")) append_header(out, "Host", host);
  for (const auto& [name, value] : headers.all()) {
    if (!is_ours(name) && !base::iequals(name, "Expect")) append_header(out, name, value);
  }
  append_framing(out, framing);
  out += "\r\n";
  return out;
}

std::string chunk_head(std::size_t size) { return fmt::format("{:x}\r\n", size); }

}  // namespace mainstay::net
