#include "capabilities/compute/controllers/rollout.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <tuple>

namespace mainstay::compute {
namespace {

// An int-or-percentage. Rounded up or down where a percentage does not come out even.
base::Result<std::int64_t> scaled(const json::value* value, std::string_view field, std::int64_t of, bool up) {
  if (value == nullptr || value->is_null()) return up ? (of * 25 + 99) / 100 : of * 25 / 100;
  std::int64_t number = 0;
  if (value->is_int64()) {
    number = value->as_int64();
  } else if (value->is_uint64()) {
    number = static_cast<std::int64_t>(value->as_uint64());
  } else if (value->is_string() && value->as_string().ends_with("%")) {
    const std::string_view text(value->as_string().data(), value->as_string().size() - 1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number > 1'000'000)
      return base::fail(base::ErrorCode::kInvalid, fmt::format("{}: not a percentage", field));
    number = up ? (of * number + 99) / 100 : of * number / 100;
  } else {
    return base::fail(base::ErrorCode::kInvalid, fmt::format("{}: give a number or a percentage such as 25%", field));
  }
  if (number < 0) return base::fail(base::ErrorCode::kInvalid, fmt::format("{}: must not be negative", field));
  return number;
}

std::int64_t total(const std::vector<SetReplicas>& sets) {
  return std::accumulate(sets.begin(), sets.end(), std::int64_t{0},
                         [](std::int64_t sum, const SetReplicas& s) { return sum + s.replicas; });
}

std::vector<SetReplicas*> old_by_age(std::vector<SetReplicas>& sets) {
  std::vector<SetReplicas*> out;
  for (SetReplicas& set : sets) {
    if (!set.is_new) out.push_back(&set);
  }
  std::sort(out.begin(), out.end(), [](const SetReplicas* a, const SetReplicas* b) {
    return std::tie(a->created, a->name) < std::tie(b->created, b->name);
  });
  return out;
}

void raise_new(std::int64_t wanted, const RolloutLimits& limits, std::vector<SetReplicas>& sets) {
  for (SetReplicas& set : sets) {
    if (!set.is_new) continue;
    if (set.replicas >= wanted) {
      set.replicas = wanted;
    } else {
      const std::int64_t room = wanted + limits.surge - total(sets);
      set.replicas += std::clamp<std::int64_t>(room, 0, wanted - set.replicas);
    }
  }
}

void lower_old(std::int64_t wanted, const RolloutLimits& limits, std::vector<SetReplicas>& sets) {
  const std::int64_t least_available = wanted - limits.unavailable;
  std::int64_t new_missing = 0, available = 0;
  for (const SetReplicas& set : sets) {
    if (set.is_new) new_missing = std::max<std::int64_t>(0, set.replicas - set.available);
    available += std::min(set.available, set.replicas);
  }
  // What may go in all: replicas of the new set that are not available yet must not count as cover.
  std::int64_t may_go = total(sets) - least_available - new_missing;
  if (may_go <= 0) return;
  const std::vector<SetReplicas*> old = old_by_age(sets);
  for (SetReplicas* set : old) {  // those that serve nobody cost nothing
    const std::int64_t down = std::clamp<std::int64_t>(set->replicas - set->available, 0, may_go);
    set->replicas -= down;
    may_go -= down;
  }
  std::int64_t serving_may_go = available - least_available;
  for (SetReplicas* set : old) {
    if (serving_may_go <= 0) return;
    const std::int64_t down = std::min(set->replicas, serving_may_go);
    set->replicas -= down;
    serving_may_go -= down;
  }
}

void canonical(const json::value& value, std::string& out) {
  if (value.is_object()) {
    std::vector<std::string_view> keys;
    for (const auto& member : value.as_object()) keys.push_back({member.key().data(), member.key().size()});
    std::sort(keys.begin(), keys.end());
    out += '{';
    for (std::string_view key : keys) {
      out += json::serialize(json::value(key));
      out += ':';
      canonical(value.as_object().at(key), out);
      out += ',';
    }
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (const json::value& item : value.as_array()) {
      canonical(item, out);
      out += ',';
    }
    out += ']';
  } else {
    out += json::serialize(value);
  }
}

json::value without_hash(const json::value& pod_template) {
  json::value copy = pod_template;
  if (json::value* labels = base::find(copy, "metadata.labels"); labels != nullptr && labels->is_object()) {
    labels->as_object().erase("pod-template-hash");
  }
  return copy;
}

}  // namespace

base::Result<RolloutLimits> rollout_limits(const json::value& deployment) {
  const std::int64_t replicas = base::get_int(deployment, "spec.replicas", 1);
  if (base::get_string(deployment, "spec.strategy.type", "RollingUpdate") == "Recreate")
    return RolloutLimits{0, replicas};
  RolloutLimits limits;
  constexpr std::string_view kPath = "spec.strategy.rollingUpdate";
  MAINSTAY_TRY(limits.surge, scaled(base::find(deployment, fmt::format("{}.maxSurge", kPath)),
                                    fmt::format("{}.maxSurge", kPath), replicas, true));
  MAINSTAY_TRY(limits.unavailable, scaled(base::find(deployment, fmt::format("{}.maxUnavailable", kPath)),
                                          fmt::format("{}.maxUnavailable", kPath), replicas, false));
  if (limits.surge == 0 && limits.unavailable == 0) limits.unavailable = 1;
  limits.unavailable = std::min(limits.unavailable, replicas);
  return limits;
}

void roll(std::int64_t wanted, const RolloutLimits& limits, std::vector<SetReplicas>& sets) {
  raise_new(wanted, limits, sets);
  lower_old(wanted, limits, sets);
}

void rescale(std::int64_t wanted, const RolloutLimits& limits, bool rolling, std::vector<SetReplicas>& sets) {
  std::vector<SetReplicas*> active;
  SetReplicas* newest = nullptr;
  for (SetReplicas& set : sets) {
    if (set.replicas > 0) active.push_back(&set);
    if (set.is_new) newest = &set;
  }
  if (active.size() <= 1) {
    SetReplicas* one = !active.empty() ? active[0] : newest;
    if (one != nullptr) one->replicas = wanted;
    return;
  }
  if (newest != nullptr && newest->replicas == wanted && newest->available == wanted) {
    for (SetReplicas* set : active) {
      if (set != newest) set->replicas = 0;
    }
    return;
  }
  if (!rolling) return;
  std::int64_t to_add = (wanted > 0 ? wanted + limits.surge : 0) - total(sets);
  std::sort(active.begin(), active.end(), [&](const SetReplicas* a, const SetReplicas* b) {
    if (a->replicas != b->replicas) return a->replicas > b->replicas;
    if (a->created != b->created) return (a->created > b->created) == (to_add > 0);  // growing favours the newer
    return a->name < b->name;
  });
  for (SetReplicas* set : active) {
    if (to_add == 0) break;
    const std::int64_t before = set->noted_maximum > 0 ? set->noted_maximum : total(sets);
    const std::int64_t share =
        wanted == 0
            ? -set->replicas
            : std::llround(static_cast<double>(set->replicas * (wanted + limits.surge)) / static_cast<double>(before)) -
                  set->replicas;
    const std::int64_t change =
        to_add > 0 ? std::clamp<std::int64_t>(share, 0, to_add) : std::clamp<std::int64_t>(share, to_add, 0);
    set->replicas += change;
    to_add -= change;
  }
  active[0]->replicas = std::max<std::int64_t>(0, active[0]->replicas + to_add);
}

std::string template_hash(const json::value& pod_template, std::int64_t collisions) {
  std::string text;
  canonical(without_hash(pod_template), text);
  if (collisions > 0) text += std::to_string(collisions);
  std::uint64_t hash = 14695981039346656037ull;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  // The alphabet without vowels and look-alikes, as Kubernetes makes its suffixes.
  constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";
  std::string out;
  for (int i = 0; i < 10; ++i, hash /= kAlphabet.size()) out += kAlphabet[hash % kAlphabet.size()];
  return out;
}

bool same_template(const json::value& a, const json::value& b) { return without_hash(a) == without_hash(b); }

}  // namespace mainstay::compute
