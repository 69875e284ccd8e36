// ipam: address plans, how full pools are, when they run out, and what would be if.
#include <charconv>
#include <cmath>

#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

const client::Resource kNetworks{"mainstay.dev", "v1", "networks", false, "Network"};
const client::Resource kSubnets{"mainstay.dev", "v1", "subnets", false, "Subnet"};
const client::Resource kPools{"mainstay.dev", "v1", "addresspools", false, "AddressPool"};

struct IpamOptions {
  std::string pool, output, network, parent, cidr;
  std::vector<std::string> plans;
  double per_month = 0;
  std::int64_t prefix_length = 0;
};

double number(const json::value& value, std::string_view path) {
  const json::value* found = base::find(value, path);
  return found != nullptr && found->is_number() ? found->to_number<double>() : 0;
}

std::string day(const json::value& forecast, std::string_view field) {
  const std::string time = base::get_string(forecast, field);
  return time.empty() ? "not in 50 years" : time.substr(0, 10);
}

// Whole numbers as they are; what only IPv6 has room for as a power of two.
std::string count(double value) {
  int exponent = 0;
  if (value > 1e12 && std::frexp(value, &exponent) == 0.5) return fmt::format("2^{}", exponent - 1);
  return fmt::format("{:.15g}", value);
}

std::string percent(double used, double size) { return size > 0 ? fmt::format("{:.1f} %", 100 * used / size) : "-"; }

void add_subnets(const json::array& subnets, const std::string& network, const std::string& parent,
                 const std::string& indent, std::vector<std::vector<std::string>>& rows) {
  if (indent.size() > 40) return;  // deeper than any plan; a circle cannot be, but a table must end
  for (const json::value& subnet : subnets) {
    if (base::get_string(subnet, "spec.network") != network || base::get_string(subnet, "spec.parent") != parent)
      continue;
    const std::string name = base::get_string(subnet, "metadata.name");
    rows.push_back(
        {indent + name, "Subnet", base::get_string(subnet, "spec.cidr"), base::get_string(subnet, "spec.description")});
    add_subnets(subnets, network, name, indent + "  ", rows);
  }
}

async::Task<int> list(Session& session, const IpamOptions& o) {
  client::ApiClient client = session.client();
  const json::value pools = co_await client.list(kPools, "");
  if (!o.output.empty()) {
    print(format_object(pools, o.output));
    co_return kDone;
  }
  const json::value networks = co_await client.list(kNetworks, "");
  const json::value subnets = co_await client.list(kSubnets, "");
  std::vector<std::vector<std::string>> rows;
  for (const json::value& network : base::get_array(networks, "items")) {
    const std::string name = base::get_string(network, "metadata.name");
    std::string ranges;
    for (const json::value& range : base::get_array(network, "spec.ranges"))
      ranges += (ranges.empty() ? "" : ",") + std::string(range.as_string());
    rows.push_back({name, base::get_bool(network, "spec.external") ? "Network (external)" : "Network", ranges,
                    base::get_string(network, "spec.description")});
    add_subnets(base::get_array(subnets, "items"), name, "", "  ", rows);
  }
  print(format_table({"NAME", "KIND", "RANGE", "DESCRIPTION"}, rows) + "\n");
  rows.clear();
  for (const json::value& pool : base::get_array(pools, "items")) {
    const double size = number(pool, "status.size"), used = number(pool, "status.used");
    const json::value forecast = base::get_object(pool, "status.forecast");
    rows.push_back({base::get_string(pool, "metadata.name"), base::get_string(pool, "status.range"), count(size),
                    count(used), percent(used, size), fmt::format("{:.15g}", number(forecast, "growthPerMonth")),
                    day(forecast, "exhaustedAt")});
  }
  print(format_table({"POOL", "RANGE", "SIZE", "USED", "", "A MONTH", "RUNS OUT"}, rows));
  co_return kDone;
}

void print_forecast(const json::value& forecast) {
  print(fmt::format("Growth:     {:.15g} a month ({:.15g} to {:.15g}), from {}\n", number(forecast, "growthPerMonth"),
                    number(forecast, "growthPerMonthLow"), number(forecast, "growthPerMonthHigh"),
                    base::get_string(forecast, "basis", "plans")));
  const std::string middle = day(forecast, "exhaustedAt"), first = day(forecast, "earliest"),
                    last = day(forecast, "latest");
  print(fmt::format("Runs out:   {}{}\n", middle,
                    first == last ? std::string() : fmt::format(" (between {} and {})", first, last)));
  if (base::find(forecast, "monthsLeft") != nullptr)
    print(fmt::format("Months:     {:.15g}\n", number(forecast, "monthsLeft")));
}

async::Task<int> show(Session& session, const IpamOptions& o) {
  const json::value pool = co_await session.client().get(kPools, "", o.pool);
  if (!o.output.empty()) {
    print(format_object(pool, o.output));
    co_return kDone;
  }
  const double size = number(pool, "status.size"), used = number(pool, "status.used");
  print(fmt::format("Pool:       {}\nRange:      {}\nUsed:       {} of {} ({}), {} of them reserved\n", o.pool,
                    base::get_string(pool, "status.range"), count(used), count(size), percent(used, size),
                    count(number(pool, "status.reserved"))));
  print_forecast(base::get_object(pool, "status.forecast"));
  for (const json::value& condition : base::get_array(pool, "status.conditions"))
    print(fmt::format("{}:   {} ({}): {}\n", base::get_string(condition, "type"), base::get_string(condition, "status"),
                      base::get_string(condition, "reason"), base::get_string(condition, "message")));
  for (const json::value& one : base::get_array(pool, "spec.reservations"))
    print(fmt::format("Reserved:   {} {}\n", base::get_string(one, "range"), base::get_string(one, "reason")));
  for (const json::value& one : base::get_array(pool, "spec.plans"))
    print(fmt::format("Plan:       {} needs {:.15g} by {}\n", base::get_string(one, "team"), number(one, "addresses"),
                      base::get_string(one, "by")));
  co_return kDone;
}

