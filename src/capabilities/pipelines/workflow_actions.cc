// What a step's `uses:` and `with:` may name, and for what people bring from elsewhere: what to do instead.
#include "base/strings.h"
#include "capabilities/pipelines/workflow.h"

namespace mainstay::pipelines {
namespace {

using Words = std::vector<std::string_view>;

struct Builtin {
  std::string_view name;
  Words aliases, inputs;
  Words harmless;  // inputs that are taken and change nothing here
};
const std::vector<Builtin>& builtins() {
  static const std::vector<Builtin> all{
      {"checkout",
       {"actions/checkout", "mainstay/checkout", "checkout"},
       {"repository", "ref", "path", "fetch-depth", "submodules", "lfs"},
       {"token", "persist-credentials", "clean", "fetch-tags", "show-progress", "set-safe-directory"}},
      {"build-image",
       {"mainstay/build-image", "build-image"},
       {"context", "dockerfile", "file", "image", "build-args", "target"},
       {}},
      {"deploy", {"mainstay/deploy", "deploy"}, {"environment", "score", "file", "image"}, {}},
  };
  return all;
}

struct Foreign {
  std::string_view prefix, instead;
};
constexpr std::string_view kInstalled =
    "jobs run with what is installed on the platform's machine: leave the step out, or install the version you need in "
    "a `run` step";
constexpr std::string_view kBuild = "use mainstay/build-image, which builds, pushes and attests the image";
constexpr std::string_view kPages =
    "build an image of the pages with mainstay/build-image and serve it with "
    "mainstay/deploy";
constexpr std::string_view kClouds = "sign in in a `run` step with credentials from `secrets`";
// The first whose prefix the action has counts.
constexpr Foreign kForeign[] = {
    {"./", "actions of the repository itself are not in this version: write their steps here"},
    {"../", "actions of the repository itself are not in this version: write their steps here"},
    {"docker://", "actions in containers are not in this version: run the command in a `run` step"},
    {"actions/setup-", kInstalled},
    {"ruby/setup-ruby", kInstalled},
    {"pnpm/action-setup", kInstalled},
    {"oven-sh/setup-bun", kInstalled},
    {"astral-sh/setup-uv", kInstalled},
    {"dtolnay/rust-toolchain", kInstalled},
    {"actions-rs/", kInstalled},
    {"hashicorp/setup-terraform", kInstalled},
    {"actions/cache", "nothing is kept from job to job but the layers of images: leave the step out"},
    {"swatinem/rust-cache", "nothing is kept from job to job but the layers of images: leave the step out"},
    {"actions/upload-artifact",
     "files do not pass from job to job: do it in one job, or pass small results as `outputs` and large ones as "
     "images"},
    {"actions/download-artifact",
     "files do not pass from job to job: do it in one job, or pass small results as `outputs` and large ones as "
     "images"},
    {"docker/login-action", "leave the step out: mainstay/build-image is signed in to the platform's registry"},
    {"docker/setup-", "leave the step out: mainstay/build-image brings what it needs"},
    {"docker/metadata-action", "leave the step out: mainstay/build-image tags by commit and branch"},
    {"docker/", kBuild},
    {"redhat-actions/", kBuild},
    {"actions/github-script", "there is no GitHub API here: call the platform's with curl in a `run` step"},
    {"actions/upload-pages-artifact", kPages},
    {"actions/configure-pages", kPages},
    {"actions/deploy-pages", kPages},
    {"peaceiris/actions-gh-pages", kPages},
    {"actions/attest", "leave the step out: every image gets an SBOM and signed provenance"},
    {"anchore/sbom-action", "leave the step out: every image gets an SBOM and signed provenance"},
    {"sigstore/cosign-installer", "leave the step out: every image gets an SBOM and signed provenance"},
    {"slsa-framework/", "leave the step out: every image gets an SBOM and signed provenance"},
    {"aquasecurity/trivy-action", "leave the step out: every image is matched with known vulnerabilities"},
    {"azure/", kClouds},
    {"aws-actions/", kClouds},
    {"google-github-actions/", kClouds},
};

const Builtin* builtin(std::string_view uses) {
  const std::string_view name = uses.substr(0, uses.find('@'));
  for (const Builtin& each : builtins())
    if (std::ranges::find(each.aliases, name) != each.aliases.end()) return &each;
  return nullptr;
}

}  // namespace

std::string builtin_action(std::string_view uses) {
  const Builtin* found = builtin(uses);
  return found == nullptr ? "" : std::string(found->name);
}

std::string why_not_action(std::string_view uses) {
  if (builtin(uses) != nullptr) return "";
  const std::string lower = base::lower(uses);
  for (const Foreign& foreign : kForeign)
    if (lower.starts_with(foreign.prefix))
      return fmt::format("the action \"{}\" is not in this version: {}", uses, foreign.instead);
  return fmt::format(
      "the action \"{}\" is not in this version: there are actions/checkout, mainstay/build-image and mainstay/deploy; "
      "anything else goes into a `run` step",
      uses);
}

std::string why_not_input(std::string_view uses, std::string_view input, std::string_view value) {
  const Builtin* action = builtin(uses);
  const std::string name = base::lower(input);
  if (action == nullptr || std::ranges::find(action->harmless, name) != action->harmless.end()) return "";
  if (std::ranges::find(action->inputs, name) == action->inputs.end())
    return fmt::format("`{}` is not an input of {} here (there are {})", input, uses,
                       base::join(std::vector<std::string>(action->inputs.begin(), action->inputs.end()), ", "));
  if ((name == "submodules" || name == "lfs") && value != "false" && !value.empty() && !value.contains("${{"))
    return fmt::format("`{}` of {} is not in this version: fetch them in a `run` step", input, uses);
  return "";
}

bool known_shell(std::string_view shell) {
  return shell.empty() || shell == "bash" || shell == "sh" || shell == "python" || shell.contains("{0}") ||
         shell.contains("${{");
}

}  // namespace mainstay::pipelines
