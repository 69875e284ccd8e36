#include "capabilities/identity/pages.h"

#include <fmt/format.h>

#include "base/embedded.h"
#include "base/encoding.h"
#include "crypto/digest.h"

namespace mainstay::embedded {
base::EmbeddedFiles identity_files();
}

namespace mainstay::identity {
namespace {

std::string_view style() {
  for (const base::EmbeddedFile& file : embedded::identity_files()) {
    if (file.path == "pages/style.css") return file.content;
  }
  return "";
}

const std::string& style_hash() {
  static const std::string hash = "'sha256-" + base::base64(crypto::sha256_raw(style())) + "'";
  return hash;
}

}  // namespace

std::string origin_of(std::string_view uri) {
  const auto scheme = uri.find("://");
  if (scheme == std::string_view::npos) return "";
  const auto end = uri.find_first_of("/?#", scheme + 3);
  const std::string_view origin = uri.substr(0, end);
  // It goes into a header's value: nothing but what a scheme, a host and a port are made of.
  for (const char c : origin) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && std::string_view("+-.:/[]_").find(c) == std::string_view::npos)
      return "";
  }
  return std::string(origin);
}

net::Response render(const Page& page) {
  net::Response response;
  response.status = page.status;
  response.body = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\"><title>{} - Mainstay</title><style>{}</style></head>\n"
      "<body><main{}><p class=\"brand\">Mainstay</p>\n<h1>{}</h1>\n{}</main></body></html>\n",
      escape(page.title), style(), page.wide ? " class=\"wide\"" : "", escape(page.title), page.body);
  net::Headers& headers = response.headers;
  headers.set("Content-Type", "text/html; charset=utf-8");
  headers.set("Content-Security-Policy",
              fmt::format("default-src 'none'; style-src {}; form-action 'self'{}{}; frame-ancestors 'none'; base-uri "
                          "'none'",
                          style_hash(), page.form_target.empty() ? "" : " ", page.form_target));
  headers.set("Cache-Control", "no-store");
  headers.set("Referrer-Policy", "same-origin");
  headers.set("X-Content-Type-Options", "nosniff");
  headers.set("X-Frame-Options", "DENY");
  return response;
}

net::Response error_page(int status, std::string_view title, std::string_view message) {
  Page page;
  page.title = title;
  page.status = status;
  page.body = fmt::format("<p class=\"error\" role=\"alert\">{}</p>", escape(message));
  return render(page);
}

}  // namespace mainstay::identity
