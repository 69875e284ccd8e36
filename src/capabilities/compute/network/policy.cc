#include "capabilities/compute/network/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/selector.h"
#include "base/strings.h"
#include "capabilities/compute/network/ipam.h"
#include "crypto/digest.h"

namespace mainstay::compute {
namespace {

constexpr const char *kTeamLabel = "mainstay.dev/team", *kEnvironmentLabel = "mainstay.dev/environment";
constexpr const char* kRefuse = "counter reject with icmp type admin-prohibited";

std::string short_hash(std::string_view text) { return crypto::sha256_hex(text).substr(0, 16); }

std::optional<base::LabelSelector> selector_at(const json::value& object, std::string_view path) {
  const json::value* found = base::find(object, path);
  if (found == nullptr || found->is_null()) return std::nullopt;
  auto selector = base::LabelSelector::from_json(*found);
  // One that cannot be read selects nothing.
  return selector ? *std::move(selector) : *base::LabelSelector::from_json(json::value(nullptr));
}

// An IPv4 block in the kernel's spelling; nullopt for IPv6, which no pod has, and for nonsense.
std::optional<std::string> block(std::string_view cidr) {
  const auto slash = cidr.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = parse_address(cidr.substr(0, slash));
  const std::string_view digits = cidr.substr(slash + 1);
  if (!address || digits.empty() || digits.size() > 3 || digits.find_first_not_of("0123456789") != digits.npos)
    return std::nullopt;
  const int prefix = std::stoi(std::string(digits));
  if (prefix > 32) return std::nullopt;
  const std::uint32_t mask = prefix == 0 ? 0 : 0xffffffffu << (32 - prefix);
  return fmt::format("{}/{}", address_text(*address & mask), prefix);
}

// "ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0/16 } ", "" where it matches nothing.
std::string block_match(const json::value& ip_block, std::string_view side) {
  const auto cidr = block(base::get_string(ip_block, "cidr"));
  if (!cidr) return "";
  // nft has no way to write "every address" as a block.
  std::string out = cidr->ends_with("/0") ? "" : fmt::format("ip {} {} ", side, *cidr);
  std::set<std::string> except;
  for (const json::value& entry : base::get_array(ip_block, "except")) {
    if (!entry.is_string()) continue;
    if (const auto inner = block(entry.as_string())) except.insert(*inner);
  }
  for (const std::string& inner : except) out += fmt::format("ip {} != {} ", side, inner);
  return out.empty() ? "ip version 4 " : out;
}

class Builder {
 public:
  Builder(const PolicyInput& input, const PolicyOptions& options) : input_(input), options_(options) {}

  PolicyTable build() {
    struct Chosen {
      std::vector<std::string> ingress, egress;  // chains of the policies that select the pod
    };
    std::vector<Chosen> chosen(input_.pods.size());
    for (const client::ObjectPtr& policy : input_.policies) {
      const std::string ns = base::get_string(*policy, "metadata.namespace");
      const std::string id = short_hash(ns + "/" + base::get_string(*policy, "metadata.name"));
      const auto pods = selected(ns, selector_at(*policy, "spec.podSelector"));
      if (pods.empty()) continue;
      for (const std::size_t pod : pods) {
        if (isolates(*policy, "Ingress")) chosen[pod].ingress.push_back("in-" + id);
        if (isolates(*policy, "Egress")) chosen[pod].egress.push_back("out-" + id);
      }
      if (isolates(*policy, "Ingress")) add_policy(*policy, ns, "in-" + id, true, pods);
      if (isolates(*policy, "Egress")) add_policy(*policy, ns, "out-" + id, false, pods);
    }
    for (std::size_t i = 0; i < input_.pods.size(); ++i) {
      const PolicyPod& pod = input_.pods[i];
      const std::string ns = base::get_string(*pod.object, "metadata.namespace"), team = team_of(ns);
      out_.egress[pod.ip] = chosen[i].egress.empty() ? "accept" : "goto " + group("to-", chosen[i].egress);
      if (!chosen[i].ingress.empty()) {
        out_.ingress[pod.ip] = "goto " + group("from-", chosen[i].ingress);
      } else {
        out_.ingress[pod.ip] = team.empty() ? "accept" : "goto " + team_chain(team, environment_of(ns));
      }
    }
    return std::move(out_);
  }

