#include "capabilities/console/assets.h"

#include <zlib.h>

#include "base/strings.h"

namespace mainstay::console {
namespace {

// Scripts, styles, fonts and requests from this origin alone; no inline script, no plug-in, no frame around us
// (W3C Content Security Policy Level 3). 'self' covers wss: of the same host and port.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

constexpr std::string_view kAbsent =
    "This program was built without the web console. Build it with `make build` (it needs Node.js 18 or later and "
    "npm), "
    "then start the new binary. Everything the console shows is in the API too: see `mainstay --help`.\n";

const Asset* find(std::span<const Asset> assets, std::string_view path) {
  const auto found = std::ranges::find(assets, path, &Asset::path);
  return found == assets.end() ? nullptr : &*found;
}

// True where Accept-Encoding (RFC 9110 section 12.5.3) names gzip or `*` and not with weight 0.
bool takes_gzip(std::string_view header) {
  for (std::string_view part : base::split(header, ',')) {
    part = base::trim(part);
    const auto semicolon = part.find(';');
    const std::string_view name = base::trim(part.substr(0, semicolon));
    if (!base::iequals(name, "gzip") && name != "*") continue;
    if (semicolon == std::string_view::npos) return true;
    std::string_view weight = base::trim(part.substr(semicolon + 1));
    return !(weight.starts_with("q=0") && weight.find_first_not_of("0.", 2) == std::string_view::npos);
  }
  return false;
}

bool same_tag(std::string_view header, std::string_view etag) {
  for (std::string_view part : base::split(header, ',')) {
    part = base::trim(part);
    if (part.starts_with("W/")) part.remove_prefix(2);
    if (part == etag || part == "*") return true;
  }
  return false;
}

std::string unpack(const Asset& asset) {
  std::string out(asset.size, '\0');
  z_stream stream{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(asset.gzip.data()));
  stream.avail_in = static_cast<uInt>(asset.gzip.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (inflateInit2(&stream, 15 + 16) == Z_OK) {
    inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
  }
  out.resize(out.size() - stream.avail_out);
  return out;
}

net::Response plain(int status, std::string_view message) {
  net::Response response = net::Response::text(status, std::string(message));
  response.headers.set("Cache-Control", "no-store");
  harden(response.headers);
  return response;
}

}  // namespace

void harden(net::Headers& headers) {
  headers.set("Content-Security-Policy", std::string(kPolicy));
  headers.set("X-Content-Type-Options", "nosniff");
  headers.set("X-Frame-Options", "DENY");
  headers.set("Referrer-Policy", "no-referrer");
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Permissions-Policy", "camera=(), geolocation=(), microphone=()");
}

net::Response serve_asset(std::span<const Asset> assets, std::string_view path, const net::Headers& request) {
  const Asset* asset = find(assets, path);
  if (asset == nullptr && path.starts_with("assets/")) return plain(404, "there is no such file in the console\n");
  if (asset == nullptr) asset = find(assets, "index.html");
  if (asset == nullptr) return plain(404, kAbsent);
  net::Response response;
  net::Headers& headers = response.headers;
  headers.set("ETag", std::string(asset->etag));
  headers.set("Vary", "Accept-Encoding");
  headers.set("Cache-Control", asset->immutable ? "public, max-age=31536000, immutable" : "no-cache");
  harden(headers);
  if (same_tag(request.get("If-None-Match"), asset->etag)) {
    response.status = 304;
    return response;
  }
  headers.set("Content-Type", std::string(asset->content_type));
  if (takes_gzip(request.get("Accept-Encoding"))) {
    headers.set("Content-Encoding", "gzip");
    response.body = std::string(asset->gzip);
  } else {
    response.body = unpack(*asset);
  }
  return response;
}

}  // namespace mainstay::console
