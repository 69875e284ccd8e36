#include "capabilities/identity/form.h"

#include "base/encoding.h"
#include "base/status.h"
#include "base/strings.h"

namespace mainstay::identity {
namespace {
constexpr std::size_t kMaxFields = 64, kMaxName = 100, kMaxValue = 8 * 1024, kMaxBody = 32 * 1024;
const std::string kNothing;

std::unexpected<base::Error> refuse(std::string why) { return base::fail(base::ErrorCode::kInvalid, std::move(why)); }
}  // namespace

base::Result<Form> Form::from(const net::Query& query) {
  Form form;
  if (query.all().size() > kMaxFields) return refuse(fmt::format("more than {} parameters", kMaxFields));
  for (const auto& [name, value] : query.all()) {
    if (name.size() > kMaxName || value.size() > kMaxValue) return refuse("a parameter is too long");
    if ((name + value).find('\0') != std::string::npos) return refuse("a parameter holds a NUL");
    if (!form.fields_.emplace(name, value).second) return refuse("a parameter is given twice");
  }
  return form;
}

base::Result<Form> Form::parse(std::string_view text) {
  if (text.size() > kMaxBody) return refuse("the form is too large");
  if (std::count(text.begin(), text.end(), '&') > static_cast<std::ptrdiff_t>(kMaxFields))
    return refuse(fmt::format("more than {} parameters", kMaxFields));
  MAINSTAY_TRY(const net::Query query, net::Query::parse(text));
  return from(query);
}

const std::string& Form::get(std::string_view name) const {
  const auto at = fields_.find(name);
  return at == fields_.end() ? kNothing : at->second;
}

void Form::erase(std::string_view name) {
  if (const auto at = fields_.find(name); at != fields_.end()) fields_.erase(at);
}

std::string Form::encode() const {
  std::string out;
  for (const auto& [name, value] : fields_) {
    if (!out.empty()) out += '&';
    out += base::percent_encode(name) + "=" + base::percent_encode(value);
  }
  return out;
}

async::Task<Form> read_form(std::shared_ptr<api::RequestContext> context) {
  const std::string_view type = context->http->headers.get("Content-Type");
  if (!base::iequals(base::trim(type.substr(0, type.find(';'))), "application/x-www-form-urlencoded"))
    throw OAuthError("invalid_request", "the body must be application/x-www-form-urlencoded");
  const std::string text = co_await context->http->body->read_all(kMaxBody);
  auto form = Form::parse(text);
  if (!form) throw OAuthError("invalid_request", form.error().message);
  co_return *std::move(form);
}

}  // namespace mainstay::identity
