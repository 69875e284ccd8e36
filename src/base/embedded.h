// Text files compiled into the binary (type schemas, bootstrap objects). See mainstay_layer(EMBED) in cmake/.
#pragma once
#include <span>
#include <string_view>

namespace mainstay::base {

struct EmbeddedFile {
  std::string_view path;     // as written in CMakeLists.txt: "schemas/pod.yaml"
  std::string_view content;  // lives as long as the program
};
using EmbeddedFiles = std::span<const EmbeddedFile>;

}  // namespace mainstay::base
