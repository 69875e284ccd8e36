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
std::string completion_words(Command app) {
  std::string words;
  for (Command sub : app.subcommands()) words += sub.name() + " ";
  for (const std::string& name : app.long_names()) words += "--" + name + " ";
  return words;
}

// A case for each verb, and for each verb of a verb: "team", "team create".
void completion_cases(Command app, const std::string& path, std::string& out) {
  for (Command sub : app.subcommands()) {
    const std::string here = path.empty() ? sub.name() : path + " " + sub.name();
    completion_cases(sub, here, out);
    out += fmt::format("    \"{}\"*) words=\"{}\" ;;\n", here + " ", completion_words(sub));
  }
}

std::string bash_completion(Command app) {
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
std::string unknown_verb(Command app, int argc, char** argv) {
  Command at = app;
  std::string path = "mainstay";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with('-')) {
      if (word == "--kubeconfig")
        ++i;
      else if (!word.starts_with("--kubeconfig="))
        return "";  // another's value may be what follows
      continue;
    }
    const auto subs = at.subcommands();
    if (subs.empty()) return "";  // an argument of a verb that is there
    const auto found = std::ranges::find_if(subs, [&](Command sub) { return sub.name() == word; });
    if (found == subs.end()) {
      std::vector<std::string> names(subs.size());
      std::ranges::transform(subs, names.begin(), &Command::name);
      const std::string near = nearest(word, names);
      return fmt::format("there is no `{} {}`{}; `{} --help` lists what there is", path, word,
                         near.empty() ? "" : fmt::format(": did you mean `{} {}`?", path, near), path);
    }
    at = *found;
    path += " " + word;
  }
  return "";
}

void add_completion(Command app, Context& context) {
  Command sub = app.add_subcommand("completion", "Print the shell's completion: source <(mainstay completion)");
  auto shell = std::make_shared<std::string>("bash");
  sub.option("shell", *shell, "bash (zsh reads it after `autoload bashcompinit && bashcompinit`)")
      .one_of({"bash", "zsh"});
  sub.callback([app, &context, shell] {
    context.chosen = [app] {
      print(bash_completion(app));
      return static_cast<int>(kDone);
    };
  });
}

}  // namespace

int cli_main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CommandLine line("Mainstay: an engineering platform in one program.", "mainstay");
  line.version("mainstay 0.1.0");
  Command app = line.root();
  app.require_subcommand();
  Context context;
  app.option("--kubeconfig", context.kubeconfig,
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
    std::fputs(line.help().c_str(), stderr);
    return kUsage;
  }
  if (const auto exit = line.parse(argc, argv)) {
    // CLI11 has codes of its own; ours are documented in cli.h.
    if (const std::string unknown = exit->code == 0 ? "" : unknown_verb(app, argc, argv); !unknown.empty()) {
      std::fprintf(stderr, "mainstay: %s\n", unknown.c_str());
      return kUsage;
    }
    return exit->print() == 0 ? kDone : kUsage;
  }
  return context.chosen ? context.chosen() : static_cast<int>(kUsage);
}

}  // namespace mainstay::cli