 private:
  std::string label_of(const std::string& ns, const char* label) const {
    const auto found = input_.namespaces.find(ns);
    return found == input_.namespaces.end() ? "" : base::label(*found->second, label);
  }
  std::string team_of(const std::string& ns) const { return label_of(ns, kTeamLabel); }
  std::string environment_of(const std::string& ns) const { return label_of(ns, kEnvironmentLabel); }

  static bool isolates(const json::value& policy, std::string_view direction) {
    const json::array& types = base::get_array(policy, "spec.policyTypes");
    if (types.empty()) return direction == "Ingress" || !base::get_array(policy, "spec.egress").empty();
    return std::ranges::any_of(types,
                               [&](const json::value& t) { return t.is_string() && t.as_string() == direction; });
  }

  // Pods of the namespace that the selector matches (none given: all), by their place in the input.
  std::vector<std::size_t> selected(const std::string& ns, const std::optional<base::LabelSelector>& selector) const {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < input_.pods.size(); ++i) {
      const json::value& object = *input_.pods[i].object;
      if (base::get_string(object, "metadata.namespace") != ns) continue;
      if (!selector || selector->matches_object(object)) out.push_back(i);
    }
    return out;
  }

  std::vector<std::size_t> peers(const json::value& peer, const std::string& own) const {
    const auto pods = selector_at(peer, "podSelector");
    const auto namespaces = selector_at(peer, "namespaceSelector");
    if (!namespaces) return pods ? selected(own, pods) : std::vector<std::size_t>{};
    std::vector<std::size_t> out;
    for (const auto& [name, object] : input_.namespaces) {
      if (!namespaces->matches_object(*object)) continue;
      const auto some = selected(name, pods);
      out.insert(out.end(), some.begin(), some.end());
    }
    return out;
  }

  std::string address_set(const std::string& name, const std::vector<std::size_t>& pods) {
    PolicyTable::Set& set = out_.sets[name];
    set.type = "ipv4_addr";
    for (const std::size_t pod : pods) set.elements.insert(input_.pods[pod].ip);
    return "@" + name;
  }

  // What a rule says of ports, as matches of which one must hold; {""} where it says nothing. `targets` are the pods
  // whose named ports are meant.
  std::vector<std::string> ports(const json::value& rule, const std::string& name,
                                 const std::vector<std::size_t>& targets) {
    const json::array& wanted = base::get_array(rule, "ports");
    if (wanted.empty()) return {""};
    std::map<std::string, std::set<std::string>> numbers;
    std::set<std::string> any, named;
    for (const json::value& port : wanted) {
      const std::string protocol = base::lower(base::get_string(port, "protocol", "TCP"));
      if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") continue;
      const json::value* which = base::find(port, "port");
      if (which == nullptr || which->is_null()) {
        any.insert(protocol);
      } else if (which->is_string()) {
        for (const std::size_t pod : targets) add_named(named, pod, protocol, which->as_string());
      } else {
        const std::int64_t first = base::get_int(port, "port"), last = base::get_int(port, "endPort", first);
        if (first > 0 && last >= first && last <= 65535)
          numbers[protocol].insert(first == last ? std::to_string(first) : fmt::format("{}-{}", first, last));
      }
    }
    std::vector<std::string> out;
    for (const std::string& protocol : any) out.push_back(fmt::format("meta l4proto {} ", protocol));
    for (const auto& [protocol, some] : numbers) {
      for (const std::string& range : some) out.push_back(fmt::format("{} dport {} ", protocol, range));
    }
    if (!named.empty()) {
      out_.sets[name + "-ports"] = {"ipv4_addr . inet_proto . inet_service", named};
      out.push_back(fmt::format("ip daddr . ip protocol . th dport @{}-ports ", name));
    }
    return out;
  }