json::value what_if_body(const IpamOptions& o) {
  json::object body;
  if (!o.pool.empty() && o.per_month == 0 && o.plans.empty())
    throw Failure{kUsage, "what if what? give --addresses-per-month or --plan; `mainstay ipam show` says how it is"};
  if (!o.pool.empty()) {
    body["pool"] = o.pool;
    body["addressesPerMonth"] = o.per_month;
    json::array plans;
    for (const std::string& text : o.plans) {
      const auto at = text.find('@');
      double addresses = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + std::min(at, text.size()), addresses);
      if (at == std::string::npos || error != std::errc() || end != text.data() + at)
        throw Failure{kUsage, fmt::format("--plan {}: write it as 500@2027-03-01", text)};
      plans.push_back({{"team", "what-if"}, {"addresses", addresses}, {"by", text.substr(at + 1)}});
    }
    body["plans"] = std::move(plans);
  }
  if (!o.network.empty()) {
    json::object subnet = {{"network", o.network}};
    if (!o.parent.empty()) subnet["parent"] = o.parent;
    if (!o.cidr.empty()) subnet["cidr"] = o.cidr;
    if (o.prefix_length > 0) subnet["prefixLength"] = o.prefix_length;
    body["subnet"] = std::move(subnet);
  }
  if (body.empty())
    throw Failure{kUsage,
                  "what if what? a pool with --addresses-per-month or --plan, or --network with --cidr or "
                  "--prefix-length"};
  return body;
}

async::Task<int> what_if(Session& session, const IpamOptions& o) {
  net::ClientRequest request;
  request.method = "POST";
  request.target = "/apis/mainstay.dev/v1/ipam/what-if";
  request.headers.set("Content-Type", "application/json");
  request.body = json::serialize(what_if_body(o));
  net::ClientResponse response = co_await session.client().raw(std::move(request));
  const std::string text = co_await response.body->read_all(1u << 20);
  const auto answer = base::parse_json(text);
  if (!answer || response.status != 200)
    throw base::StatusError::from_json(response.status, answer ? *answer : json::value(text));
  if (!o.output.empty()) {
    print(format_object(*answer, o.output));
    co_return kDone;
  }
  const json::value* subnet = base::find(*answer, "subnet");
  if (base::find(*answer, "forecast") != nullptr) {
    print(fmt::format("As it is, {} runs out: {}\nWith that:\n", o.pool,
                      day(*base::find(*answer, "before"), "exhaustedAt")));
    print_forecast(*base::find(*answer, "forecast"));
  }
  if (subnet == nullptr) co_return kDone;
  if (!base::get_bool(*subnet, "allowed")) {
    print(fmt::format("Subnet:     refused: {}\n", base::get_string(*subnet, "reason")));
    co_return kFailed;
  }
  print(fmt::format("Subnet:     {} would fit ({} addresses)\n", base::get_string(*subnet, "cidr"),
                    count(number(*subnet, "size"))));
  co_return kDone;
}

}  // namespace

void add_ipam_verbs(Command app, Context& context) {
  Command ipam =
      app.add_subcommand("ipam", "Networks and addresses: plans, use, and when a pool runs out").require_subcommand();
  auto o = std::make_shared<IpamOptions>();
  const auto output = [o](Command sub) {
    sub.option("-o,--output", o->output, "json or yaml").one_of({"json", "yaml"});
  };
  Command all = ipam.add_subcommand("list", "Networks, Subnets and pools");
  output(all);
  all.callback([&context, o] { context.choose(&list, o); });
  Command one = ipam.add_subcommand("show", "A pool: use, forecast, reservations and plans");
  one.option("pool", o->pool, "The AddressPool").required();
  output(one);
  one.callback([&context, o] { context.choose(&show, o); });
  Command would =
      ipam.add_subcommand("what-if", "The forecast with more growth, or whether a Subnet would fit; changes nothing");
  would.option("pool", o->pool, "The AddressPool");
  would.option("--addresses-per-month", o->per_month, "More addresses a month").check([](const std::string& text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool good = error == std::errc() && end == text.data() + text.size() && value >= 0 && value <= 1e12;
    return good ? std::string() : fmt::format("{} is not a number from 0 to 1e12", text);
  });
  would.option("--plan", o->plans, "COUNT@DATE, such as 500@2027-03-01; repeatable");
  would.option("--network", o->network, "Try a Subnet of this Network");
  would.option("--parent", o->parent, "Of this Subnet of it");
  would.option("--cidr", o->cidr, "With this prefix");
  would.option("--prefix-length", o->prefix_length, "Or the lowest free one of this length").range(1, 128);
  output(would);
  would.callback([&context, o] { context.choose(&what_if, o); });
}

}  // namespace mainstay::cli
