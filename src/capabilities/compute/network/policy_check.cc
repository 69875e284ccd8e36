#include "capabilities/compute/network/policy_check.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/selector.h"

namespace mainstay::compute {
namespace {

struct Block {
  int family = AF_INET;
  std::array<unsigned char, 16> address{};
  unsigned bits = 0;
  // Whether the other is within this one and not all of it.
  bool encloses(const Block& other) const {
    if (family != other.family || other.bits <= bits) return false;
    for (unsigned bit = 0; bit < bits; ++bit) {
      const unsigned mask = 0x80u >> (bit % 8);
      if ((address[bit / 8] & mask) != (other.address[bit / 8] & mask)) return false;
    }
    return true;
  }
};

std::optional<Block> read_block(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  Block out;
  const std::string address(text.substr(0, slash));
  out.family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (::inet_pton(out.family, address.c_str(), out.address.data()) != 1) return std::nullopt;
  const std::string_view digits = text.substr(slash + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.bits);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (out.bits > (out.family == AF_INET ? 32u : 128u)) return std::nullopt;
  return out;
}

// RFC 6335, section 5.1.
bool is_port_name(std::string_view text) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !text.empty() && text.size() <= 15 && std::ranges::any_of(text, is_letter) && !text.starts_with('-') &&
         !text.ends_with('-') && text.find("--") == std::string_view::npos &&
         std::ranges::all_of(text, [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '-'; });
}

class Faults {
 public:
  void add(std::string field, std::string message) {
    out_.push_back({std::move(field), "FieldValueInvalid", std::move(message)});
  }

  void look_at_selector(const json::value& holder, const char* field, const std::string& where) {
    const json::value* found = base::find(holder, field);
    if (found == nullptr) return;
    if (const auto read = base::LabelSelector::from_json(*found); !read)
      add(where.empty() ? field : fmt::format("{}.{}", where, field), read.error().message);
  }

  void look_at_block(const json::value& ip_block, const std::string& where) {
    const auto whole = read_block(base::get_string(ip_block, "cidr"));
    if (!whole) add(where + ".cidr", "must be a block of addresses, such as 10.0.0.0/8");
    const json::array& except = base::get_array(ip_block, "except");
    for (std::size_t i = 0; i < except.size(); ++i) {
      const auto inner = read_block(except[i].is_string() ? std::string_view(except[i].as_string()) : "");
      const std::string at = fmt::format("{}.except[{}]", where, i);
      if (!inner)
        add(at, "must be a block of addresses, such as 10.1.0.0/16");
      else if (whole && !whole->encloses(*inner))
        add(at, fmt::format("must be within {} and smaller", base::get_string(ip_block, "cidr")));
    }
  }

  void look_at_peers(const json::array& peers, const std::string& where) {
    for (std::size_t i = 0; i < peers.size(); ++i) {
      const std::string at = fmt::format("{}[{}]", where, i);
      const json::value* ip_block = base::find(peers[i], "ipBlock");
      const bool selects =
          base::find(peers[i], "podSelector") != nullptr || base::find(peers[i], "namespaceSelector") != nullptr;
      if (ip_block == nullptr && !selects) add(at, "needs podSelector, namespaceSelector or ipBlock");
      if (ip_block != nullptr && selects) add(at + ".ipBlock", "may not stand beside podSelector or namespaceSelector");
      if (ip_block != nullptr) look_at_block(*ip_block, at + ".ipBlock");
      look_at_selector(peers[i], "podSelector", at);
      look_at_selector(peers[i], "namespaceSelector", at);
    }
  }

  void look_at_ports(const json::array& ports, const std::string& where) {
    for (std::size_t i = 0; i < ports.size(); ++i) {
      const std::string at = fmt::format("{}[{}]", where, i);
      const json::value *port = base::find(ports[i], "port"), *last = base::find(ports[i], "endPort");
      const std::int64_t number = base::get_int(ports[i], "port");
      if (port != nullptr && port->is_string()) {
        if (!is_port_name(port->as_string()))
          add(at + ".port", "must be a number from 1 to 65535, or a container port's name");
      } else if (port != nullptr && (number < 1 || number > 65535)) {
        add(at + ".port", "must be from 1 to 65535");
      }
      if (last == nullptr) continue;
      if (port == nullptr || port->is_string())
        add(at + ".endPort", "needs a port that is a number, where the range begins");
      else if (base::get_int(ports[i], "endPort") < number)
        add(at + ".endPort", "must not be below port");
    }
  }

  std::vector<base::Cause> take() { return std::move(out_); }

 private:
  std::vector<base::Cause> out_;
};

async::Task<> admit(api::AdmissionRequest& request) {
  const auto faults = network_policy_faults(*request.object);
  if (!faults.empty()) throw base::invalid("NetworkPolicy.networking.k8s.io", request.name, faults);
  co_return;
}

}  // namespace

std::vector<base::Cause> network_policy_faults(const json::value& policy) {
  Faults faults;
  faults.look_at_selector(policy, "spec.podSelector", "");
  for (const auto& [direction, peers] : {std::pair{"ingress", "from"}, std::pair{"egress", "to"}}) {
    const json::array& rules = base::get_array(policy, fmt::format("spec.{}", direction));
    for (std::size_t i = 0; i < rules.size(); ++i) {
      const std::string where = fmt::format("spec.{}[{}]", direction, i);
      faults.look_at_peers(base::get_array(rules[i], peers), fmt::format("{}.{}", where, peers));
      faults.look_at_ports(base::get_array(rules[i], "ports"), where + ".ports");
    }
  }
  return faults.take();
}

api::AdmissionPlugin network_policy_admission() {
  api::AdmissionPlugin plugin;
  plugin.name = "network-policies";
  plugin.matches = [](const api::AdmissionRequest& request) {
    return request.type->group == "networking.k8s.io" && request.type->plural == "networkpolicies" &&
           request.operation != api::Operation::kDelete;
  };
  plugin.admit = [](api::AdmissionRequest& request) { return admit(request); };
  return plugin;
}

}  // namespace mainstay::compute
