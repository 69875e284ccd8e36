// The way to a field, kept as a chain on the stack so that walking costs nothing until a path is printed. Internal to
// api/.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace mainstay::api {

struct FieldPath {
  enum class Kind { kRoot, kField, kKey, kIndex } kind = Kind::kRoot;
  const FieldPath* parent = nullptr;
  std::string_view name;
  std::size_t index = 0;

  FieldPath field(std::string_view of) const { return {Kind::kField, this, of, 0}; }
  FieldPath key(std::string_view of) const { return {Kind::kKey, this, of, 0}; }  // of a free map: labels[app]
  FieldPath at(std::size_t i) const { return {Kind::kIndex, this, {}, i}; }

  // "spec.template.spec.containers[0].image", as Kubernetes prints paths.
  std::string to_string() const {
    std::string out;
    append_to(out);
    return out;
  }

 private:
  void append_to(std::string& out) const {
    if (parent) parent->append_to(out);
    switch (kind) {
      case Kind::kRoot:
        return;
      case Kind::kField:
        if (!out.empty()) out += '.';
        out += name;
        return;
      case Kind::kKey:
        out += '[';
        out += name;
        out += ']';
        return;
      case Kind::kIndex:
        out += '[';
        out += std::to_string(index);
        out += ']';
        return;
    }
  }
};

}  // namespace mainstay::api
