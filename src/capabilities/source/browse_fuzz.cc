// What git prints of a repository: names, messages and paths in it are whatever somebody pushed.
#include <cstdlib>

#include "capabilities/source/browse.h"
#include "capabilities/source/git_reader.h"
#include "capabilities/source/refs.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::source;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto listing = parse_listing(text)) (void)mainstay::base::to_json(*listing);
  (void)mainstay::base::to_json(parse_log(text));
  if (const auto names = parse_tree(text)) {
    for (const std::string& name : *names) {
      if (name.empty()) std::abort();
    }
  }
  (void)parse_commit(std::string(40, 'a'), text);
  for (const auto& [ref, id] : parse_refs(text)) {
    if (ref.empty() || id.empty()) std::abort();
  }
  if (is_tree_path(text) && (text.starts_with('/') || text.find('\0') != std::string_view::npos)) std::abort();
  const auto half = text.find('\n');
  if (half != std::string_view::npos && size < 200) (void)branch_matches(text.substr(0, half), text.substr(half + 1));
  return 0;
}
