#include "net/http.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/status.h"
#include "base/strings.h"

namespace mainstay::net {
namespace {

template <class Items>
auto find_header(Items& items, std::string_view name) {
  return std::find_if(items.begin(), items.end(), [name](const auto& item) { return base::iequals(item.first, name); });
}

template <class Items>
auto find_parameter(Items& items, std::string_view name) {
  return std::find_if(items.begin(), items.end(), [name](const auto& item) { return item.first == name; });
}

class StringBody final : public BodyReader {
 public:
  explicit StringBody(std::string text) : text_(std::move(text)) {}
  async::Task<std::size_t> read(std::span<char> buffer) override {
    const std::size_t n = std::min(buffer.size(), text_.size() - at_);
    std::copy_n(text_.data() + at_, n, buffer.data());
    at_ += n;
    co_return n;
  }
  std::optional<std::uint64_t> length() const override { return text_.size(); }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

}  // namespace

std::string_view Headers::get(std::string_view name) const {
  const auto at = find_header(items_, name);
  return at == items_.end() ? std::string_view() : std::string_view(at->second);
}

bool Headers::has(std::string_view name) const { return find_header(items_, name) != items_.end(); }

void Headers::set(std::string_view name, std::string value) {
  const auto at = find_header(items_, name);
  if (at == items_.end()) return add(name, std::move(value));
  at->second = std::move(value);
  items_.erase(
      std::remove_if(at + 1, items_.end(), [name](const auto& item) { return base::iequals(item.first, name); }),
      items_.end());
}

void Headers::add(std::string_view name, std::string value) { items_.emplace_back(name, std::move(value)); }

void Headers::erase(std::string_view name) {
  std::erase_if(items_, [name](const auto& item) { return base::iequals(item.first, name); });
}

base::Result<Query> Query::parse(std::string_view text) {
  Query out;
  if (text.empty()) return out;
  for (auto part : base::split(text, '&')) {
    if (part.empty()) continue;
    const auto equals = part.find('=');
    MAINSTAY_TRY(std::string name, base::percent_decode(part.substr(0, equals), true));
    std::string value;
    if (equals != std::string_view::npos) {
      MAINSTAY_TRY(value, base::percent_decode(part.substr(equals + 1), true));
    }
    out.items_.emplace_back(std::move(name), std::move(value));
  }
  return out;
}

std::string_view Query::get(std::string_view name) const {
  const auto at = find_parameter(items_, name);
  return at == items_.end() ? std::string_view() : std::string_view(at->second);
}

bool Query::has(std::string_view name) const { return find_parameter(items_, name) != items_.end(); }

std::vector<std::string> Query::all_of(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [key, value] : items_) {
    if (key == name) out.push_back(value);
  }
  return out;
}

async::Task<std::string> BodyReader::read_all(std::size_t max) {
  const auto declared = length();
  const auto refuse = [max] {
    return base::too_large("the body is larger than the " + std::to_string(max) + " bytes allowed here");
  };
  if (declared && *declared > max) throw refuse();
  std::string out;
  // The declared length is a claim: room for it is made as the bytes arrive.
  std::size_t room = std::min<std::size_t>(declared.value_or(16 * 1024), 256 * 1024);
  for (;;) {
    const std::size_t done = out.size();
    // One byte more than allowed tells a body at the limit from one past it.
    out.resize(done + std::min(std::max<std::size_t>(room, 1), max - done + 1));
    const std::size_t n = co_await read({out.data() + done, out.size() - done});
    out.resize(done + n);
    if (n == 0) co_return out;
    if (out.size() > max) throw refuse();
    room = declared ? std::min<std::size_t>(*declared - std::min<std::size_t>(*declared, out.size()), 256 * 1024)
                    : std::clamp<std::size_t>(out.size(), 16 * 1024, 256 * 1024);
  }
}

std::shared_ptr<BodyReader> body_from_string(std::string text) { return std::make_shared<StringBody>(std::move(text)); }

Response Response::text(int status, std::string body) {
  Response response{status, {}, std::move(body)};
  response.headers.add("Content-Type", "text/plain; charset=utf-8");
  return response;
}

Response Response::json(int status, const base::json::value& body) {
  Response response{status, {}, base::to_json(body)};
  response.headers.add("Content-Type", "application/json");
  return response;
}

Response Response::json_bytes(int status, std::shared_ptr<const std::string> body) {
  Response response{status, {}, std::move(body)};
  response.headers.add("Content-Type", "application/json");
  return response;
}

}  // namespace mainstay::net
