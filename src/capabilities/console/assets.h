// The files of the built console, compressed inside the binary, and how a browser is told to treat them.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/http.h"

namespace mainstay::console {

struct Asset {
  std::string_view path;  // below /console/: "index.html", "assets/index-Bx1c.js"
  std::string_view content_type;
  std::string_view etag;   // quoted
  std::string_view gzip;   // lives as long as the program
  std::size_t size = 0;    // unpacked
  bool immutable = false;  // the name holds a hash of the content
};

// What tools/pack_console.py put into this binary: empty where web/dist was not built.
std::span<const Asset> embedded_assets();

// Answers GET and HEAD for a path below /console/. A path that is no file is the application's own: it gets index.html,
// but for those below assets/, which are 404. Says how to build the console where there is none.
net::Response serve_asset(std::span<const Asset> assets, std::string_view path, const net::Headers& request);

// The headers of every answer: nothing from elsewhere, no frames, no guessing of types.
void harden(net::Headers& headers);

}  // namespace mainstay::console
