// The envelope: "k8s\0", then runtime.Unknown{typeMeta{apiVersion, kind}, raw, contentEncoding, contentType}, where raw
// is the message of that kind (see "Kubernetes Protobuf encoding" in the API reference; the wire format: protobuf.dev).
#include "api/protobuf.h"

#include <fmt/format.h>

#include <unordered_map>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/status.h"
#include "base/strings.h"
#include "base/utf8.h"

namespace mainstay::api {
namespace {
namespace json = base::json;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kMagic("k8s\0", 4);
constexpr int kMaxDepth = 32;
constexpr std::string_view kNamedList = "ExtraValue";

enum class Kind { kString, kBytes, kBool, kInt, kDouble, kTime, kMicroTime, kQuantity, kIntOrString, kRaw, kMessage };

struct Field {
  std::string name;
  Kind kind = Kind::kMessage;
  std::string message;
  bool pointer = false, repeated = false, map = false, inlined = false;
};
using Message = std::unordered_map<std::uint64_t, Field>;
using Messages = std::unordered_map<std::string, Message>;

// "<name> <type>", "<name> map <type>" or "inline <message>".
std::optional<Field> parse_field(std::string_view text) {
  static const std::unordered_map<std::string_view, Kind> scalars{
      {"string", Kind::kString},       {"bytes", Kind::kBytes},
      {"bool", Kind::kBool},           {"int", Kind::kInt},
      {"double", Kind::kDouble},       {"Time", Kind::kTime},
      {"MicroTime", Kind::kMicroTime}, {"Quantity", Kind::kQuantity},
      {"FieldsV1", Kind::kRaw},        {"IntOrString", Kind::kIntOrString}};
  const auto words = base::split(text, ' ');
  if (words.size() < 2 || words.size() > 3 || words.back().empty()) return std::nullopt;
  Field field;
  field.name = words[0];
  field.inlined = words[0] == "inline";
  field.map = words.size() == 3;
  if (field.map && words[1] != "map") return std::nullopt;
  std::string_view type = words.back();
  field.pointer = type.starts_with("*");
  field.repeated = type.starts_with("[]");
  type.remove_prefix(field.pointer ? 1 : field.repeated ? 2 : 0);
  if (auto scalar = scalars.find(type); scalar != scalars.end())
    field.kind = scalar->second;
  else
    field.message = type;
  return field;
}

// One field on the wire: a number where the type is varint or fixed, otherwise bytes.
struct Wire {
  std::uint64_t field = 0, number = 0;
  int type = 0;
  std::string_view bytes;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool done() const { return bytes_.empty(); }

  Result<Wire> next() {
    Wire wire;
    MAINSTAY_TRY(const std::uint64_t tag, varint());
    wire.field = tag >> 3;
    wire.type = static_cast<int>(tag & 7);
    if (wire.field == 0) return broken();
    switch (wire.type) {
      case 0: {
        MAINSTAY_TRY(wire.number, varint());
        return wire;
      }
      case 1:
        return fixed(wire, 8);
      case 5:
        return fixed(wire, 4);
      case 2: {
        MAINSTAY_TRY(const std::uint64_t size, varint());
        if (size > bytes_.size()) return broken();
        wire.bytes = bytes_.substr(0, size);
        bytes_.remove_prefix(size);
        return wire;
      }
      default:
        return broken();
    }
  }

  Result<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return broken();
  }

 private:
  static std::unexpected<base::Error> broken() { return fail(ErrorCode::kInvalid, "the protobuf body is malformed"); }
  Result<Wire> fixed(Wire wire, std::size_t size) {
    if (bytes_.size() < size) return broken();
    for (std::size_t i = size; i-- > 0;) wire.number = wire.number << 8 | static_cast<unsigned char>(bytes_[i]);
    bytes_.remove_prefix(size);
    return wire;
  }

