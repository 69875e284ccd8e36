// A NetworkPolicy as a team may write it: the text that nft(8) gets of it holds addresses, ports and our own words
// only.
#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "capabilities/compute/network/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay;
  using namespace mainstay::compute;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto spec = base::parse_json(text);
  if (!spec || !spec->is_object()) return 0;
  static const auto object = [](std::string_view of) {
    return std::make_shared<const json::value>(*base::parse_json(of));
  };
  static const auto pod = object(
      R"({"metadata":{"name":"web","namespace":"shop-dev","labels":{"app":"web"}},
          "spec":{"containers":[{"ports":[{"name":"web","containerPort":8080}]}]}})");
  PolicyInput input;
  input.pods = {{"10.9.0.2", pod}, {"10.9.0.3", pod}};
  input.namespaces["shop-dev"] = object(R"({"metadata":{"name":"shop-dev","labels":{"mainstay.dev/team":"shop"}}})");
  const PolicyOptions options{"t", "ms-*", "10.9.0.0/16"};
  const PolicyTable before = policy_table(input, options);
  input.policies = {std::make_shared<const json::value>(
      json::object{{"metadata", json::object{{"name", text}, {"namespace", "shop-dev"}}}, {"spec", *spec}})};
  const PolicyTable after = policy_table(input, options);
  for (const auto& [name, rules] : after.chains) {
    for (const std::string& rule : rules) {
      const bool plain = std::ranges::all_of(rule, [](unsigned char c) {
        return std::islower(c) != 0 || std::isdigit(c) != 0 ||
               std::string_view(" ./-@!=,").find(static_cast<char>(c)) != std::string_view::npos;
      });
      if (!plain) std::abort();
    }
  }
  if (after.ingress.size() != input.pods.size() || after.egress.size() != input.pods.size()) std::abort();
  (void)full_policy_text(options, after);
  if (before != after && policy_change(options, before, after).empty()) std::abort();
  if (!policy_change(options, after, after).empty()) std::abort();
  return 0;
}
