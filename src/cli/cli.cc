#include "cli/cli.h"

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "cli/output.h"
#include "cli/suggest.h"
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

std::vector<const CLI::App*> named_subcommands(const CLI::App& app) {
  std::vector<const CLI::App*> out;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!sub->get_name().empty()) out.push_back(sub);
  }
  return out;
}

// A case for each verb, and for each verb of a verb: "team", "team create".
void completion_cases(const CLI::App& app, const std::string& path, std::string& out) {
  for (const CLI::App* sub : named_subcommands(app)) {
    const std::string here = path.empty() ? sub->get_name() : path + " " + sub->get_name();
    completion_cases(*sub, here, out);
    out += fmt::format("    \"{}\"*) words=\"{}\" ;;\n", here + " ", completion_words(*sub));
  }
}

std::string bash_completion(const CLI::App& app) {
  std::string cases;
  completion_cases(app, "", cases);
  // What was typed before the word at hand decides; flags among it do not.
  return fmt::format(
      "_mainstay() {{\n  local cur=${{COMP_WORDS[COMP_CWORD]}} words before= i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do [[ ${{COMP_WORDS[i]}} == -* ]] || before+=\"${{COMP_WORDS[i]}} \"; "
      "done\n"
      "  case $before in\n{}    *) words=\"{}\" ;;\n  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}}\ncomplete -o default -F _mainstay mainstay\n",
      cases, completion_words(app));
}

// The verb that is not there, with the one that may be meant; "" where all are.
std::string unknown_verb(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  std::string path = "mainstay";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with('-')) {
      if (word == "--kubeconfig") ++i;
      continue;
    }
    const auto subs = named_subcommands(*at);
    if (subs.empty()) return "";  // an argument of a verb that is there
    const auto found = std::ranges::find_if(subs, [&](const CLI::App* sub) { return sub->get_name() == word; });
    if (found == subs.end()) {
      std::vector<std::string> names;
      for (const CLI::App* sub : subs) names.push_back(sub->get_name());
      const std::string near = nearest(word, names);
      return fmt::format("there is no `{} {}`{}; `{} --help` lists what there is", path, word,
                         near.empty() ? "" : fmt::format(": did you mean `{} {}`?", path, near), path);
    }
    at = *found;
    path += " " + word;
  }
  return "";
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
  if (argc == 1) {
    std::fputs(app.help().c_str(), stderr);
    return kUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    // CLI11 has codes of its own; ours are documented in cli.h.
    if (const std::string unknown = e.get_exit_code() == 0 ? "" : unknown_verb(app, argc, argv); !unknown.empty()) {
      std::fprintf(stderr, "mainstay: %s\n", unknown.c_str());
      return kUsage;
    }
    return app.exit(e) == 0 ? kDone : kUsage;
  }
  return context.chosen ? context.chosen() : static_cast<int>(kUsage);
}

}  // namespace mainstay::cli