  void add_named(std::set<std::string>& out, std::size_t pod, const std::string& protocol,
                 std::string_view wanted) const {
    for (const json::value& container : base::get_array(*input_.pods[pod].object, "spec.containers")) {
      for (const json::value& port : base::get_array(container, "ports")) {
        const std::int64_t number = base::get_int(port, "containerPort");
        if (base::get_string(port, "name") == wanted && number > 0 && number < 65536 &&
            base::lower(base::get_string(port, "protocol", "TCP")) == protocol)
          out.insert(fmt::format("{} . {} . {}", input_.pods[pod].ip, protocol, number));
      }
    }
  }

  void add_policy(const json::value& policy, const std::string& ns, const std::string& chain, bool ingress,
                  const std::vector<std::size_t>& pods) {
    std::vector<std::string>& rules = out_.chains[chain];
    const std::string side = ingress ? "saddr" : "daddr";
    int number = 0;
    for (const json::value& rule : base::get_array(policy, ingress ? "spec.ingress" : "spec.egress")) {
      const std::string name = fmt::format("{}-{}", chain, number++);
      const json::array& listed = base::get_array(rule, ingress ? "from" : "to");
      std::vector<std::string> who;
      std::vector<std::size_t> matched;
      for (const json::value& peer : listed) {
        if (const json::value* ip_block = base::find(peer, "ipBlock"); ip_block != nullptr && ip_block->is_object()) {
          if (std::string match = block_match(*ip_block, side); !match.empty()) who.push_back(std::move(match));
        } else {
          const auto some = peers(peer, ns);
          matched.insert(matched.end(), some.begin(), some.end());
        }
      }
      if (!matched.empty()) who.push_back(fmt::format("ip {} {} ", side, address_set(name, matched)));
      if (listed.empty()) who.emplace_back();
      std::vector<std::size_t> targets = ingress ? pods : matched;
      if (!ingress && listed.empty()) {
        targets.resize(input_.pods.size());
        for (std::size_t i = 0; i < targets.size(); ++i) targets[i] = i;
      }
      for (const std::string& port : ports(rule, name, targets)) {
        for (const std::string& peer : who) rules.push_back(peer + port + "accept");
      }
    }
  }

  std::string group(std::string_view prefix, std::vector<std::string> chains) {
    std::ranges::sort(chains);
    const std::string name = std::string(prefix) + short_hash(base::join(chains, " "));
    std::vector<std::string>& rules = out_.chains[name];
    if (!rules.empty()) return name;
    for (const std::string& chain : chains) rules.push_back("jump " + chain);
    rules.emplace_back(kRefuse);
    return name;
  }

  // What a team's pods take by default: an environment's take those of the same environment and of the team's own
  // namespace (its jobs), never those of another environment; the team's own namespace takes all of them.
  std::string team_chain(const std::string& team, const std::string& environment) {
    const std::string id = "team-" + short_hash(team + "/" + environment);
    std::vector<std::string>& rules = out_.chains[id];
    if (!rules.empty()) return id;
    std::vector<std::size_t> members;
    for (std::size_t i = 0; i < input_.pods.size(); ++i) {
      const std::string ns = base::get_string(*input_.pods[i].object, "metadata.namespace"),
                        theirs = environment_of(ns);
      if (team_of(ns) == team && (environment.empty() || theirs.empty() || theirs == environment)) members.push_back(i);
    }
    rules.push_back(fmt::format("ip saddr {} accept", address_set(id, members)));
    // A Service's external address was opened to the outside on purpose.
    rules.push_back(fmt::format("ip saddr != {} ct status dnat accept", options_.pod_cidr));
    rules.emplace_back(kRefuse);
    return id;
  }

