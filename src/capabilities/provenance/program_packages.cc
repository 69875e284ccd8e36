// Lock files, and what programs say of themselves.
#include <zlib.h>

#include <cstring>

#include "base/strings.h"
#include "capabilities/provenance/packages.h"

namespace mainstay::provenance {
namespace {

constexpr std::size_t kMaxPackages = 100'000, kMaxField = 512, kMaxAudit = 16u << 20;
constexpr int kMaxDepth = 40;

std::string cut(std::string_view text) { return std::string(text.substr(0, kMaxField)); }

// lockfileVersion 1: nested "dependencies".
void npm_tree(const base::json::value& value, int depth, std::vector<Package>& out) {
  if (depth > kMaxDepth) return;
  for (const auto& [name, item] : base::get_object(value, "dependencies")) {
    if (out.size() >= kMaxPackages) return;
    const std::string version = base::get_string(item, "version");
    if (!version.empty() && !name.empty() && !base::get_bool(item, "dev") && !version.contains(':'))
      out.push_back({.type = "npm", .name = cut(name), .version = cut(version)});
    npm_tree(item, depth + 1, out);
  }
}

std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// The content of a section of a 64-bit little-endian ELF file; "" where there is none or the file is damaged.
std::string_view section(std::string_view elf, std::string_view wanted) {
  if (elf.size() < 64 ||
      !elf.starts_with("\x7f"
                       "ELF") ||
      elf[4] != 2 || elf[5] != 1)
    return {};
  const auto table = number(elf, 40, 8), size = number(elf, 58, 2), count = number(elf, 60, 2),
             names = number(elf, 62, 2);
  if (size < 64 || names >= count || table > elf.size() || size * count > elf.size() - table) return {};
  const auto content = [&](std::uint64_t index) -> std::string_view {
    const std::size_t at = table + index * size;
    const auto offset = number(elf, at + 24, 8), length = number(elf, at + 32, 8);
    if (offset > elf.size() || length > elf.size() - offset) return {};
    return elf.substr(offset, length);
  };
  const auto texts = content(names);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto at = number(elf, table + i * size, 4);
    if (at >= texts.size()) continue;
    const auto name = texts.substr(at, texts.find('\0', at) - at);
    if (name == wanted) return content(i);
  }
  return {};
}

// A length as Go's binary.Uvarint and so many bytes.
std::string_view take_text(std::string_view& bytes) {
  std::uint64_t length = 0;
  for (int shift = 0; shift < 63 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    length |= std::uint64_t{byte & 0x7fu} << shift;
    if ((byte & 0x80) != 0) continue;
    if (length > bytes.size()) break;
    const auto text = bytes.substr(0, length);
    bytes.remove_prefix(length);
    return text;
  }
  bytes = {};
  return {};
}

// https://pkg.go.dev/debug/buildinfo; the layout is that of Go 1.18: both texts follow the header of 32 bytes.
std::vector<Package> go_modules(std::string_view elf) {
  constexpr std::string_view kMagic = "\xff Go buildinf:";
  std::string_view found = section(elf, ".go.buildinfo");
  if (found.size() < 32 || !found.starts_with(kMagic) || (found[15] & 2) == 0) return {};
  // The section's size may leave out what follows it in the segment.
  std::string_view bytes = elf.substr(static_cast<std::size_t>(found.data() - elf.data()) + 32);
  const auto version = take_text(bytes);
  auto modules = take_text(bytes);
  std::vector<Package> out;
  if (version.starts_with("go1"))
    out.push_back({.type = "golang", .name = "stdlib", .version = cut(version.substr(2, version.find(' ') - 2))});
  if (modules.size() < 33) return out;
  modules = modules.substr(16, modules.size() - 32);  // between two marks
  for (auto line : base::split(modules, '\n')) {
    if (out.size() >= kMaxPackages) break;
    const auto parts = base::split(line, '\t');
    if (parts.size() < 3 || parts[1].empty() || parts[2].empty()) continue;
    if (parts[0] == "dep" || (parts[0] == "mod" && parts[2] != "(devel)")) {
      out.push_back({.type = "golang", .name = cut(parts[1]), .version = cut(parts[2])});
    } else if (parts[0] == "=>" && !out.empty()) {  // stands in for the module before
      out.back().name = cut(parts[1]);
      out.back().version = cut(parts[2]);
    }
  }
  return out;
}

std::string inflate(std::string_view packed) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return "";
  std::string out(64 * 1024, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  int status = Z_OK;
  while (status == Z_OK) {
    if (stream.total_out == out.size()) {
      if (out.size() >= kMaxAudit) break;
      out.resize(out.size() * 2);
    }
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + stream.total_out);
    stream.avail_out = static_cast<uInt>(out.size() - stream.total_out);
    status = ::inflate(&stream, Z_NO_FLUSH);
  }
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return status == Z_STREAM_END ? out : "";
}