  std::string_view bytes_;
};

// The first field `number` of a message, as text; "" where it is missing.
Result<std::string_view> text_field(std::string_view bytes, std::uint64_t number) {
  Reader reader(bytes);
  while (!reader.done()) {
    MAINSTAY_TRY(const Wire wire, reader.next());
    if (wire.field == number && wire.type == 2) return wire.bytes;
  }
  return std::string_view();
}

Result<json::value> string_value(std::string_view bytes) {
  if (!base::is_utf8(bytes)) return fail(ErrorCode::kInvalid, "the protobuf body holds a string that is not UTF-8");
  return json::value(bytes);
}

struct Numbers {
  std::int64_t one = 0, two = 0;
};
Result<Numbers> number_fields(std::string_view bytes) {
  Numbers numbers;
  Reader reader(bytes);
  while (!reader.done()) {
    MAINSTAY_TRY(const Wire wire, reader.next());
    if (wire.type != 0) continue;
    if (wire.field == 1) numbers.one = static_cast<std::int64_t>(wire.number);
    if (wire.field == 2) numbers.two = static_cast<std::int64_t>(wire.number);
  }
  return numbers;
}

// meta/v1 Time {seconds, nanos}; an empty message is the zero time, null in JSON.
Result<json::value> time_value(std::string_view bytes, bool micro) {
  if (bytes.empty()) return json::value(nullptr);
  MAINSTAY_TRY(const Numbers time, number_fields(bytes));
  constexpr std::int64_t kLast = 9'000'000'000;  // the year 2255: the clock counts nanoseconds in 64 bits
  if (time.one < 0 || time.one > kLast || time.two < 0 || time.two >= 1'000'000'000) {
    return fail(ErrorCode::kInvalid, "the protobuf body holds a time out of range");
  }
  const auto at = base::SystemTime(std::chrono::seconds(time.one)) +
                  std::chrono::duration_cast<base::SystemTime::duration>(std::chrono::nanoseconds(time.two));
  return json::value(micro ? base::rfc3339_micro(at) : base::rfc3339(at));
}

// util/intstr IntOrString {type, intVal, strVal}.
Result<json::value> int_or_string(std::string_view bytes) {
  MAINSTAY_TRY(const Numbers numbers, number_fields(bytes));
  if (numbers.one == 0) return json::value(numbers.two);
  MAINSTAY_TRY(const std::string_view text, text_field(bytes, 3));
  return string_value(text);
}

bool is_zero(const json::value& value) {
  return value.is_null() || value == 0 || value == false || (value.is_string() && value.get_string().empty()) ||
         (value.is_double() && value.get_double() == 0) || (value.is_uint64() && value.get_uint64() == 0);
}

class Decoder {
 public:
  explicit Decoder(const Messages& messages) : messages_(messages) {}

  Result<json::object> message(const std::string& name, std::string_view bytes, int depth) const {
    if (depth > kMaxDepth) return fail(ErrorCode::kInvalid, "the protobuf body is nested too deep");
    const Message& fields = messages_.at(name);
    json::object object;
    Reader reader(bytes);
    while (!reader.done()) {
      MAINSTAY_TRY(const Wire wire, reader.next());
      auto found = fields.find(wire.field);
      if (found == fields.end()) continue;
      MAINSTAY_TRY_VOID(put(object, found->second, wire, depth));
    }
    return object;
  }

 private:
  Result<> put(json::object& object, const Field& field, const Wire& wire, int depth) const {
    if (field.map) return put_entry(object, field, wire, depth);
    if (field.repeated) return put_item(object, field, wire, depth);
    MAINSTAY_TRY(json::value value, single(field, wire, depth));
    if (field.inlined && value.is_object()) {
      for (auto& member : value.get_object()) object[member.key()] = std::move(member.value());
      return {};
    }
    const bool left_out = field.kind != Kind::kMessage && !field.pointer && is_zero(value);
    if (!left_out && !value.is_null()) object[field.name] = std::move(value);
    return {};
  }

  Result<> put_item(json::object& object, const Field& field, const Wire& wire, int depth) const {
    json::value& list = object[field.name];
    if (!list.is_array()) list = json::array();
    if (field.kind == Kind::kInt && wire.type == 2) {  // packed
      Reader packed(wire.bytes);
      while (!packed.done()) {
        MAINSTAY_TRY(const std::uint64_t number, packed.varint());
        list.get_array().emplace_back(static_cast<std::int64_t>(number));
      }
      return {};
    }
    MAINSTAY_TRY(json::value value, single(field, wire, depth));
    list.get_array().push_back(std::move(value));
    return {};
  }

  Result<> put_entry(json::object& object, const Field& field, const Wire& wire, int depth) const {
    if (wire.type != 2) return fail(ErrorCode::kInvalid, "the protobuf body is malformed");
    MAINSTAY_TRY(const std::string_view key, text_field(wire.bytes, 1));
    MAINSTAY_TRY(json::value name, string_value(key));
    MAINSTAY_TRY(const std::string_view bytes, text_field(wire.bytes, 2));
    Wire inner;
    inner.type = 2;
    inner.bytes = bytes;
    MAINSTAY_TRY(json::value value, single(field, inner, depth));
    json::value& map = object[field.name];
    if (!map.is_object()) map = json::object();
    map.get_object()[name.get_string()] = std::move(value);
    return {};
  }

