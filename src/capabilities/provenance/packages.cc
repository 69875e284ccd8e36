#include "capabilities/provenance/packages.h"

#include <map>

#include "base/encoding.h"
#include "base/strings.h"

namespace mainstay::provenance {

namespace {

constexpr std::size_t kMaxPackages = 100'000;  // of one file
constexpr std::size_t kMaxField = 512;

std::string field(std::string_view text) { return std::string(base::trim(text).substr(0, kMaxField)); }

// Takes the next line off `text`, without its end.
std::string_view take_line(std::string_view& text) {
  const auto end = text.find('\n');
  auto line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// A stanza of "Name: value" lines up to an empty one; continuation lines (deb822) are passed over.
using Stanza = std::map<std::string, std::string_view, std::less<>>;
Stanza take_stanza(std::string_view& text) {
  Stanza out;
  while (!text.empty()) {
    const auto line = take_line(text);
    if (line.empty()) {
      if (out.empty()) continue;
      break;
    }
    if (line.front() == ' ' || line.front() == '\t') continue;
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    out.emplace(base::lower(line.substr(0, colon)), base::trim(line.substr(colon + 1)));
  }
  return out;
}

std::string_view get(const Stanza& stanza, std::string_view name) {
  const auto at = stanza.find(name);
  return at == stanza.end() ? std::string_view() : at->second;
}

}  // namespace

std::vector<Package> parse_dpkg_status(std::string_view text) {
  std::vector<Package> out;
  while (!text.empty() && out.size() < kMaxPackages) {
    const auto stanza = take_stanza(text);
    const auto status = get(stanza, "status");
    // "install ok installed"; removed packages whose configuration stays end otherwise. status.d has no such field.
    if (!status.empty() && !status.ends_with(" installed")) continue;
    Package package{.type = "deb",
                    .name = field(get(stanza, "package")),
                    .version = field(get(stanza, "version")),
                    .architecture = field(get(stanza, "architecture")),
                    .supplier = field(get(stanza, "maintainer"))};
    if (package.name.empty() || package.version.empty()) continue;
    const auto source = get(stanza, "source");  // "glibc (2.36-9)"
    const auto open = source.find('(');
    package.source = field(source.substr(0, open));
    if (open != std::string_view::npos) {
      package.source_version = field(source.substr(open + 1, source.find(')', open) - open - 1));
    }
    out.push_back(std::move(package));
  }
  return out;
}

std::vector<Package> parse_apk_installed(std::string_view text) {
  std::vector<Package> out;
  Package package{.type = "apk"};
  const auto finish = [&] {
    if (!package.name.empty() && !package.version.empty()) out.push_back(package);
    package = Package{.type = "apk"};
  };
  while (!text.empty() && out.size() < kMaxPackages) {
    const auto line = take_line(text);
    if (line.empty()) {
      finish();
    } else if (line.size() > 2 && line[1] == ':') {  // one letter a field; the case matters
      const auto value = field(line.substr(2));
      switch (line[0]) {
        case 'P':
          package.name = value;
          break;
        case 'V':
          package.version = value;
          break;
        case 'A':
          package.architecture = value;
          break;
        case 'L':
          package.license = value;
          break;
        case 'o':
          package.source = value;
          break;
        case 'm':
          package.supplier = value;
          break;
        default:
          break;
      }
    }
  }
  finish();
  return out;
}

std::vector<Package> parse_npm_package(std::string_view text) {
  const auto value = base::parse_json(text, 32);
  if (!value || !value->is_object()) return {};
  Package package{.type = "npm",
                  .name = field(base::get_string(*value, "name")),
                  .version = field(base::get_string(*value, "version")),
                  .license = field(base::get_string(*value, "license"))};
  if (package.name.empty() || package.version.empty()) return {};
  return {std::move(package)};
}

std::vector<Package> parse_python_metadata(std::string_view text) {
  const auto stanza = take_stanza(text);
  Package package{.type = "pypi",
                  .name = field(get(stanza, "name")),
                  .version = field(get(stanza, "version")),
                  .license = field(get(stanza, "license"))};
  if (package.name.empty() || package.version.empty()) return {};
  return {std::move(package)};
}

OsRelease parse_os_release(std::string_view text) {
  OsRelease out;
  for (int lines = 0; !text.empty() && lines < 200; ++lines) {
    const auto line = base::trim(take_line(text));
    const auto equals = line.find('=');
    if (line.starts_with('#') || equals == std::string_view::npos) continue;
    auto value = line.substr(equals + 1);
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front()) {
      value = value.substr(1, value.size() - 2);
    }
    const auto name = line.substr(0, equals);
    if (name == "ID") out.id = field(value);
    if (name == "VERSION_ID") out.version_id = field(value);
    if (name == "PRETTY_NAME") out.pretty_name = field(value);
  }
  return out;
}

std::string package_url(const Package& package, const OsRelease& os) {
  const auto encode = [](std::string_view text) { return base::percent_encode(text); };
  const bool of_system = package.type == "deb" || package.type == "apk";
  std::string out = "pkg:" + package.type + "/";
  if (of_system) {
    out += encode(os.id.empty() ? (package.type == "deb" ? "debian" : "alpine") : os.id) + "/" + encode(package.name);
  } else if (package.type == "golang") {
    out += base::percent_encode(base::lower(package.name), "/");
  } else if (const auto slash = package.name.find('/'); slash != std::string::npos) {  // an npm scope
    out += encode(package.name.substr(0, slash)) + "/" + encode(package.name.substr(slash + 1));
  } else if (package.type == "pypi") {
    std::string name = base::lower(package.name);
    std::ranges::replace(name, '_', '-');
    out += encode(name);
  } else {
    out += encode(package.name);
  }
  out += "@" + encode(package.version);
  std::string qualifiers;
  if (of_system && !package.architecture.empty()) qualifiers += "&arch=" + encode(package.architecture);
  if (of_system && !os.id.empty() && !os.version_id.empty()) {
    qualifiers += "&distro=" + encode(os.id + "-" + os.version_id);
  }
  if (!qualifiers.empty()) out += "?" + qualifiers.substr(1);
  return out;
}

base::json::object to_json(const Package& package) {
  base::json::object out{{"type", package.type}, {"name", package.name}, {"version", package.version}};
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out[name] = value;
  };
  add("architecture", package.architecture);
  add("source", package.source);
  add("sourceVersion", package.source_version);
  add("license", package.license);
  add("supplier", package.supplier);
  return out;
}

Package package_from_json(const base::json::value& value) {
  return {.type = base::get_string(value, "type"),
          .name = base::get_string(value, "name"),
          .version = base::get_string(value, "version"),
          .architecture = base::get_string(value, "architecture"),
          .source = base::get_string(value, "source"),
          .source_version = base::get_string(value, "sourceVersion"),
          .license = base::get_string(value, "license"),
          .supplier = base::get_string(value, "supplier")};
}

}  // namespace mainstay::provenance
