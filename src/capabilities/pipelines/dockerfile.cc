#include "capabilities/pipelines/dockerfile.h"

#include <charconv>

#include "base/strings.h"

namespace mainstay::pipelines {
namespace {

constexpr std::size_t kMaxInstructions = 2000;

// The delimiters of heredocs ("<<EOF", "<<-'END'") that a line opens.
std::vector<std::pair<std::string, bool>> heredocs(std::string_view line) {
  std::vector<std::pair<std::string, bool>> out;
  for (std::size_t at = line.find("<<"); at != std::string_view::npos; at = line.find("<<", at + 2)) {
    std::size_t from = at + 2;
    const bool strips = from < line.size() && line[from] == '-';
    if (strips) ++from;
    const char quote = from < line.size() && (line[from] == '"' || line[from] == '\'') ? line[from] : '\0';
    if (quote != '\0') ++from;
    std::size_t end = from;
    while (end < line.size() && (std::isalnum(static_cast<unsigned char>(line[end])) || line[end] == '_')) ++end;
    if (end > from) out.emplace_back(std::string(line.substr(from, end - from)), strips);
  }
  return out;
}

}  // namespace

const Instruction* Dockerfile::step(std::size_t n) const {
  return n >= 1 && n <= instructions.size() ? &instructions[n - 1] : nullptr;
}

base::Result<Dockerfile> parse_dockerfile(std::string_view text) {
  Dockerfile out;
  char escape = '\\';
  const auto lines = base::split(text, '\n');
  bool directives = true;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::string_view line = base::trim(lines[i]);
    if (line.starts_with("#")) {
      // Parser directives stand before everything else.
      const std::string lower = base::lower(std::string(base::trim(line.substr(1))));
      if (directives && lower.starts_with("escape=") && lower.size() == 8) escape = lower[7];
      continue;
    }
    if (line.empty()) continue;
    directives = false;
    Instruction instruction;
    instruction.line = i + 1;
    std::string whole;
    for (;; ++i) {
      line = base::trim(lines[i]);
      const bool inner_comment = &lines[i] != &lines[instruction.line - 1] && (line.empty() || line.starts_with("#"));
      const bool continues = !line.empty() && line.back() == escape;
      if (!inner_comment) {
        if (continues) line.remove_suffix(1);
        if (!whole.empty()) whole += ' ';
        whole += base::trim(line);
      }
      if ((!continues && !inner_comment) || i + 1 == lines.size()) break;
    }
    const auto space = whole.find_first_of(" \t");
    instruction.keyword = base::lower(std::string_view(whole).substr(0, space));
    std::ranges::transform(instruction.keyword, instruction.keyword.begin(),
                           [](unsigned char c) { return std::toupper(c); });
    if (space != std::string::npos) instruction.arguments = base::trim(std::string_view(whole).substr(space + 1));
    if (instruction.keyword == "RUN" || instruction.keyword == "COPY" || instruction.keyword == "ADD") {
      for (const auto& [delimiter, strips] : heredocs(instruction.arguments)) {
        while (i + 1 < lines.size()) {
          std::string_view body = lines[++i];
          if (strips) body = base::trim(body);
          instruction.arguments += '\n';
          instruction.arguments += body;
          if (body == delimiter) break;
        }
      }
    }
    if (!std::ranges::all_of(instruction.keyword, [](unsigned char c) { return std::isalpha(c); }))
      return base::fail(base::ErrorCode::kInvalid, fmt::format("line {}: \"{}\" is not an instruction",
                                                               instruction.line, instruction.keyword.substr(0, 40)));
    out.instructions.push_back(std::move(instruction));
    if (out.instructions.size() > kMaxInstructions)
      return base::fail(base::ErrorCode::kTooLarge, fmt::format("more than {} instructions", kMaxInstructions));
  }
  for (const Instruction& instruction : out.instructions) {
    if (instruction.keyword == "FROM") return out;
    if (instruction.keyword != "ARG")
      return base::fail(base::ErrorCode::kInvalid, fmt::format("line {}: the first instruction must be FROM, not {}",
                                                               instruction.line, instruction.keyword));
  }
  return base::fail(base::ErrorCode::kInvalid, "line 1: there is no FROM instruction");
}

std::size_t step_of_line(std::string_view line) {
  // "[1/2] STEP 3/4: …" in builds with stages.
  if (line.starts_with("[")) {
    const auto close = line.find("] ");
    if (close == std::string_view::npos) return 0;
    line.remove_prefix(close + 2);
  }
  if (!line.starts_with("STEP ")) return 0;
  line.remove_prefix(5);
  std::size_t n = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), n);
  return error == std::errc() && end != line.data() + line.size() && *end == '/' ? n : 0;
}

}  // namespace mainstay::pipelines