  Result<json::value> single(const Field& field, const Wire& wire, int depth) const {
    const bool number = field.kind == Kind::kBool || field.kind == Kind::kInt || field.kind == Kind::kDouble;
    if (number == (wire.type == 2))
      return fail(ErrorCode::kInvalid, fmt::format("the protobuf body has field {} in another type", field.name));
    switch (field.kind) {
      case Kind::kString:
        return string_value(wire.bytes);
      case Kind::kBytes:
        return json::value(base::base64(wire.bytes));
      case Kind::kBool:
        return json::value(wire.number != 0);
      case Kind::kInt:
        return json::value(static_cast<std::int64_t>(wire.number));
      case Kind::kDouble:
        return json::value(std::bit_cast<double>(wire.number));
      case Kind::kTime:
        return time_value(wire.bytes, false);
      case Kind::kMicroTime:
        return time_value(wire.bytes, true);
      case Kind::kIntOrString:
        return int_or_string(wire.bytes);
      case Kind::kQuantity: {
        MAINSTAY_TRY(const std::string_view text, text_field(wire.bytes, 1));
        return string_value(text);
      }
      case Kind::kRaw: {
        MAINSTAY_TRY(const std::string_view text, text_field(wire.bytes, 1));
        if (text.empty()) return json::value(nullptr);
        return base::parse_json(text);
      }
      case Kind::kMessage:
        break;
    }
    MAINSTAY_TRY(json::object object, message(field.message, wire.bytes, depth + 1));
    if (field.message != kNamedList) return json::value(std::move(object));
    // A list with a name of its own is a message in protobuf, and a list in JSON.
    json::value* items = object.if_contains("items");
    return items ? std::move(*items) : json::value(json::array());
  }

  const Messages& messages_;
};

}  // namespace

struct ProtobufMessages::Impl {
  Messages messages;
};

ProtobufMessages::ProtobufMessages() : impl_(std::make_unique<Impl>()) {}
ProtobufMessages::~ProtobufMessages() = default;

Result<> ProtobufMessages::add(std::string_view name, const json::value& fields, std::string file) {
  auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kInvalid, fmt::format("{}: protobuf.{}: {}", file, name, what));
  };
  if (!fields.is_object()) return bad("must be an object of fields by number");
  auto [at, fresh] = impl_->messages.try_emplace(std::string(name));
  if (!fresh) return bad("is there twice in the program");
  for (const auto& [key, text] : fields.get_object()) {
    std::uint64_t number = 0;
    const std::string_view digits = key;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    auto field = text.is_string() ? parse_field(text.get_string()) : std::nullopt;
    if (number == 0 || !field) return bad(fmt::format("field {} must be a number and \"<name> <type>\"", digits));
    at->second.emplace(number, std::move(*field));
  }
  return {};
}

Result<> ProtobufMessages::check() const {
  for (const auto& [name, message] : impl_->messages) {
    for (const auto& [number, field] : message) {
      if (field.kind == Kind::kMessage && !impl_->messages.contains(field.message)) {
        return fail(ErrorCode::kInvalid,
                    fmt::format("protobuf.{}: field {} is of the unknown message {}", name, number, field.message));
      }
    }
  }
  return {};
}

Result<json::value> ProtobufMessages::decode(std::string_view body) const {
  if (!body.starts_with(kMagic))
    return fail(ErrorCode::kInvalid, "the body is not Kubernetes protobuf: it does not begin with k8s\\0");
  body.remove_prefix(kMagic.size());
  MAINSTAY_TRY(const std::string_view meta, text_field(body, 1));
  MAINSTAY_TRY(const std::string_view raw, text_field(body, 2));
  MAINSTAY_TRY(const std::string_view content_type, text_field(body, 4));
  MAINSTAY_TRY(const std::string_view api_version, text_field(meta, 1));
  MAINSTAY_TRY(const std::string_view kind, text_field(meta, 2));
  if (content_type == "application/json") return base::parse_json(raw);
  // Messages are named by their kind; of the two Events, the later group's has a name of its own.
  const std::string name =
      api_version.starts_with("events.k8s.io/") && kind == "Event" ? "EventsEvent" : std::string(kind);
  if (!impl_->messages.contains(name)) {
    return fail(ErrorCode::kInvalid,
                fmt::format("{} of {} is not read as protobuf here; send application/json", kind, api_version));
  }
  MAINSTAY_TRY(json::object object, Decoder(impl_->messages).message(name, raw, 0));
  object["apiVersion"] = api_version;
  object["kind"] = kind;
  return json::value(std::move(object));
}

async::Task<> accept_protobuf(const ProtobufMessages& messages, net::Request& request, std::size_t max_bytes) {
  const std::string type = base::lower(
      base::trim(request.headers.get("Content-Type").substr(0, request.headers.get("Content-Type").find(';'))));
  if (type != kProtobufMediaType || request.method == "PATCH" || request.method == "GET") co_return;
  const std::string body = co_await request.body->read_all(max_bytes);
  request.headers.set("Content-Type", "application/json");
  if (body.empty()) {
    request.body = net::body_from_string("");
    co_return;
  }
  auto decoded = messages.decode(body);
  if (!decoded) throw base::bad_request(decoded.error().message);
  request.body = net::body_from_string(base::to_json(*decoded));
}

}  // namespace mainstay::api
