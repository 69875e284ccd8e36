// How a verb joins the command line: each function adds one or more subcommands whose callback leaves what is to be run
// in Context::chosen. The list of them is in cli.cc.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/session.h"

namespace mainstay::cli {

struct Context {
  std::string kubeconfig;
  std::function<int()> chosen;

  // Runs a coroutine verb in a session of its own; `options` lives until it has ended.
  template <class Options>
  void choose(async::Task<int> (*verb)(Session&, const Options&), std::shared_ptr<Options> options) {
    chosen = [this, verb, options] {
      Session session(kubeconfig);
      return session.run([&session, verb, options] { return verb(session, *options); });
    };
  }
};

void add_login_verbs(Command app, Context& context);   // login, whoami, git-credential
void add_object_verbs(Command app, Context& context);  // get, apply, delete
void add_describe_verb(Command app, Context& context);
void add_team_verbs(Command app, Context& context);   // team create|list, repo create|list, user create|token
void add_token_verbs(Command app, Context& context);  // user password, token list|revoke
void add_status_verb(Command app, Context& context);
void add_logs_verb(Command app, Context& context);
void add_resource_verbs(Command app, Context& context);  // resource list|classes|describe|backup|restore
void add_metrics_verbs(Command app, Context& context);   // metrics, alerts
void add_image_verbs(Command app, Context& context);     // image create|exists
void add_usage_verbs(Command app, Context& context);     // usage, capacity
void add_secret_verbs(Command app, Context& context);    // secret put|get|list|delete|history|rewrap
void add_vuln_verbs(Command app, Context& context);      // vuln import|list|show
void add_trace_verb(Command app, Context& context);
void add_release_verbs(Command app, Context& context);    // release, rerun, dora
void add_terraform_verbs(Command app, Context& context);  // terraform plan|apply|approve|…
void add_ipam_verbs(Command app, Context& context);       // ipam list|show|what-if
void add_down_verb(Command app, Context& context);

}  // namespace mainstay::cli
