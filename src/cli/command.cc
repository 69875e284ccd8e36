#include "cli/command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <sstream>

namespace mainstay::cli {
namespace {

template <class Value>
Option add_option(CLI::App* app, std::string_view names, Value& value, std::string_view help) {
  return Option(app->add_option(std::string(names), value, std::string(help)));
}

}  // namespace

Option Option::required() const { return Option(option_->required()); }

Option Option::needs(Option other) const { return Option(option_->needs(other.option_)); }

Option Option::show_default() const { return Option(option_->capture_default_str()); }

Option Option::env(std::string_view variable) const { return Option(option_->envname(std::string(variable))); }

Option Option::one_of(std::initializer_list<const char*> values) const {
  return Option(option_->check(CLI::IsMember(values)));
}

Option Option::range(int low, int high) const { return Option(option_->check(CLI::Range(low, high))); }

Option Option::existing_file() const { return Option(option_->check(CLI::ExistingFile)); }

Option Option::check(std::function<std::string(const std::string&)> check) const {
  return Option(option_->check(std::move(check)));
}

Command Command::add_subcommand(std::string_view name, std::string_view help) const {
  return Command(app_->add_subcommand(std::string(name), std::string(help)));
}

Command Command::get_subcommand(std::string_view name) const {
  return Command(app_->get_subcommand(std::string(name)));
}

Command Command::require_subcommand() const { return Command(app_->require_subcommand(1)); }

Command Command::fallthrough() const { return Command(app_->fallthrough()); }

Command Command::callback(std::function<void()> run) const { return Command(app_->callback(std::move(run))); }

Option Command::option(std::string_view names, std::string& value, std::string_view help) const {
  return add_option(app_, names, value, help);
}

Option Command::option(std::string_view names, std::vector<std::string>& value, std::string_view help) const {
  return add_option(app_, names, value, help);
}

Option Command::option(std::string_view names, std::filesystem::path& value, std::string_view help) const {
  return add_option(app_, names, value, help);
}

Option Command::option(std::string_view names, std::int64_t& value, std::string_view help) const {
  return add_option(app_, names, value, help);
}

Option Command::option(std::string_view names, double& value, std::string_view help) const {
  return add_option(app_, names, value, help);
}

Option Command::flag(std::string_view names, bool& value, std::string_view help) const {
  return Option(app_->add_flag(std::string(names), value, std::string(help)));
}

Command Command::exclusive_group(std::string_view title) const {
  return Command(app_->add_option_group(std::string(title))->require_option(1));
}

const std::string& Command::name() const { return app_->get_name(); }

std::vector<Command> Command::subcommands() const {
  std::vector<Command> out;
  for (CLI::App* sub : app_->get_subcommands([](const CLI::App*) { return true; })) {
    if (!sub->get_name().empty()) out.emplace_back(sub);  // CLI11 keeps a group of options as a command without a name
  }
  return out;
}

std::vector<std::string> Command::long_names() const {
  std::vector<std::string> out;
  const auto add = [&](const CLI::App* app, const CLI::Option* without) {
    for (const CLI::Option* option : app->get_options())
      if (option != without) out.insert(out.end(), option->get_lnames().begin(), option->get_lnames().end());
  };
  add(app_, nullptr);
  for (const CLI::App* group : app_->get_subcommands([](const CLI::App* sub) { return sub->get_name().empty(); }))
    add(group, group->get_help_ptr());  // each has its command's --help again
  return out;
}

int EarlyExit::print() const {
  std::fputs(text.c_str(), code == 0 ? stdout : stderr);
  return code;
}

CommandLine::CommandLine(std::string_view description, std::string_view name)
    : app_(std::make_unique<CLI::App>(std::string(description), std::string(name))) {}

CommandLine::~CommandLine() = default;

void CommandLine::version(std::string_view text) { app_->set_version_flag("--version", std::string(text)); }

std::string CommandLine::help() const { return app_->help(); }

std::optional<EarlyExit> CommandLine::parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& e) {
    std::ostringstream text;
    const int code = app_->exit(e, text, text);
    return EarlyExit{code, text.str()};
  }
}

}  // namespace mainstay::cli
