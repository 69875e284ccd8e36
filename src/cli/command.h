// The command line's definition: commands, their options, and the checks on those. A facade over CLI11, which has all
// its code in headers: command.cc alone compiles it, and not each verb's file anew. Only what the verbs use is here.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace mainstay::cli {

// A handle, as Command is: copies mean the same option, and it is valid as long as its CommandLine.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option required() const;
  // It may only be given together with `other`.
  Option needs(Option other) const;
  // Help shows the value that the variable has now.
  Option show_default() const;
  // Where the option is not given, the value is this environment variable's.
  Option env(std::string_view variable) const;

  // `values` are string literals, or live as long.
  Option one_of(std::initializer_list<const char*> values) const;
  // Both bounds are allowed.
  Option range(int low, int high) const;
  Option existing_file() const;
  // `check` returns what is wrong with a value, "" where it is good.
  Option check(std::function<std::string(const std::string&)> check) const;

 private:
  CLI::Option* option_;
};

class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}

  // It inherits what fallthrough() and require_subcommand() said before.
  Command add_subcommand(std::string_view name, std::string_view help) const;
  // One that was added before.
  Command get_subcommand(std::string_view name) const;
  // Exactly one must be given.
  Command require_subcommand() const;
  // The options of this command may also stand behind its subcommands' names.
  Command fallthrough() const;
  // Runs when the command was given and its line is good.
  Command callback(std::function<void()> run) const;

  // `names` as "-n,--namespace", or without dashes for a positional argument. `value` is set by parsing and must
  // live until then; a vector takes several values.
  Option option(std::string_view names, std::string& value, std::string_view help) const;
  Option option(std::string_view names, std::vector<std::string>& value, std::string_view help) const;
  Option option(std::string_view names, std::filesystem::path& value, std::string_view help) const;
  Option option(std::string_view names, std::int64_t& value, std::string_view help) const;
  Option option(std::string_view names, double& value, std::string_view help) const;
  Option flag(std::string_view names, bool& value, std::string_view help) const;
  // A group of options, of which exactly one must be given.
  Command exclusive_group(std::string_view title) const;

  const std::string& name() const;
  std::vector<Command> subcommands() const;
  // Of its options, those of its groups among them: "namespace" for "-n,--namespace".
  std::vector<std::string> long_names() const;

 private:
  CLI::App* app_;
};

// Why a command line is not to be run: help or the version was asked for (code 0), or it is wrong.
struct EarlyExit {
  int code = 0;
  std::string text;

  // To standard output for code 0, else to standard error; returns the code.
  int print() const;
};

// Owns the program's root command and all below it.
class CommandLine {
 public:
  CommandLine(std::string_view description, std::string_view name);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  Command root() const { return Command(app_.get()); }
  // What --version prints.
  void version(std::string_view text);
  std::string help() const;
  // Sets the variables of the options and runs the callbacks, whose exceptions pass; nullopt where the line is good.
  std::optional<EarlyExit> parse(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace mainstay::cli
