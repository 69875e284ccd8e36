// Validation, defaults and pruning of one schema, row by row.
#include <gtest/gtest.h>

#include "api/schema_loader.h"
#include "api/test_json.h"
#include "api/verbs.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

std::shared_ptr<const Schema> schema(std::string_view text) {
  SchemaLoader::RawDefinitions raw;
  SchemaLoader::Definitions resolved;
  return SchemaLoader(raw, resolved).load(js(text), "test").value();
}

TEST(Validate, SaysFieldReasonAndMessage) {
  const struct {
    const char* schema;
    const char* value;
    const char* expected;  // "" for valid
  } kRows[] = {
      {"{'type':'string'}", "'a'", ""},
      {"{'type':'string'}", "1",
       "FieldValueTypeInvalid Invalid value: \"integer\":  in body must be of type string: \"integer\""},
      {"{'type':'integer'}", "3.0", ""},
      {"{'type':'integer'}", "3.5",
       "FieldValueTypeInvalid Invalid value: \"number\":  in body must be of type integer: \"number\""},
      {"{'type':'integer','format':'int32'}", "2147483648",
       "FieldValueInvalid Invalid value: 2147483648: must fit in 32 bits"},
      {"{'type':'integer','maximum':5}", "6", "FieldValueInvalid Invalid value: 6: must be less than or equal to 5"},
      {"{'type':'string','nullable':true}", "null", ""},
      {"{'x-kubernetes-int-or-string':true}", "'50%'", ""},
      {"{'x-kubernetes-int-or-string':true}", "5", ""},
      {"{'x-kubernetes-int-or-string':true}", "true",
       "FieldValueTypeInvalid Invalid value: \"boolean\":  in body must be of type integer or string"},
      {"{'type':'string','maxLength':2}", "'äöü'", "FieldValueTooLong Too long: may not be more than 2 characters"},
      {"{'type':'string','maxLength':3}", "'äöü'", ""},
      {"{'type':'string','minLength':1}", "''", "FieldValueRequired Required value"},
      {"{'type':'string','pattern':'^a+$'}", "'aab'",
       "FieldValueInvalid Invalid value: \"aab\":  in body should match '^a+$'"},
      {"{'type':'array','items':{},'maxItems':1}", "[1,2]", "FieldValueTooMany Too many: 2: must have at most 1 items"},
      {"{'type':'array','items':{'type':'string'},'x-kubernetes-list-type':'set'}", "['a','a']",
       "FieldValueDuplicate Duplicate value: \"a\""},
      {"{'type':'string','enum':['a','b']}", "'c'",
       "FieldValueNotSupported Unsupported value: \"c\": supported values: \"a\", \"b\""},
      {"{'type':'string','format':'duration'}", "'1h'", ""},
      {"{'type':'string','format':'duration'}", "'soon'",
       "FieldValueInvalid Invalid value: \"soon\": must be a duration as in 1h30m or 250ms"},
      {"{'type':'object','required':['a'],'properties':{'a':{}}}", "{'a':null}", "FieldValueRequired Required value"},
      {"{}", "{'anything':[1]}", ""},
  };
  for (const auto& row : kRows) {
    const auto found = validate(*schema(row.schema), js(row.value));
    const std::string text = found.empty() ? "" : found[0].reason + " " + found[0].message;
    EXPECT_EQ(text, row.expected) << row.schema << " " << row.value;
  }
}

TEST(Validate, PathsLeadToTheField) {
  const auto one = schema(
      "{'type':'object','properties':{'l':{'type':'array','items':{'type':'object','additionalProperties':{'type':'"
      "string'}}}}}");
  const auto found = validate(*one, js("{'l':[{},{'k.x':1}]}"));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].field, "l[1][k.x]");
}

TEST(Validate, IsBounded) {
  json::array many(1000, json::value(1));
  EXPECT_LE(validate(*schema("{'type':'array','items':{'type':'string'}}"), many).size(), 30u);
  EXPECT_LE(
      validate(*schema("{'type':'array','items':{'type':'integer'},'x-kubernetes-list-type':'set'}"), many).size(),
      30u);
}

TEST(Validate, NeverShowsWholeValues) {
  const auto found = validate(*schema("{'type':'string','enum':['a']}"), json::value(std::string(5000, 'x')));
  EXPECT_LT(found.at(0).message.size(), 300u);
}

TEST(Defaults, FillWhatIsMissing) {
  const struct {
    const char *schema, *value, *expected;
  } kRows[] = {
      {"{'type':'object','properties':{'a':{'type':'integer','default':1}}}", "{}", "{'a':1}"},
      {"{'type':'object','properties':{'a':{'type':'integer','default':1}}}", "{'a':2}", "{'a':2}"},
      {"{'type':'object','properties':{'a':{'type':'object','properties':{'b':{'type':'string','default':'x'}}}}}",
       "{}", "{}"},
      {"{'type':'object','properties':{'a':{'type':'object','default':{},'properties':{'b':{'type':'string','default':'"
       "x'}}}}}",
       "{}", "{'a':{'b':'x'}}"},
      {"{'type':'array','items':{'type':'object','properties':{'p':{'type':'string','default':'TCP'}}}}",
       "[{},{'p':'UDP'}]", "[{'p':'TCP'},{'p':'UDP'}]"},
      {"{'type':'object','additionalProperties':{'format':'quantity','x-kubernetes-int-or-string':true}}",
       "{'cpu':2,'m':'1Gi','x':0.5}", "{'cpu':'2','m':'1Gi','x':'0.5'}"},
  };
  for (const auto& row : kRows) {
    json::value value = js(row.value);
    apply_defaults(*schema(row.schema), value);
    EXPECT_EQ(value, js(row.expected)) << row.schema << " " << json::serialize(value);
  }
}

TEST(Prune, RemovesTheUnknownAndNulls) {
  const auto one = schema(
      "{'type':'object','properties':{'a':{'type':'string'},'n':{'type':'string','nullable':true},"
      "'free':{'type':'object','x-kubernetes-preserve-unknown-fields':true,'properties':{'known':{'type':'object'}}},"
      "'map':{'type':'object','additionalProperties':{'type':'object','properties':{'x':{}}}},'any':{}}}");
  json::value value =
      js("{'a':null,'b':1,'n':null,'free':{'x':{'y':null},'known':{'gone':1}},'map':{'k':{'x':1,'y':2}},'any':{'z':["
         "null]}}");
  std::vector<std::string> dropped;
  prune(*one, value, &dropped);
  EXPECT_EQ(value, js("{'n':null,'free':{'x':{'y':null},'known':{}},'map':{'k':{'x':1}},'any':{'z':[null]}}"));
  EXPECT_EQ(dropped, (std::vector<std::string>{"b", "free.known.gone", "map[k].y"}));
}

TEST(Prune, KeepsTheOrderOfWhatStays) {
  json::value value = js("{'z':1,'gone':2,'a':3}");
  prune(*schema("{'type':'object','properties':{'z':{},'a':{}}}"), value, nullptr);
  EXPECT_EQ(json::serialize(value), R"({"z":1,"a":3})");
}

}  // namespace
}  // namespace mainstay::api
