// What a module's run says, and what a team names its variables and files: the shell gets quoted words alone.
#include <cstdlib>

#include "base/strings.h"
#include "capabilities/cloud/terraform/module.h"
#include "capabilities/cloud/terraform/state.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay;
  using namespace mainstay::cloud;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const PlanSummary plan = summary_of(text);
  if (plan.add < 0 || plan.change < 0 || plan.destroy < 0) std::abort();
  if (check_module_path(text)) {
    for (const std::string_view part : base::split(text, '/')) {
      if (part.empty() || part == "..") std::abort();
    }
  }
  if (auto state = base::parse_json(text)) {
    const Outputs outputs = outputs_of(*state);
    for (const auto& output : outputs.plain) (void)as_text(output.value());
  }
  const auto equals = text.find('=');
  if (equals != std::string_view::npos) {
    const std::string name(text.substr(0, equals)), value(text.substr(equals + 1));
    if (const auto file = environment_file({{name, value}})) {
      // Outside of quotes nothing is left but the words that set it.
      std::string bare;
      bool quoted = false;
      for (std::size_t i = 0; i < file->size(); ++i) {
        const char c = (*file)[i];
        if (!quoted && c == '\\') {
          ++i;
        } else if (c == '\'') {
          quoted = !quoted;
        } else if (!quoted) {
          bare += c;
        }
      }
      if (quoted || bare != "export " + name + "=\n") std::abort();
    }
  }
  const std::string hidden = masked(std::string(text), {"secret-value"});
  if (hidden.find("secret-value") != std::string::npos) std::abort();
  (void)head_of(std::string(text), 16);
  (void)tail_of(std::string(text), 16);
  return 0;
}
