#include "capabilities/identity/upstream_http.h"

#include <boost/url.hpp>

#include "capabilities/identity/clients.h"
#include "capabilities/identity/pages.h"
#include "net/client.h"

namespace mainstay::identity {
namespace {

constexpr std::size_t kMaxAnswer = 256 * 1024;

}  // namespace

base::StatusError upstream_trouble(const std::string& name, std::string_view why) {
  return base::unavailable(fmt::format("identity provider {}: {}", name, why));
}

async::Task<json::value> ask_upstream(async::Executor executor, std::string name, std::string url, std::string ca_pem,
                                      net::Headers headers, std::string body) {
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed || !check_redirect_uri(url))
    throw upstream_trouble(name, "its URL must be https, or http on a loopback address");
  net::ClientOptions options;
  options.tls.ca_pem = std::move(ca_pem);
  options.response_timeout = std::chrono::seconds(10);
  auto client = net::Client::create(executor, origin_of(url), options);
  if (!client) throw upstream_trouble(name, client.error().message);
  net::ClientRequest request;
  request.method = body.empty() ? "GET" : "POST";
  request.target = std::string(parsed->encoded_target()).empty() ? "/" : std::string(parsed->encoded_target());
  request.headers = std::move(headers);
  request.headers.set("Accept", "application/json");
  if (!body.empty()) request.headers.set("Content-Type", "application/x-www-form-urlencoded");
  request.body = std::move(body);
  auto response = co_await (*client)->send(std::move(request));
  if (!response) throw upstream_trouble(name, response.error().message);
  const auto text = co_await async::with_timeout(response->body->read_all(kMaxAnswer), std::chrono::seconds(10));
  if (!text) throw upstream_trouble(name, "it does not finish its answer");
  auto answer = base::parse_json(*text, 16);
  if (response->status != 200)
    throw upstream_trouble(name, fmt::format("{} answered {} {}", parsed->encoded_path(), response->status,
                                             answer ? base::get_string(*answer, "error") : ""));
  if (!answer || !answer->is_object()) throw upstream_trouble(name, "its answer is not a JSON object");
  co_return *std::move(answer);
}

}  // namespace mainstay::identity
