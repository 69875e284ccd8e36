#include "cli/cli.h"

#include <csignal>

#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

// Completion comes from the command line's own definition, so it cannot drift from it.
std::string completion_words(const CLI::App& app) {
  std::string words;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!sub->get_name().empty()) words += sub->get_name() + " ";
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  }
  return words;
}

std::string bash_completion(const CLI::App& app) {
  std::string cases;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (sub->get_name().empty()) continue;
    cases += fmt::format("    {}) words=\"{}\" ;;\n", sub->get_name(), completion_words(*sub));
  }
  return fmt::format(
      "_mainstay() {{\n  local cur=${{COMP_WORDS[COMP_CWORD]}} words\n  case ${{COMP_WORDS[1]}} in\n{}    *) "
      "words=\"{}\" ;;\n  esac\n"
      "  [ \"$COMP_CWORD\" = 1 ] && words=\"{}\"\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}}\n"
      "complete -o default -F _mainstay mainstay\n",
      cases, completion_words(app), completion_words(app));
}

void add_completion(CLI::App& app, Context& context) {
  CLI::App* sub = app.add_subcommand("completion", "Print the shell's completion: source <(mainstay completion)");
  auto shell = std::make_shared<std::string>("bash");
  sub->add_option("shell", *shell, "bash (zsh reads it after `autoload bashcompinit && bashcompinit`)")
      ->check(CLI::IsMember({"bash", "zsh"}));
  sub->callback([&app, &context, shell] {
    context.chosen = [&app] {
      print(bash_completion(app));
      return static_cast<int>(kDone);
    };
  });
}

}  // namespace

int cli_main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("Mainstay: an engineering platform in one program.", "mainstay");
  app.set_version_flag("--version", "mainstay 0.1.0");
  app.require_subcommand(1);
  Context context;
  app.add_option("--kubeconfig", context.kubeconfig,
                 "The kubeconfig to use (default: $MAINSTAY_CONFIG, then what login wrote, then $KUBECONFIG)");
  app.fallthrough();
  app.add_subcommand("up", "Serve the platform (mainstay up --help)");
  add_login_verbs(app, context);
  add_status_verb(app, context);
  add_team_verbs(app, context);
  add_token_verbs(app, context);  // after team's: it adds to `user`
  add_object_verbs(app, context);
  add_describe_verb(app, context);
  add_logs_verb(app, context);
  add_metrics_verbs(app, context);
  add_image_verbs(app, context);
  add_resource_verbs(app, context);
  add_secret_verbs(app, context);
  add_ipam_verbs(app, context);
  add_usage_verbs(app, context);
  add_release_verbs(app, context);
  add_terraform_verbs(app, context);
  add_vuln_verbs(app, context);
  add_trace_verb(app, context);
  add_down_verb(app, context);
  add_completion(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    // CLI11 has codes of its own; ours are documented in cli.h.
    return app.exit(e) == 0 ? kDone : kUsage;
  }
  return context.chosen ? context.chosen() : static_cast<int>(kUsage);
}

}  // namespace mainstay::cli
