#include "platform/interfaces/images.h"

#include <algorithm>

#include "store/blobs.h"

namespace mainstay::platform {

using base::ErrorCode;
using base::fail;

namespace {

constexpr std::size_t kMaxReference = 1024;
constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxTag = 128;

bool alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
bool valid_component(std::string_view component) {
  if (component.empty() || !alphanumeric(component.front()) || !alphanumeric(component.back())) return false;
  for (std::size_t i = 0; i < component.size();) {
    if (alphanumeric(component[i])) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < component.size() && component[end] == component[i]) ++end;
    const std::size_t length = end - i;
    const char c = component[i];
    const bool good = c == '-' || (c == '.' && length == 1) || (c == '_' && length <= 2);
    if (!good || end >= component.size() || !alphanumeric(component[end])) return false;
    i = end;
  }
  return true;
}

// host[:port], where host is a name, an IPv4 address or an IPv6 one in brackets.
bool valid_registry(std::string_view text) {
  std::string_view host = text;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    const auto inside = text.substr(1, close - 1);
    const auto hex = [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':';
    };
    if (!std::ranges::all_of(inside, hex)) return false;
    text.remove_prefix(close + 1);
    if (text.empty()) return true;
    if (!text.starts_with(':')) return false;
    host = {};
  } else if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    text = text.substr(colon);
  } else {
    text = {};
  }
  if (text.starts_with(':')) {
    const auto port = text.substr(1);
    if (port.empty() || port.size() > 5 || !std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; }))
      return false;
    if (host.data() == nullptr) return true;
  }
  if (host.empty() || host.size() > 253 || host.front() == '-' || host.front() == '.' || host.back() == '-' ||
      host.back() == '.') {
    return false;
  }
  return host.find("..") == std::string_view::npos && std::ranges::all_of(host, [](char c) {
           return alphanumeric(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '-';
         });
}

// Whether the first component names a registry: what the ecosystem's clients agree on.
bool names_registry(std::string_view first) {
  return first == "localhost" || first.find_first_of(".:[") != std::string_view::npos ||
         std::ranges::any_of(first, [](char c) { return c >= 'A' && c <= 'Z'; });
}

std::unexpected<base::Error> bad(std::string_view text, std::string_view why) {
  return fail(
      ErrorCode::kInvalid,
      fmt::format(
          "image reference \"{}\": {}; write registry/repository:tag or registry/repository@sha256:<64 hex digits>",
          text.substr(0, 200), why));
}

}  // namespace

bool valid_repository_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxName) return false;
  while (true) {
    const auto slash = name.find('/');
    if (!valid_component(name.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

bool valid_tag(std::string_view tag) {
  const auto word = [](char c) { return alphanumeric(c) || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !tag.empty() && tag.size() <= kMaxTag && word(tag.front()) &&
         std::ranges::all_of(tag, [&](char c) { return word(c) || c == '.' || c == '-'; });
}

base::Result<ImageReference> ImageReference::parse(std::string_view text) {
  if (text.empty()) return bad(text, "it is empty");
  if (text.size() > kMaxReference) return bad(text, "it is too long");
  ImageReference reference;
  std::string_view rest = text;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!store::valid_digest(reference.digest))
      return bad(text, "the digest must be sha256: and 64 lower-case hex digits");
  }
  if (const auto slash = rest.find('/'); slash != std::string_view::npos && names_registry(rest.substr(0, slash))) {
    reference.registry = rest.substr(0, slash);
    rest.remove_prefix(slash + 1);
    if (!valid_registry(reference.registry)) return bad(text, "the registry's name is malformed");
  }
  if (const auto colon = rest.rfind(':');
      colon != std::string_view::npos && rest.find('/', colon) == std::string_view::npos) {
    reference.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!valid_tag(reference.tag)) return bad(text, "the tag is malformed");
  }
  reference.repository = rest;
  if (reference.registry.empty() || reference.registry == "index.docker.io") reference.registry = "docker.io";
  if (reference.registry == "docker.io" && reference.repository.find('/') == std::string::npos) {
    reference.repository.insert(0, "library/");
  }
  if (!valid_repository_name(reference.repository)) return bad(text, "the repository's name is malformed");
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

std::string ImageReference::to_string() const {
  std::string text = registry.empty() ? repository : registry + "/" + repository;
  if (!tag.empty()) text += ":" + tag;
  if (!digest.empty()) text += "@" + digest;
  return text;
}

}  // namespace mainstay::platform
