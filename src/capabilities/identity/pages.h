// The pages people see when they sign in: plain HTML that needs no JavaScript, under a content policy that allows none.
#pragma once
#include <string>
#include <string_view>

#include "base/markup.h"
#include "net/http.h"

namespace mainstay::identity {

// Text for HTML content and for quoted attributes.
inline std::string escape(std::string_view text) { return base::escape_markup(text); }

struct Page {
  std::string title;
  std::string body;         // HTML; everything foreign in it went through escape()
  std::string form_target;  // an origin that a form's answer may redirect to, besides our own
  int status = 200;
  bool wide = false;
};
// With headers against framing, caching, sniffing and leaking (CSP level 3).
net::Response render(const Page& page);
// A page that says what went wrong and what to do.
net::Response error_page(int status, std::string_view title, std::string_view message);
// "https://host:port" of a URI; "" where it has none.
std::string origin_of(std::string_view uri);

}  // namespace mainstay::identity