  const PolicyInput& input_;
  const PolicyOptions& options_;
  PolicyTable out_;
};

std::string braces(const std::set<std::string>& elements) {
  std::string out;
  for (const std::string& element : elements) out += (out.empty() ? "" : ", ") + element;
  return "{ " + out + " }";
}

std::string base_chains(const PolicyOptions& o) {
  // Two base chains: what one accepts the other still looks at.
  return fmt::format(R"(  chain sent {{
    type filter hook forward priority filter + 1; policy accept;
    iifname != "{links}" accept
    ct state established,related accept
    ip saddr vmap @egress
    {refuse}
  }}
  chain received {{
    type filter hook forward priority filter + 2; policy accept;
    oifname != "{links}" accept
    ct state established,related accept
    ip daddr vmap @ingress
    {refuse}
  }}
)",
                     fmt::arg("links", o.pod_links), fmt::arg("refuse", kRefuse));
}

std::string map_change(const PolicyOptions& o, const char* map, const std::map<std::string, std::string>& from,
                       const std::map<std::string, std::string>& to, bool add) {
  std::string out;
  for (const auto& [ip, verdict] : add ? to : from) {
    const auto& other = add ? from : to;
    const auto found = other.find(ip);
    if (found != other.end() && found->second == verdict) continue;
    out += (out.empty() ? "" : ", ") + (add ? fmt::format("{} : {}", ip, verdict) : ip);
  }
  if (out.empty()) return "";
  return fmt::format("{} element ip {} {} {{ {} }}\n", add ? "add" : "delete", o.table, map, out);
}

}  // namespace

PolicyTable policy_table(const PolicyInput& input, const PolicyOptions& options) {
  return Builder(input, options).build();
}

std::string full_policy_text(const PolicyOptions& o, const PolicyTable& table) {
  std::string out = fmt::format(
      "table ip {0}\ndelete table ip {0}\ntable ip {0} {{\n"
      "  map egress {{ type ipv4_addr : verdict; }}\n  map ingress {{ type ipv4_addr : verdict; }}\n{1}}}\n",
      o.table, base_chains(o));
  return out + policy_change(o, {}, table);
}

std::string policy_change(const PolicyOptions& o, const PolicyTable& from, const PolicyTable& to) {
  std::string sets, rules, gone;
  for (const auto& [name, set] : to.sets) {
    const auto before = from.sets.find(name);
    if (before == from.sets.end()) sets += fmt::format("add set ip {} {} {{ type {}; }}\n", o.table, name, set.type);
    std::set<std::string> come, go;
    const std::set<std::string> none, &old = before == from.sets.end() ? none : before->second.elements;
    std::ranges::set_difference(set.elements, old, std::inserter(come, come.end()));
    std::ranges::set_difference(old, set.elements, std::inserter(go, go.end()));
    if (!go.empty()) sets += fmt::format("delete element ip {} {} {}\n", o.table, name, braces(go));
    if (!come.empty()) sets += fmt::format("add element ip {} {} {}\n", o.table, name, braces(come));
  }
  for (const auto& [name, list] : to.chains) {
    if (!from.chains.contains(name)) sets += fmt::format("add chain ip {} {}\n", o.table, name);
  }
  for (const auto& [name, list] : to.chains) {
    const auto before = from.chains.find(name);
    if (before != from.chains.end() && before->second == list) continue;
    if (before != from.chains.end()) rules += fmt::format("flush chain ip {} {}\n", o.table, name);
    for (const std::string& rule : list) rules += fmt::format("add rule ip {} {} {}\n", o.table, name, rule);
  }
  // Nothing refers to a chain any more once it is empty of jumps: flushed first, deleted after.
  for (const auto& [name, list] : from.chains) {
    if (!to.chains.contains(name)) gone += fmt::format("flush chain ip {} {}\n", o.table, name);
  }
  for (const auto& [name, list] : from.chains) {
    if (!to.chains.contains(name)) gone += fmt::format("delete chain ip {} {}\n", o.table, name);
  }
  for (const auto& [name, set] : from.sets) {
    if (!to.sets.contains(name)) gone += fmt::format("delete set ip {} {}\n", o.table, name);
  }
  return sets + rules + map_change(o, "egress", from.egress, to.egress, false) +
         map_change(o, "ingress", from.ingress, to.ingress, false) +
         map_change(o, "egress", from.egress, to.egress, true) +
         map_change(o, "ingress", from.ingress, to.ingress, true) + gone;
}

}  // namespace mainstay::compute
