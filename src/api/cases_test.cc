// Runs tests/api/*.yaml: behaviour of the object verbs as data. Each case has a store of its own with the namespaces
// `shop` and `other`, and a clock that stands still but for `advance`. tests/api/README.md documents the format.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "api/test_types.h"
#include "api/verbs.h"
#include "base/status.h"
#include "base/yaml.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

// What a step led to.
struct Outcome {
  int status = 200;
  std::string reason, message;
  json::value object;  // the object, the list {items, …}, or the error's details
  std::vector<std::string> warnings;
};

class CaseRun {
 public:
  explicit CaseRun(const json::value& source) : source_(source) {}

  void run() { runtime_.run(all(this)); }

 private:
  static async::Task<> all(CaseRun* self) {
    if (auto loaded = self->store_.load(); !loaded) throw std::runtime_error(loaded.error().message);
    for (const char* ns : {"shop", "other"}) {
      json::value object = json::object{{"metadata", json::object{{"name", ns}}}};
      co_await self->verbs_.create(builtin("", "namespaces"), "", std::move(object), UserInfo(), {});
    }
    const json::array& steps = base::get_array(self->source_, "steps");
    for (std::size_t i = 0; i < steps.size() && !testing::Test::HasFatalFailure(); ++i) {
      const json::value step = self->filled(steps[i]);
      SCOPED_TRACE(fmt::format("step {}: {}", i, json::serialize(step)));
      if (const json::value* seconds = base::find(step, "advance")) {
        self->clock_.advance(std::chrono::seconds(seconds->to_number<std::int64_t>()));
        continue;
      }
      Outcome outcome = co_await self->act(step);
      self->check(step, outcome);
      self->save(step, outcome);
    }
    co_await self->store_.stop();
  }

