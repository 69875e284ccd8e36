#include "capabilities/pipelines/workflow.h"

#include <gtest/gtest.h>

#include "base/yaml.h"

namespace mainstay::pipelines {
namespace {

std::string fault(const std::string& text) {
  auto workflow = parse_workflow("w.yml", text);
  return workflow ? "none" : workflow.error().message;
}

TEST(Workflow, ReadsWhatGitHubsExamplesUse) {
  auto workflow = parse_workflow("ci.yml", R"(
name: CI
on:
  push:
    branches: [main, 'release/**']
    paths-ignore: ['docs/**']
  pull_request:
  workflow_dispatch:
env: {LEVEL: 2}
defaults:
  run: {shell: bash}
permissions: read-all
jobs:
  test:
    runs-on: ubuntu-latest
    strategy:
      fail-fast: false
      matrix: {python: ['3.10', '3.11'], include: [{python: '3.12', next: true}]}
    outputs: {v: '${{ steps.s.outputs.v }}'}
    steps:
      - uses: actions/checkout@v4
      - id: s
        name: Test ${{ matrix.python }}
        run: |
          echo "v=1" >> "$GITHUB_OUTPUT"
        env: {DEBUG: true}
        continue-on-error: ${{ matrix.next == true }}
        timeout-minutes: 5
  deliver:
    needs: test
    if: github.ref == 'refs/heads/main'
    environment: {name: dev}
    steps:
      - uses: mainstay/build-image
        with: {context: app}
      - uses: mainstay/deploy
)");
  ASSERT_TRUE(workflow) << workflow.error().message;
  EXPECT_EQ(workflow->name, "CI");
  EXPECT_TRUE(workflow->dispatch);
  EXPECT_EQ(workflow->env.at("LEVEL"), json::value("2"));
  ASSERT_EQ(workflow->jobs.size(), 2u);
  const Job& test = *workflow->job("test");
  EXPECT_FALSE(test.fail_fast);
  EXPECT_EQ(test.shell, "bash");
  EXPECT_EQ(test.steps[1].id, "s");
  EXPECT_EQ(test.steps[1].env.at("DEBUG"), json::value("true"));
  const Job& deliver = *workflow->job("deliver");
  EXPECT_EQ(deliver.needs, (std::vector<std::string>{"test"}));
  EXPECT_EQ(deliver.environment, "dev");
  EXPECT_EQ(workflow->notes.size(), 2u);
}

TEST(Workflow, FaultsNameLineAndColumn) {
  const std::string head = "on: push\njobs:\n  a:\n    steps:\n";
  EXPECT_TRUE(fault(head + "      - uses: actions/setup-node@v4\n")
                  .starts_with("w.yml:5:9: the action \"actions/setup-node@v4\" is not in this version"))
      << fault(head + "      - uses: actions/setup-node@v4\n");
  EXPECT_TRUE(fault(head + "      - run: echo ${{ github.nothing( }}\n").starts_with("w.yml:5:9: "));
  EXPECT_TRUE(fault(head + "      - run: x\n        if: foo == 1\n").starts_with("w.yml:6:9: there is no context"));
  EXPECT_TRUE(fault(head + "      - name: x\n").contains("needs `run` or `uses`"));
  EXPECT_TRUE(fault(head + "      - run: x\n        wiht: {}\n").starts_with("w.yml:6:9: `wiht` is not known"));
  EXPECT_TRUE(fault("jobs: {a: {steps: [{run: x}]}}\n").contains("`on` is missing"));
  EXPECT_TRUE(fault("on: push\n").contains("at least one job"));
  EXPECT_TRUE(fault("on: psuh\njobs: {a: {steps: [{run: x}]}}\n").contains("no event \"psuh\""));
  EXPECT_TRUE(fault("on: push\njobs: {a: {needs: b, steps: [{run: x}]}}\n").contains("no such job"));
  EXPECT_TRUE(fault("on: push\njobs: {a: {needs: b, steps: [{run: x}]}, b: {needs: a, steps: [{run: x}]}}\n")
                  .contains("waits for itself"));
  EXPECT_TRUE(fault("on: push\njobs: {a: {services: {db: {}}, steps: [{run: x}]}}\n")
                  .contains("service containers are not in this version"));
  EXPECT_TRUE(
      fault("on: push\njobs: {a: {runs-on: windows-latest, steps: [{run: x}]}}\n").contains("jobs run on Linux"));
  EXPECT_TRUE(fault("on: push\njobs: {a: {steps: [{run: x, id: i}, {run: y, id: I}]}}\n").contains("another step"));
  EXPECT_TRUE(fault("on: [push\n").contains("line"));
  EXPECT_TRUE(fault("just text").contains("mapping"));
}

// What people bring from GitHub and what is not served here: each is refused where it stands, with what to do instead.
TEST(Workflow, WhatIsNotServedIsRefusedByNameWithWhatToDo) {
  struct Case {
    const char *text, *where, *name, *instead;
  };
  const std::string step = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - ";
  const Case kSteps[] = {
      {"uses: actions/setup-node@v4", "6:9", "actions/setup-node@v4", "leave the step out"},
      {"uses: actions/setup-python@v5", "6:9", "actions/setup-python@v5", "install the version"},
      {"uses: actions/setup-go@v5", "6:9", "actions/setup-go@v5", "installed on the platform's machine"},
      {"uses: ruby/setup-ruby@v1", "6:9", "ruby/setup-ruby@v1", "leave the step out"},
      {"uses: actions/cache@v4", "6:9", "actions/cache@v4", "leave the step out"},
      {"uses: actions/upload-artifact@v4", "6:9", "actions/upload-artifact@v4", "outputs"},
      {"uses: actions/download-artifact@v4", "6:9", "actions/download-artifact@v4", "in one job"},
      {"uses: docker/login-action@v3", "6:9", "docker/login-action@v3", "signed in"},
      {"uses: docker/build-push-action@v6", "6:9", "docker/build-push-action@v6", "mainstay/build-image"},
      {"uses: docker/setup-buildx-action@v3", "6:9", "docker/setup-buildx-action@v3", "mainstay/build-image"},
      {"uses: actions/github-script@v7", "6:9", "actions/github-script@v7", "curl"},
      {"uses: aws-actions/configure-aws-credentials@v4", "6:9", "aws-actions/", "`secrets`"},
      {"uses: ./.github/actions/build", "6:9", "./.github/actions/build", "write their steps here"},
      {"uses: docker://alpine:3.20", "6:9", "docker://alpine:3.20", "`run` step"},
      {"uses: someone/something@v1", "6:9", "someone/something@v1", "`run` step"},
      {"{uses: actions/checkout@v4, with: {submodules: recursive}}", "6:44", "`submodules`", "`run` step"},
      {"{uses: actions/checkout@v4, with: {ssh-key: x}}", "6:44", "`ssh-key`", "fetch-depth"},
      {"{uses: mainstay/build-image, with: {push: true}}", "6:45", "`push`", "build-args"},
      {"{run: x, shell: pwsh}", "6:18", "\"pwsh\"", "bash, sh, python"},
      {"{run: x, uses: actions/checkout@v4}", "6:9", "`run` or `uses`", "not both"},
      {"{run: x, retries: 3}", "6:18", "`retries`", "timeout-minutes"},
      {"run: echo ${{ secrets.A | b }}", "6:9", "|", ""},
  };
  const Case kJobs[] = {
      {"    uses: acme/flows/.github/workflows/ci.yml@main", "4:5", "reusable workflows", "write the steps here"},
      {"    services: {db: {image: postgres}}\n    steps: [{run: x}]", "4:5", "service containers", "`run` step"},
      {"    container: node:20\n    steps: [{run: x}]", "4:5", "`container`", "installs in a `run` step"},
      {"    runs-on: windows-latest\n    steps: [{run: x}]", "4:5", "windows-latest", "Linux"},
      {"    runs-on: [self-hosted, macos]\n    steps: [{run: x}]", "4:5", "macos", "Linux"},
      {"    runs-on: ${{ matrix.os }}\n    strategy:\n      matrix:\n        os: [ubuntu-latest, windows-latest]\n"
       "    steps: [{run: x}]",
       "7:29", "windows-latest", "out of the matrix"},
      {"    runs-on: ${{ matrix.os }}\n    strategy:\n      matrix:\n        include:\n          - {os: macos-14}\n"
       "    steps: [{run: x}]",
       "8:14", "macos-14", "out of the matrix"},
      {"    strategy: {fail-fast: '${{ true }}', matrix: {a: [1]}}\n    steps: [{run: x}]", "4:16", "`fail-fast`",
       "true or false"},
      {"    strategy: {max-parallel: two, matrix: {a: [1]}}\n    steps: [{run: x}]", "4:16", "`max-parallel`",
       "number"},
      {"    snapshot: x\n    steps: [{run: x}]", "4:5", "`snapshot`", "runs-on"},
  };
  const auto check = [](const std::string& text, const Case& one) {
    const std::string message = fault(text);
    EXPECT_TRUE(message.starts_with(fmt::format("w.yml:{}: ", one.where))) << text << "\n" << message;
    EXPECT_TRUE(message.contains(one.name) && message.contains(one.instead)) << text << "\n" << message;
  };
  for (const Case& one : kSteps) check(step + one.text + "\n", one);
  for (const Case& one : kJobs) check(std::string("on: push\njobs:\n  a:\n") + one.text + "\n", one);
}

TEST(Workflow, WhatHasNoEffectIsSaid) {
  auto workflow = parse_workflow("w.yml", R"(on:
  push:
  pull_request: {branches: [main]}
  schedule: [{cron: '0 0 * * *'}]
concurrency: {group: x, cancel-in-progress: true}
jobs:
  a:
    runs-on: [self-hosted, linux]
    permissions: {contents: read}
    steps:
      - uses: actions/checkout@v4
        with: {persist-credentials: false, fetch-depth: 0}
      - {run: x, shell: 'perl {0}'}
)");
  ASSERT_TRUE(workflow) << workflow.error().message;
  EXPECT_EQ(workflow->notes,
            (std::vector<std::string>{
                "w.yml:3: `on: pull_request` never happens here", "w.yml:4: `on: schedule` never happens here",
                "w.yml:5: `concurrency` has no effect here", "w.yml:9: `permissions` has no effect here"}));
}

TEST(Workflow, TheDefaultOneIsValid) {
  auto workflow = parse_workflow("default", default_workflow("it's"));
  ASSERT_TRUE(workflow) << workflow.error().message;
  EXPECT_EQ(workflow->jobs[0].steps.size(), 3u);
}

TEST(Filters, MatchAsPublished) {
  const auto one = [](const char* pattern, const char* text) { return filter_matches({pattern}, text); };
  EXPECT_TRUE(one("feature/*", "feature/a"));
  EXPECT_FALSE(one("feature/*", "feature/a/b"));
  EXPECT_TRUE(one("feature/**", "feature/a/b"));
  EXPECT_TRUE(one("**", "all/the/branches"));
  EXPECT_TRUE(one("*feature", "my-feature"));
  EXPECT_TRUE(one("v2*", "v2.0"));
  EXPECT_TRUE(one("v[12].[0-9]+.[0-9]+", "v1.10.1"));
  EXPECT_FALSE(one("v[12].[0-9]+.[0-9]+", "v3.1.1"));
  EXPECT_TRUE(one("*.jsx?", "page.js"));
  EXPECT_TRUE(one("*.jsx?", "page.jsx"));
  EXPECT_TRUE(one("**/README.md", "README.md"));
  EXPECT_TRUE(one("**/README.md", "js/README.md"));
  EXPECT_TRUE(one("docs/**/*.md", "docs/a/b/c.md"));
  EXPECT_TRUE(filter_matches({"releases/**", "!releases/**-alpha"}, "releases/10"));
  EXPECT_FALSE(filter_matches({"releases/**", "!releases/**-alpha"}, "releases/10-alpha"));
  EXPECT_FALSE(one("**********************************x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

TEST(Filters, DecideWhatAPushStarts) {
  const auto starts = [](const std::string& on, const char* ref,
                         std::optional<std::vector<std::string>> changed = std::nullopt) {
    auto workflow = parse_workflow("w", "on: " + on + "\njobs: {a: {steps: [{run: x}]}}\n");
    EXPECT_TRUE(workflow) << workflow.error().message;
    return push_starts(*workflow, ref, changed);
  };
  EXPECT_TRUE(starts("push", "refs/heads/x"));
  EXPECT_TRUE(starts("[push, pull_request]", "refs/tags/v1"));
  EXPECT_FALSE(starts("workflow_dispatch", "refs/heads/x"));
  EXPECT_TRUE(starts("{push: {branches: [main]}}", "refs/heads/main"));
  EXPECT_FALSE(starts("{push: {branches: [main]}}", "refs/heads/x"));
  EXPECT_FALSE(starts("{push: {branches: [main]}}", "refs/tags/v1"));
  EXPECT_FALSE(starts("{push: {tags: ['v*']}}", "refs/heads/main"));
  EXPECT_TRUE(starts("{push: {tags: ['v*']}}", "refs/tags/v1"));
  EXPECT_FALSE(starts("{push: {paths: ['src/**']}}", "refs/heads/main", {{"docs/a"}}));
  EXPECT_TRUE(starts("{push: {paths: ['src/**']}}", "refs/heads/main", {{"docs/a", "src/b"}}));
  EXPECT_FALSE(starts("{push: {paths-ignore: ['docs/**']}}", "refs/heads/main", {{"docs/a"}}));
  EXPECT_TRUE(starts("{push: {paths: ['src/**']}}", "refs/heads/main"));
}

TEST(Matrix, Expands) {
  const auto expand = [](const char* text) { return expand_matrix(boost::json::parse(text)); };
  EXPECT_EQ(expand("null")->size(), 1u);
  EXPECT_EQ(expand(R"({"a": [1, 2], "b": ["x", "y"]})")->size(), 4u);
  EXPECT_EQ(expand(R"({"a": [1, 2], "b": ["x", "y"], "exclude": [{"a": 1, "b": "x"}]})")->size(), 3u);
  // GitHub's own example of include.
  auto fruit = expand(
      R"({"fruit": ["apple", "pear"], "animal": ["cat", "dog"], "include": [{"color": "green"}, {"color": "pink", "animal": "cat"},
    {"fruit": "apple", "shape": "circle"}, {"fruit": "banana"}, {"fruit": "banana", "animal": "cat"}]})");
  ASSERT_TRUE(fruit);
  ASSERT_EQ(fruit->size(), 6u);
  EXPECT_EQ(
      (*fruit)[0],
      boost::json::parse(R"({"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"})").as_object());
  EXPECT_EQ(
      (*fruit)[1],
      boost::json::parse(R"({"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"})").as_object());
  EXPECT_EQ((*fruit)[4], boost::json::parse(R"({"fruit": "banana"})").as_object());
  EXPECT_EQ(expand(R"({"include": [{"a": 1}, {"a": 2}]})")->size(), 2u);
  EXPECT_FALSE(expand(R"({"a": 1})"));
  EXPECT_FALSE(expand(R"({"a": []})"));
  EXPECT_FALSE(expand(
      R"({"a": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17], "b": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]})"));
}

}  // namespace
}  // namespace mainstay::pipelines
