#include "capabilities/cloud/terraform/module.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "capabilities/cloud/terraform/run_files.h"
#include "capabilities/cloud/terraform/workspaces.h"

namespace mainstay::cloud {
namespace {

TEST(Module, PathsStayInside) {
  for (const char* good : {"main.tf", "modules/a/main.tf", ".hidden", "a..b"})
    EXPECT_TRUE(check_module_path(good)) << good;
  for (const char* bad : {"", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a"})
    EXPECT_FALSE(check_module_path(bad)) << bad;
}

TEST(Module, RunsNoImageOfAnotherTeam) {
  base::Config config;
  const std::string own = config.registry_host();
  for (const std::string& good : {own + "/shop/terraform:1", own + "/library/terraform:1", own + "/ghcr.io/a/b:1",
                                  std::string("docker.io/hashicorp/terraform:1.9"), std::string("mainstay.dev/runner")})
    EXPECT_TRUE(check_image(good, "shop", config)) << good;
  for (const std::string& bad : {own + "/toys/terraform:1", own + "/shopping/terraform:1", own + "/shop/../toys/t:1"})
    EXPECT_FALSE(check_image(bad, "shop", config)) << bad;
  EXPECT_FALSE(check_image(own + "/toys/terraform:1", "", config));
}

TEST(Module, ReadsWhatAPlanWouldDo) {
  const PlanSummary plan =
      summary_of("  # x will be created\n\nPlan: 1 to import, 12 to add, 3 to change, 45 to destroy.\n");
  EXPECT_EQ(plan.add, 12);
  EXPECT_EQ(plan.change, 3);
  EXPECT_EQ(plan.destroy, 45);
  EXPECT_EQ(summary_of("No changes. Your infrastructure matches the configuration.").text,
            "0 to add, 0 to change, 0 to destroy");
}

TEST(Module, MasksSecretsAlsoInParts) {
  EXPECT_EQ(masked("a hunter22 b\nline-one\n", {"hunter22", "line-one\nline-two", "hunt"}), "a *** b\n***\n");
  EXPECT_EQ(masked("abc", {"abc", ""}), "abc") << "too short to be one";
}

TEST(Module, CutsAtLines) {
  EXPECT_EQ(head_of("one\ntwo\nthree\n", 9), "one\ntwo\n(cut here)\n");
  EXPECT_EQ(tail_of("one\ntwo\nthree\n", 9), "(cut here)\nthree\n");
  EXPECT_EQ(tail_of("one\n", 9), "one\n");
}

TEST(Module, TellsSensitiveOutputsApart) {
  const auto state = base::parse_json(R"({"version":4,"outputs":{"host":{"value":"db","type":"string"},
      "password":{"value":"x","type":"string","sensitive":true},"ports":{"value":[1,2]}}})",
                                      16);
  const Outputs outputs = outputs_of(*state);
  EXPECT_EQ(as_text(outputs.plain.at("host")), "db");
  EXPECT_EQ(as_text(outputs.plain.at("ports")), "[1,2]");
  EXPECT_TRUE(outputs.sensitive.contains("password"));
  EXPECT_FALSE(outputs.plain.contains("password"));
}

TEST(Module, QuotesTheEnvironmentAndKeepsItsOwn) {
  EXPECT_EQ(*environment_file({{"AWS_KEY", "it's $(x)"}}), "export AWS_KEY='it'\\''s $(x)'\n");
  for (const char* bad : {"TF_HTTP_ADDRESS", "LD_PRELOAD", "A B", "1A", "", "TF_CLI_CONFIG_FILE"})
    EXPECT_FALSE(environment_file({{bad, "x"}})) << bad;
}

TEST(Module, AnotherConfigurationIsAnotherDigest) {
  json::value a = json::object{{"spec", json::object{{"inputs", json::object{{"n", 1}}}}}}, b = a;
  EXPECT_EQ(configuration_digest(a, "c"), configuration_digest(b, "c"));
  EXPECT_NE(configuration_digest(a, "c"), configuration_digest(a, "d"));
  base::set(b, "spec.approval", "auto");
  EXPECT_EQ(configuration_digest(a, "c"), configuration_digest(b, "c")) << "how it is approved is not what is run";
  base::set(b, "spec.inputs.n", 2);
  EXPECT_NE(configuration_digest(a, "c"), configuration_digest(b, "c"));
}

TEST(Module, AClassGoesBeforeItsClaim) {
  platform::ClaimRequest claim;
  claim.ns = "shop-dev";
  claim.name = "web-q";
  claim.params = {{"size", 3}, {"region", "mars"}};
  EXPECT_FALSE(workspace_spec(claim, "dev")) << "no module";
  claim.parameters = {{"source", json::object{{"repository", "modules"}}},
                      {"inputs", json::object{{"region", "eu"}, {"label", "{environment}-{name}"}}},
                      {"approval", json::object{{"prod", "independent"}}}};
  const auto spec = workspace_spec(claim, "dev");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->at("inputs").at("region"), "eu");
  EXPECT_EQ(spec->at("inputs").at("size"), 3);
  EXPECT_EQ(spec->at("inputs").at("label"), "dev-web-q");
  EXPECT_EQ(spec->at("approval"), "auto");
  EXPECT_EQ(workspace_spec(claim, "prod")->at("approval"), "independent");
}

TEST(RunFiles, FollowsNoLinkThatAModuleLeft) {
  const auto folder = std::filesystem::temp_directory_path() / ("mainstay-run-files-" + std::to_string(::getpid()));
  ASSERT_TRUE(lay_out(folder, {{"main.tf", "x"}, {"sub/a.tf", "y"}}));
  EXPECT_EQ(*base::read_file(folder / "in/sub/a.tf"), "y");
  EXPECT_FALSE(lay_out(folder / "other", {{"../../x", "y"}}));
  ASSERT_TRUE(base::write_file(folder / "secret", "of the machine"));
  std::filesystem::create_symlink(folder / "secret", folder / "out/plan");
  std::filesystem::create_symlink(folder / "secret", folder / "out/log");
  ASSERT_TRUE(base::write_file(folder / "out/code", "2\n"));
  const RunResult result = read_out(folder);
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.log, "");
  EXPECT_EQ(result.plan, "");
  clear_away(folder);
  EXPECT_FALSE(std::filesystem::exists(folder));
}

}  // namespace
}  // namespace mainstay::cloud
