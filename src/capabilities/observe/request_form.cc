#include "capabilities/observe/request_form.h"

#include "base/encoding.h"
#include "base/status.h"

namespace mainstay::observe {
namespace {

constexpr std::size_t kMaxForm = 256 * 1024;

}  // namespace

async::Task<net::Query> parameters_of(std::shared_ptr<api::RequestContext> context) {
  if (context->http->method != "POST") co_return context->http->query;
  const std::string_view type = context->http->headers.get("Content-Type");
  if (!type.starts_with("application/x-www-form-urlencoded"))
    throw base::unsupported_media_type("a POST of a query must be application/x-www-form-urlencoded");
  std::string form = co_await context->http->body->read_all(kMaxForm);
  for (const auto& [name, value] : context->http->query.all())
    form += fmt::format("&{}={}", base::percent_encode(name), base::percent_encode(value));
  auto parsed = net::Query::parse(form);
  if (!parsed) throw base::bad_request("the form: " + parsed.error().message);
  co_return *std::move(parsed);
}

}  // namespace mainstay::observe
