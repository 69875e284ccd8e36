#include "capabilities/provenance/versions.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "base/strings.h"

namespace mainstay::provenance {
namespace {

using Order = std::strong_ordering;

bool digit(char c) { return c >= '0' && c <= '9'; }

Order as_order(int sign) { return sign < 0 ? Order::less : sign > 0 ? Order::greater : Order::equal; }

// Numbers of any length, as text.
Order compare_numbers(std::string_view a, std::string_view b) {
  while (a.starts_with('0')) a.remove_prefix(1);
  while (b.starts_with('0')) b.remove_prefix(1);
  if (a.size() != b.size()) return a.size() <=> b.size();
  return as_order(a.compare(b));
}

std::string_view take_digits(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && digit(text[n])) ++n;
  const auto out = text.substr(0, n);
  text.remove_prefix(n);
  return out;
}

// Letters before all others, `~` before the end.
int weight(std::string_view text) {
  if (text.empty() || digit(text.front())) return 0;
  const auto c = static_cast<unsigned char>(text.front());
  if (c == '~') return -1;
  return std::isalpha(c) != 0 ? c : c + 256;
}

Order compare_debian_part(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    while ((!a.empty() && !digit(a.front())) || (!b.empty() && !digit(b.front()))) {
      const int x = weight(a), y = weight(b);
      if (x != y) return x <=> y;
      if (!a.empty()) a.remove_prefix(1);
      if (!b.empty()) b.remove_prefix(1);
    }
    const auto x = take_digits(a), y = take_digits(b);
    if (const auto order = compare_numbers(x, y); order != 0) return order;
  }
  return Order::equal;
}

bool is_number(std::string_view text) { return !text.empty() && std::ranges::all_of(text, digit); }

Order compare_identifiers(std::string_view a, std::string_view b) {
  if (is_number(a) && is_number(b)) return compare_numbers(a, b);
  if (is_number(a) != is_number(b)) return is_number(a) ? Order::less : Order::greater;
  return as_order(a.compare(b));
}

struct Pep440 {
  std::string_view epoch = "0";
  std::vector<std::string_view> release;
  int phase = 3;  // 0 dev alone, 1 a, 2 b, 3 rc… see below
  std::string_view pre, post, dev, local;
  bool has_post = false, has_dev = false;
};

// Takes one of the words, with the separators PEP 440 allows around it, and its number.
bool take_word(std::string_view& text, std::initializer_list<std::string_view> words, std::string_view& number) {
  std::string_view rest = text;
  if (!rest.empty() && (rest.front() == '.' || rest.front() == '-' || rest.front() == '_')) rest.remove_prefix(1);
  for (const auto word : words) {
    if (!rest.starts_with(word)) continue;
    rest.remove_prefix(word.size());
    if (rest.size() > 1 && (rest.front() == '.' || rest.front() == '-' || rest.front() == '_') && digit(rest[1]))
      rest.remove_prefix(1);
    number = take_digits(rest);
    text = rest;
    return true;
  }
  return false;
}

// `text` is in lower case and outlives the result.
Pep440 read_pep440(std::string_view text) {
  Pep440 out;
  text = base::trim(text);
  if (text.starts_with('v')) text.remove_prefix(1);
  if (const auto plus = text.find('+'); plus != std::string_view::npos) {
    out.local = text.substr(plus + 1);
    text = text.substr(0, plus);
  }
  if (const auto bang = text.find('!'); bang != std::string_view::npos) {
    out.epoch = text.substr(0, bang);
    text.remove_prefix(bang + 1);
  }
  while (!text.empty() && digit(text.front())) {
    out.release.push_back(take_digits(text));
    if (text.size() > 1 && text.front() == '.' && digit(text[1]))
      text.remove_prefix(1);
    else
      break;
  }
  while (out.release.size() > 1 && compare_numbers(out.release.back(), "") == 0) out.release.pop_back();
  out.phase = 4;  // final
  if (take_word(text, {"alpha", "a"}, out.pre)) {
    out.phase = 1;
  } else if (take_word(text, {"beta", "b"}, out.pre)) {
    out.phase = 2;
  } else if (take_word(text, {"preview", "pre", "rc", "c"}, out.pre)) {
    out.phase = 3;
  }
  if (text.size() > 1 && text.front() == '-' && digit(text[1])) {  // 1.0-1 is 1.0.post1
    text.remove_prefix(1);
    out.post = take_digits(text);
    out.has_post = true;
  } else {
    out.has_post = take_word(text, {"post", "rev", "r"}, out.post);
  }
  out.has_dev = take_word(text, {"dev"}, out.dev);
  if (out.has_dev && out.phase == 4 && !out.has_post) out.phase = 0;  // before the first alpha
  return out;
}

