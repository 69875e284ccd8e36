// What somebody may have meant who mistyped.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace mainstay::cli {

// The nearest of the candidates: one that the word is the beginning of, else one that few changes lead to; "" where
// none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace mainstay::cli