// https://github.com/rust-secure-code/cargo-auditable: zlib over JSON.
std::vector<Package> cargo_audit(std::string_view elf) {
  const auto packed = section(elf, ".dep-v0");
  if (packed.empty() || packed.size() > kMaxAudit) return {};
  const auto value = base::parse_json(inflate(packed), 16);
  std::vector<Package> out;
  if (!value) return out;
  for (const auto& item : base::get_array(*value, "packages")) {
    if (base::get_string(item, "kind", "runtime") == "build" || base::get_string(item, "source") == "local") continue;
    Package package{.type = "cargo",
                    .name = cut(base::get_string(item, "name")),
                    .version = cut(base::get_string(item, "version"))};
    if (!package.name.empty() && !package.version.empty() && out.size() < kMaxPackages)
      out.push_back(std::move(package));
  }
  return out;
}

}  // namespace

std::vector<Package> parse_npm_lock(std::string_view text) {
  const auto value = base::parse_json(text, 64);
  std::vector<Package> out;
  if (!value || !value->is_object()) return out;
  const auto& packages = base::get_object(*value, "packages");
  if (packages.empty()) npm_tree(*value, 0, out);
  for (const auto& [path, item] : packages) {
    const std::string_view where = path;
    const auto at = where.rfind("node_modules/");
    if (at == std::string_view::npos || base::get_bool(item, "dev") || base::get_bool(item, "link")) continue;
    Package package{.type = "npm",
                    .name = cut(base::get_string(item, "name", where.substr(at + 13))),
                    .version = cut(base::get_string(item, "version")),
                    .license = cut(base::get_string(item, "license"))};
    if (!package.name.empty() && !package.version.empty() && out.size() < kMaxPackages)
      out.push_back(std::move(package));
  }
  return out;
}

std::vector<Package> parse_cargo_lock(std::string_view text) {
  // TOML, of which cargo writes one form: [[package]] and lines of key = "value".
  std::vector<Package> out;
  Package package{.type = "cargo"};
  bool in_package = false, elsewhere = false;
  const auto finish = [&] {
    if (in_package && elsewhere && !package.name.empty() && !package.version.empty()) out.push_back(package);
    package = Package{.type = "cargo"};
    elsewhere = false;
  };
  for (auto line : base::split(text, '\n')) {
    if (out.size() >= kMaxPackages) break;
    line = base::trim(line);
    if (line.starts_with('[')) {
      finish();
      in_package = line == "[[package]]";
      continue;
    }
    const auto equals = line.find(" = \"");
    if (!in_package || equals == std::string_view::npos || !line.ends_with('"') || line.size() < equals + 5) continue;
    const auto key = line.substr(0, equals), quoted = line.substr(equals + 4, line.size() - equals - 5);
    if (key == "name") package.name = cut(quoted);
    if (key == "version") package.version = cut(quoted);
    if (key == "source") elsewhere = true;
  }
  finish();
  return out;
}

std::vector<Package> parse_executable(std::string_view elf) {
  auto out = go_modules(elf);
  if (out.empty()) out = cargo_audit(elf);
  return out;
}

}  // namespace mainstay::provenance