Order compare_local(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return !a.empty() <=> !b.empty();
  const auto x = base::split(a, '.'), y = base::split(b, '.');
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    // Numbers come after words here.
    if (is_number(x[i]) != is_number(y[i])) return is_number(x[i]) ? Order::greater : Order::less;
    if (const auto order = compare_identifiers(x[i], y[i]); order != 0) return order;
  }
  return x.size() <=> y.size();
}

struct ApkVersion {
  std::vector<std::string_view> numbers;
  char letter = 0;
  std::vector<std::pair<int, std::string_view>> suffixes;  // rank (below 0: before a release), number
  std::string_view hash, build, rest;
};

int apk_suffix(std::string_view name) {
  static constexpr std::string_view kBefore[] = {"alpha", "beta", "pre", "rc"};
  static constexpr std::string_view kAfter[] = {"cvs", "svn", "git", "hg", "p"};
  if (const auto at = std::ranges::find(kBefore, name); at != std::end(kBefore))
    return static_cast<int>(at - std::begin(kBefore)) - 4;
  const auto at = std::ranges::find(kAfter, name);
  return at == std::end(kAfter) ? 0 : static_cast<int>(at - std::begin(kAfter)) + 1;
}

ApkVersion read_apk(std::string_view text) {
  const auto small = [](char c) { return c >= 'a' && c <= 'z'; };
  ApkVersion out;
  out.numbers.push_back(take_digits(text));
  while (text.size() > 1 && text[0] == '.' && digit(text[1])) {
    text.remove_prefix(1);
    out.numbers.push_back(take_digits(text));
  }
  if (!text.empty() && small(text[0])) {
    out.letter = text[0];
    text.remove_prefix(1);
  }
  while (text.starts_with('_')) {
    std::size_t end = 1;
    while (end < text.size() && small(text[end])) ++end;
    const int rank = apk_suffix(text.substr(1, end - 1));
    if (rank == 0) break;
    text.remove_prefix(end);
    out.suffixes.emplace_back(rank, take_digits(text));
  }
  if (text.starts_with('~')) {
    const auto end = std::min(text.find('-'), text.size());
    out.hash = text.substr(1, end - 1);
    text.remove_prefix(end);
  }
  if (text.starts_with("-r")) {
    text.remove_prefix(2);
    out.build = take_digits(text);
  }
  out.rest = text;
  return out;
}

// A number that is not there is less than one that is 0.
Order compare_optional_numbers(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return !a.empty() <=> !b.empty();
  return compare_numbers(a, b);
}

Order compare_apk_suffixes(const ApkVersion& a, const ApkVersion& b) {
  for (std::size_t i = 0; i < std::max(a.suffixes.size(), b.suffixes.size()); ++i) {
    const auto x = i < a.suffixes.size() ? a.suffixes[i] : std::pair(0, std::string_view());
    const auto y = i < b.suffixes.size() ? b.suffixes[i] : std::pair(0, std::string_view());
    if (x.first != y.first) return x.first <=> y.first;
    if (const auto order = compare_optional_numbers(x.second, y.second); order != 0) return order;
  }
  return Order::equal;
}

}  // namespace