  // "${name}" stands for what an earlier step saved.
  json::value filled(const json::value& value) const {
    if (const json::object* object = value.if_object()) {
      json::object out;
      for (const auto& member : *object) out[member.key()] = filled(member.value());
      return out;
    }
    if (const json::array* items = value.if_array()) {
      json::array out;
      for (const json::value& item : *items) out.push_back(filled(item));
      return out;
    }
    if (!value.is_string()) return value;
    std::string text(value.get_string());
    for (const auto& [name, saved] : saved_) {
      const std::string mark = "${" + name + "}";
      if (text == mark) return saved;
      for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark)) {
        text.replace(at, mark.size(), saved.is_string() ? std::string(saved.get_string()) : json::serialize(saved));
      }
    }
    return json::value(text);
  }

  async::Task<Outcome> act(const json::value& step) {
    Outcome out;
    try {
      co_await try_act(step, out);
    } catch (const base::StatusError& error) {
      out.status = error.code();
      out.reason = error.reason();
      out.message = error.message();
      out.object = error.details();
    }
    co_return out;
  }

  async::Task<> try_act(const json::value& step, Outcome& out) {
    static constexpr std::string_view kVerbs[] = {"create", "update", "json", "merge",  "strategic",
                                                  "apply",  "get",    "list", "delete", "deletecollection"};
    std::string verb, resource;
    for (std::string_view one : kVerbs) {
      if (base::find(step, one)) {
        verb = one;
        resource = base::get_string(step, one);
      }
    }
    const auto dot = resource.find('.');
    const Type* type =
        builtin_types().find_plural(dot == std::string::npos ? "" : resource.substr(dot + 1), resource.substr(0, dot));
    if (!type) throw std::runtime_error("unknown resource " + resource);
    const std::string ns = type->namespaced ? base::get_string(step, "namespace", "shop") : "";
    const std::string name = base::get_string(step, "name");
    const json::value* body = base::find(step, "body");
    const json::value input = body ? *body : json::value(json::object());
    UserInfo user;
    user.name = "tester";
    WriteOptions options = write_options(step, out);
    bool flag = false;
    store::RecordPtr record;
    if (verb == "create") {
      record = co_await verbs_.create(*type, ns, input, user, options);
      out.status = 201;
    } else if (verb == "update") {
      record = co_await verbs_.update(*type, ns, name, input, user, options);
    } else if (verb == "json" || verb == "merge" || verb == "strategic" || verb == "apply") {
      const PatchType kind = verb == "json"    ? PatchType::kJson
                             : verb == "merge" ? PatchType::kMerge
                             : verb == "apply" ? PatchType::kApply
                                               : PatchType::kStrategic;
      record = co_await verbs_.patch(*type, ns, name, kind, input, user, options, &flag);
      if (flag) out.status = 201;
    } else if (verb == "get") {
      record = verbs_.get(*type, ns, name);
    } else if (verb == "delete") {
      record = co_await verbs_.remove(*type, ns, name, delete_options(step), user, &flag);
      if (!flag) out.status = 202;
    } else if (verb == "deletecollection") {
      const auto removed = co_await verbs_.remove_collection(*type, ns, list_options(step), delete_options(step), user);
      out.object = json::object{{"count", removed.size()}};
    } else {
      const std::string list_ns = base::get_bool(step, "allNamespaces") ? "" : ns;
      list(*type, list_ns, step, out);
    }
    if (record) out.object = *record->object;
  }

  void list(const Type& type, const std::string& ns, const json::value& step, Outcome& out) const {
    const ListResult result = verbs_.list(type, ns, list_options(step));
    json::array names;
    for (const auto& item : result.items) names.push_back(json::value(item->key.name));
    out.object =
        json::object{{"names", std::move(names)}, {"continue", result.continue_token}, {"remaining", result.remaining}};
  }

  WriteOptions write_options(const json::value& step, Outcome& out) const {
    WriteOptions options;
    options.subresource = base::get_string(step, "subresource");
    options.field_manager = base::get_string(step, "manager", "tester");
    options.field_validation = base::get_string(step, "fieldValidation", "Warn");
    options.force = base::get_bool(step, "force");
    options.dry_run = base::get_bool(step, "dryRun");
    options.warnings = &out.warnings;
    return options;
  }
  static DeleteOptions delete_options(const json::value& step) {
    DeleteOptions options;
    options.propagation = base::get_string(step, "propagation");
    if (const json::value* grace = base::find(step, "grace")) options.grace_seconds = grace->as_int64();
    options.uid_precondition = base::get_string(step, "uid");
    options.version_precondition = base::get_string(step, "resourceVersion");
    options.dry_run = base::get_bool(step, "dryRun");
    return options;
  }
  static ListOptions list_options(const json::value& step) {
    ListOptions options;
    options.labels = base::LabelSelector::parse(base::get_string(step, "labels")).value();
    options.fields = base::FieldSelector::parse(base::get_string(step, "fields")).value();
    options.limit = static_cast<std::size_t>(base::get_int(step, "limit"));
    options.continue_token = base::get_string(step, "continue");
    options.resource_version = base::get_string(step, "resourceVersion");
    return options;
  }

  // A path as in expectations: dots between members, and [i] or [key=value] into lists.
  static const json::value* find(const json::value& root, std::string_view path) {
    const json::value* at = &root;
    while (at && !path.empty()) {
      const bool index = path.front() == '[';
      const auto end = index ? path.find(']') + 1 : std::min(path.find_first_of(".["), path.size());
      std::string_view step = path.substr(0, end);
      path.remove_prefix(end);
      if (!path.empty() && path.front() == '.') path.remove_prefix(1);
      if (!index) {
        at = at->is_object() ? at->get_object().if_contains(step) : nullptr;
        continue;
      }
      step = step.substr(1, step.size() - 2);
      at = at->is_array() ? item(at->get_array(), step) : nullptr;
    }
    return at;
  }
  static const json::value* item(const json::array& items, std::string_view step) {
    const auto equals = step.find('=');
    if (equals == std::string_view::npos) {
      const std::size_t index = std::stoul(std::string(step));
      return index < items.size() ? &items[index] : nullptr;
    }
    for (const json::value& one : items) {
      if (base::get_string(one, step.substr(0, equals)) == step.substr(equals + 1)) return &one;
    }
    return nullptr;
  }

  void check(const json::value& step, const Outcome& out) const {
    const json::value* expected = base::find(step, "expect");
    const std::int64_t status = expected ? base::get_int(*expected, "status") : 0;
    if (status != 0) {
      ASSERT_EQ(out.status, status) << out.message;
    } else {
      ASSERT_LT(out.status, 300) << out.message;
    }
    if (!expected) return;
    const std::string reason = base::get_string(*expected, "reason");
    if (!reason.empty()) EXPECT_EQ(out.reason, reason);
    const std::string message = base::get_string(*expected, "message");
    EXPECT_NE(out.message.find(message), std::string::npos) << "message: " << out.message << "\nexpected: " << message;
    for (const auto& [path, value] : base::get_object(*expected, "fields")) {
      const json::value* found = find(out.object, path);
      if (value.is_null()) {
        EXPECT_EQ(found, nullptr) << path << " is " << (found ? json::serialize(*found) : "");
      } else {
        EXPECT_TRUE(found && *found == value)
            << path << ": " << (found ? json::serialize(*found) : "missing") << ", expected " << json::serialize(value);
      }
    }
    if (const json::value* warnings = base::find(*expected, "warnings")) {
      EXPECT_EQ(json::value_from(out.warnings), *warnings);
    }
  }

  void save(const json::value& step, const Outcome& out) {
    for (const auto& [name, path] : base::get_object(step, "save")) {
      const json::value* found = find(out.object, path.as_string());
      ASSERT_NE(found, nullptr) << "to save: " << path;
      saved_[std::string(name)] = *found;
    }
  }

  const json::value& source_;
  std::map<std::string, json::value> saved_;
  async::Runtime runtime_{1};
  base::Metrics metrics_;
  base::FakeClock clock_{base::parse_rfc3339("2026-03-01T12:00:00Z").value()};
  store::Backend store_{runtime_, store::open_memory(), store::SealHook{}, metrics_};
  Verbs verbs_{builtin_types(), store_, clock_, nullptr};
};

class Case : public testing::Test {
 public:
  explicit Case(std::shared_ptr<const json::value> source) : source_(std::move(source)) {}
  void TestBody() override { CaseRun(*source_).run(); }

 private:
  std::shared_ptr<const json::value> source_;
};

std::string test_name(std::string_view text) {
  std::string out(text);
  std::ranges::replace_if(out, [](char c) { return !isalnum(static_cast<unsigned char>(c)); }, '_');
  return out;
}

// One test a case, named after its file and the case's name.
bool register_cases() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(MAINSTAY_API_CASES)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  for (const auto& file : files) {
    auto parsed = base::parse_yaml(read_file(file));
    if (!parsed) throw std::runtime_error(file.string() + ": " + parsed.error().message);
    for (const json::value& one : base::get_array(*parsed, "cases")) {
      auto source = std::make_shared<const json::value>(one);
      const std::string name = test_name(base::get_string(one, "name"));
      testing::RegisterTest(("Cases_" + test_name(file.stem().string())).c_str(), name.c_str(), nullptr, nullptr,
                            __FILE__, __LINE__, [source]() -> testing::Test* { return new Case(source); });
    }
  }
  return !files.empty();
}
const bool kRegistered = register_cases();

TEST(Cases, AreFound) { EXPECT_TRUE(kRegistered); }

}  // namespace
}  // namespace mainstay::api
