#include "cli/suggest.h"

#include <algorithm>
#include <numeric>

namespace mainstay::cli {
namespace {

// Changes of one character, and swaps of two neighbours, that lead from one word to the other (optimal string
// alignment).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.empty() || word.size() > 100) return "";
  std::string out;
  std::size_t best = std::max<std::size_t>(1, std::min<std::size_t>(word.size() / 3, 3)) + 1;
  for (const std::string& one : candidates) {
    if (one.size() > 300) continue;
    const bool begins = word.size() >= 3 && one.starts_with(word);
    const std::size_t far = begins ? 1 : distance(word, one);
    if (far >= best || far >= word.size()) continue;
    best = far;
    out = one;
  }
  return out;
}

}  // namespace mainstay::cli
