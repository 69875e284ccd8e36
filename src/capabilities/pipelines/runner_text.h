// The texts that steps and their runner exchange: workflow commands in the output, files of assignments. Pure.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mainstay::pipelines {

// "::name key=value,key=value::data", unescaped; nullopt for any other line.
struct WorkflowCommand {
  std::string name;
  std::map<std::string, std::string> properties;
  std::string data;
};
std::optional<WorkflowCommand> parse_command(std::string_view line);

// The content of $GITHUB_OUTPUT and $GITHUB_ENV: "NAME=value" lines, and "NAME<<DELIMITER" with the lines up to it.
base::Result<std::vector<std::pair<std::string, std::string>>> parse_assignments(std::string_view text);

// Replaces secrets by *** wherever they occur, also line by line of a secret with several, and what is base64 of a
// secret of at least 6 bytes (RFC 4648, both alphabets, also where it is a part of what was encoded).
class Mask {
 public:
  void add(std::string_view secret);
  std::string apply(std::string text) const;
  bool empty() const { return secrets_.empty(); }

 private:
  void add_text(std::string_view text);
  void add_base64(std::string_view secret);
  std::vector<std::string> secrets_;  // longest first
};

// The last lines of an output, bounded.
class Tail {
 public:
  explicit Tail(std::size_t lines, std::size_t bytes) : max_lines_(lines), max_bytes_(bytes) {}
  void add(std::string line);
  std::string text() const;

 private:
  std::size_t max_lines_, max_bytes_, bytes_ = 0;
  std::vector<std::string> lines_;
};

// "bash", "sh", "python", "pwsh"… or a template with {0} to a command line; the script's file name is put in.
base::Result<std::vector<std::string>> shell_command(std::string_view shell, const std::string& script);
std::string shell_suffix(std::string_view shell);  // ".sh", ".py"

}  // namespace mainstay::pipelines