Order compare_apk(std::string_view left, std::string_view right) {
  const ApkVersion a = read_apk(left), b = read_apk(right);
  for (std::size_t i = 0; i < std::min(a.numbers.size(), b.numbers.size()); ++i) {
    const auto x = a.numbers[i], y = b.numbers[i];
    // After the first point a number that begins with 0 is read as a fraction: 1.01 is before 1.1.
    const bool fraction = i > 0 && (x.starts_with('0') || y.starts_with('0'));
    const auto order = fraction ? as_order(x.compare(y)) : compare_numbers(x, y);
    if (order != 0) return order;
  }
  if (a.numbers.size() != b.numbers.size()) return a.numbers.size() <=> b.numbers.size();
  if (a.letter != b.letter) return a.letter <=> b.letter;
  if (const auto order = compare_apk_suffixes(a, b); order != 0) return order;
  if (const auto order = as_order(a.hash.compare(b.hash)); order != 0) return order;
  if (const auto order = compare_optional_numbers(a.build, b.build); order != 0) return order;
  return as_order(a.rest.compare(b.rest));
}

Order compare_dpkg(std::string_view a, std::string_view b) {
  const auto epoch = [](std::string_view& text) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return std::string_view("0");
    const auto out = text.substr(0, colon);
    text.remove_prefix(colon + 1);
    return out;
  };
  const auto revision = [](std::string_view& text) {
    const auto dash = text.rfind('-');
    if (dash == std::string_view::npos) return std::string_view("0");
    const auto out = text.substr(dash + 1);
    text = text.substr(0, dash);
    return out;
  };
  const auto ea = epoch(a), eb = epoch(b);
  if (const auto order = compare_numbers(ea, eb); order != 0) return order;
  const auto ra = revision(a), rb = revision(b);
  if (const auto order = compare_debian_part(a, b); order != 0) return order;
  return compare_debian_part(ra, rb);
}

Order compare_semver(std::string_view a, std::string_view b) {
  const auto split_up = [](std::string_view text) {
    text = base::trim(text);
    if (text.starts_with('v') || text.starts_with('=')) text.remove_prefix(1);
    text = text.substr(0, text.find('+'));
    const auto dash = text.find('-');
    return std::pair(text.substr(0, dash), dash == std::string_view::npos ? std::string_view() : text.substr(dash + 1));
  };
  const auto [na, pa] = split_up(a);
  const auto [nb, pb] = split_up(b);
  const auto x = base::split(na, '.'), y = base::split(nb, '.');
  for (std::size_t i = 0; i < std::max(x.size(), y.size()); ++i) {
    const auto order =
        compare_identifiers(i < x.size() && !x[i].empty() ? x[i] : "0", i < y.size() && !y[i].empty() ? y[i] : "0");
    if (order != 0) return order;
  }
  if (pa.empty() || pb.empty()) return pa.empty() <=> pb.empty();
  const auto p = base::split(pa, '.'), q = base::split(pb, '.');
  for (std::size_t i = 0; i < std::min(p.size(), q.size()); ++i)
    if (const auto order = compare_identifiers(p[i], q[i]); order != 0) return order;
  return p.size() <=> q.size();
}

Order compare_pep440(std::string_view left, std::string_view right) {
  const std::string lower_a = base::lower(left), lower_b = base::lower(right);
  const Pep440 a = read_pep440(lower_a), b = read_pep440(lower_b);
  if (const auto order = compare_numbers(a.epoch, b.epoch); order != 0) return order;
  for (std::size_t i = 0; i < std::max(a.release.size(), b.release.size()); ++i) {
    const auto order =
        compare_numbers(i < a.release.size() ? a.release[i] : "0", i < b.release.size() ? b.release[i] : "0");
    if (order != 0) return order;
  }
  if (a.phase != b.phase) return a.phase <=> b.phase;
  if (const auto order = compare_numbers(a.pre, b.pre); order != 0) return order;
  if (a.has_post != b.has_post) return a.has_post <=> b.has_post;
  if (const auto order = compare_numbers(a.post, b.post); order != 0) return order;
  if (a.has_dev != b.has_dev) return a.has_dev ? Order::less : Order::greater;
  if (const auto order = compare_numbers(a.dev, b.dev); order != 0) return order;
  return compare_local(a.local, b.local);
}

Order compare_versions(std::string_view ecosystem, std::string_view a, std::string_view b) {
  if (ecosystem.starts_with("Debian")) return compare_dpkg(a, b);
  if (ecosystem.starts_with("Alpine")) return compare_apk(a, b);
  if (ecosystem == "PyPI") return compare_pep440(a, b);
  return compare_semver(a, b);
}

}  // namespace mainstay::provenance
