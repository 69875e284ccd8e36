#include "capabilities/pipelines/runner_text.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/strings.h"

namespace mainstay::pipelines {
namespace {

std::string unescape(std::string_view text, bool property) {
  static constexpr std::pair<std::string_view, char> kData[] = {{"%0D", '\r'}, {"%0A", '\n'}, {"%25", '%'}};
  static constexpr std::pair<std::string_view, char> kProperty[] = {{"%3A", ':'}, {"%2C", ','}};
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool replaced = false;
    if (text[i] == '%') {
      const auto match = [&](const auto& table) {
        for (const auto& [code, plain] : table) {
          if (!base::iequals(text.substr(i, 3), code)) continue;
          out += plain;
          i += 2;
          return true;
        }
        return false;
      };
      replaced = match(kData) || (property && match(kProperty));
    }
    if (!replaced) out += text[i];
  }
  return out;
}

}  // namespace

std::optional<WorkflowCommand> parse_command(std::string_view line) {
  line = base::trim(line);
  if (!line.starts_with("::")) return std::nullopt;
  const auto end = line.find("::", 2);
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view head = line.substr(2, end - 2);
  WorkflowCommand command;
  command.data = unescape(line.substr(end + 2), false);
  const auto space = head.find(' ');
  command.name = base::lower(head.substr(0, space));
  if (command.name.empty()) return std::nullopt;
  if (space != std::string_view::npos) {
    for (std::string_view pair : base::split(head.substr(space + 1), ',')) {
      const auto equals = pair.find('=');
      if (equals != std::string_view::npos)
        command.properties[std::string(base::trim(pair.substr(0, equals)))] = unescape(pair.substr(equals + 1), true);
    }
  }
  return command;
}

base::Result<std::vector<std::pair<std::string, std::string>>> parse_assignments(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto lines = base::split(text, '\n');
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::string_view line = lines[i];
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const auto equals = line.find('='), heredoc = line.find("<<");
    if (heredoc != std::string_view::npos && (equals == std::string_view::npos || heredoc < equals)) {
      const std::string_view name = line.substr(0, heredoc), delimiter = line.substr(heredoc + 2);
      if (name.empty() || delimiter.empty())
        return base::fail(base::ErrorCode::kInvalid,
                          fmt::format("\"{}\" is neither NAME=value nor NAME<<DELIMITER", line));
      std::string value;
      bool closed = false, first = true;
      while (++i < lines.size()) {
        std::string_view inner = lines[i];
        if (inner.ends_with('\r')) inner.remove_suffix(1);
        if (inner == delimiter) {
          closed = true;
          break;
        }
        if (!first) value += '\n';
        first = false;
        value += inner;
      }
      if (!closed)
        return base::fail(base::ErrorCode::kInvalid, fmt::format("the value of {} has no closing {}", name, delimiter));
      out.emplace_back(name, std::move(value));
    } else if (equals != std::string_view::npos && equals > 0) {
      out.emplace_back(line.substr(0, equals), line.substr(equals + 1));
    } else {
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("\"{}\" is neither NAME=value nor NAME<<DELIMITER", line.substr(0, 80)));
    }
  }
  return out;
}

void Mask::add_text(std::string_view text) {
  // One or two characters would blacken everything and hide nothing.
  if (text.size() >= 3 && std::ranges::find(secrets_, text) == secrets_.end()) secrets_.emplace_back(text);
}

void Mask::add_base64(std::string_view secret) {
  constexpr std::size_t kMinSecret = 6, kLine = 76;  // base64(1) breaks its output after 76 characters
  if (secret.size() < kMinSecret) return;
  const auto add_both = [this](std::string text) {
    add_text(text);
    std::ranges::replace(text, '+', '-');
    std::ranges::replace(text, '/', '_');
    add_text(text);
  };
  const std::string whole = base::base64(secret);
  add_both(whole);
  add_both(whole.substr(0, whole.find('=')));
  if (whole.size() > kLine)
    for (std::size_t at = 0; at < whole.size(); at += kLine)
      if (whole.size() - at >= 8) add_both(whole.substr(at, kLine));
  // With bytes before and after it ("user:password"): the characters all of whose six bits are the secret's.
  for (std::size_t before = 0; before < 3; ++before) {
    const std::string text = base::base64(std::string(before, '\0') + std::string(secret));
    const std::size_t first = (before * 8 + 5) / 6, end = (before + secret.size()) * 8 / 6;
    add_both(text.substr(first, end - first));
  }
}

void Mask::add(std::string_view secret) {
  for (std::string_view line : base::split(secret, '\n')) {
    add_text(base::trim(line));
    add_base64(base::trim(line));
  }
  add_base64(secret);
  std::ranges::sort(secrets_, std::greater(), &std::string::size);
}

std::string Mask::apply(std::string text) const {
  for (const std::string& secret : secrets_)
    for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at + 3))
      text.replace(at, secret.size(), "***");
  return text;
}

void Tail::add(std::string line) {
  if (line.size() > max_bytes_) line.resize(max_bytes_);
  bytes_ += line.size() + 1;
  lines_.push_back(std::move(line));
  while (lines_.size() > max_lines_ || (bytes_ > max_bytes_ && lines_.size() > 1)) {
    bytes_ -= lines_.front().size() + 1;
    lines_.erase(lines_.begin());
  }
}

std::string Tail::text() const { return base::join(lines_, "\n"); }

base::Result<std::vector<std::string>> shell_command(std::string_view shell, const std::string& script) {
  if (shell.empty()) return std::vector<std::string>{"bash", "-e", script};
  if (shell == "bash") return std::vector<std::string>{"bash", "--noprofile", "--norc", "-eo", "pipefail", script};
  if (shell == "sh") return std::vector<std::string>{"sh", "-e", script};
  if (shell == "python") return std::vector<std::string>{"python3", script};
  if (!shell.contains("{0}"))
    return base::fail(
        base::ErrorCode::kInvalid,
        fmt::format(
            "there is no shell \"{}\" (there are bash, sh, python, or a command line with {{0}} for the script)",
            shell));
  std::vector<std::string> out;
  for (std::string_view word : base::split(shell, ' ')) {
    if (word.empty()) continue;
    std::string text(word);
    if (const auto at = text.find("{0}"); at != std::string::npos) text.replace(at, 3, script);
    out.push_back(std::move(text));
  }
  return out;
}

std::string shell_suffix(std::string_view shell) { return shell == "python" ? ".py" : ".sh"; }

}  // namespace mainstay::pipelines
