#include "capabilities/source/git_reader.h"

#include "async/runtime.h"
#include "capabilities/source/git_test_tree.h"

namespace mainstay::source {
namespace {

TEST(GitObjects, ParsesTrees) {
  using namespace std::string_literals;
  const std::string id(20, '\x01');
  const auto names = parse_tree("100644 a b\0"s + id + "40000 src\0"s + id);
  ASSERT_TRUE(names);
  EXPECT_EQ(*names, (std::vector<std::string>{"a b", "src/"}));
  EXPECT_FALSE(parse_tree("100644 a\0short"s));
  EXPECT_FALSE(parse_tree("nonsense"));
}

TEST(GitObjects, ParsesCommits) {
  const auto commit = parse_commit(
      "x", "tree t\nparent p\nauthor Ann B <a@b> 1 +0000\ncommitter C <c> 2 +0000\n\nSubject\n\nBody [skip ci]\n");
  EXPECT_EQ(commit.tree, "t");
  EXPECT_EQ(commit.author_name, "Ann B");
  EXPECT_EQ(commit.author_email, "a@b");
  EXPECT_EQ(commit.subject, "Subject");
  EXPECT_TRUE(commit.message.contains("[skip ci]"));
}

TEST(GitObjects, ReadsAddresses) {
  EXPECT_EQ(parse_addresses("Ann@b\n\nBen B <ben@b>\nBEN@B\nodd <<x@y> z\n"),
            (std::vector<std::string>{"ann@b", "ben@b", "x@y"}));
  EXPECT_TRUE(parse_addresses("\n \n").empty());
}

class GitReading : public testing::Test {
 protected:
  void SetUp() override {
    git_ = std::make_shared<Git>(scratch_.dir() / "git", "/bin/false");
    ASSERT_TRUE(git_->prepare());
    scratch_.sh(
        "git init -q -b main work && cd work && mkdir -p .github/workflows && echo hello > a.txt && "
        "echo 'on: push' > .github/workflows/x.yml && git add . && git commit -q -m 'First [skip ci]'");
  }
  template <class F>
  void run(F body) {
    runtime_.run(body(this));
  }
  Scratch scratch_;
  std::shared_ptr<Git> git_;
  async::Runtime runtime_{1};
};

async::Task<> read_all(Scratch* scratch, std::shared_ptr<Git> git, async::Runtime* runtime) {
  async::TaskGroup group(runtime->executor(), "test");
  {
    auto made = co_await git->create("shop", "web", "main");
    EXPECT_TRUE(made) << made.error().message;
    scratch->sh("git -C work push -q ../git/shop/web.git main");
    const std::string sha = scratch->sha("work");
    BatchReader reader(group, git);
    for (int i = 0; i < 2; ++i) {
      auto text = co_await reader.read_file("shop", "web", sha, "a.txt", 100);
      EXPECT_EQ(text.value_or("none"), "hello\n");
    }
    auto large = co_await reader.read_file("shop", "web", sha, "a.txt", 3);
    EXPECT_FALSE(large);
    if (!large) EXPECT_EQ(large.error().code, base::ErrorCode::kTooLarge);
    auto missing = co_await reader.read_file("shop", "web", sha, "Dockerfile", 100);
    EXPECT_EQ(missing.error().code, base::ErrorCode::kNotFound);
    auto root = co_await reader.list("shop", "web", sha, "");
    EXPECT_EQ(*root, (std::vector<std::string>{".github/", "a.txt"}));
    auto folder = co_await reader.list("shop", "web", sha, ".github/workflows");
    EXPECT_EQ(*folder, (std::vector<std::string>{"x.yml"}));
    auto none = co_await reader.list("shop", "web", sha, "nope");
    EXPECT_EQ(none.error().code, base::ErrorCode::kNotFound);
    auto commit = co_await reader.commit("shop", "web", "main");
    EXPECT_EQ(commit->sha, sha);
    EXPECT_EQ(commit->subject, "First [skip ci]");
    auto injected = co_await reader.read_file("shop", "web", sha, "a\nHEAD", 100);
    EXPECT_EQ(injected.error().code, base::ErrorCode::kInvalid);
    // What was pushed after the process started is seen by it.
    scratch->sh(
        "cd work && echo two > b.txt && git add . && git commit -q -m Second && git push -q ../git/shop/web.git main");
    auto later = co_await reader.read_file("shop", "web", scratch->sha("work"), "b.txt", 100);
    EXPECT_EQ(later.value_or("none"), "two\n");
    scratch->sh(
        "cd work && git commit -q --allow-empty --author 'Cat <cat@example.com>' -m Third && git commit -q "
        "--allow-empty "
        "-m Fourth -m 'Co-authored-by: Dan <Dan@example.com>' && git push -q ../git/shop/web.git main");
    using Addresses = std::vector<std::string>;
    const std::string head = scratch->sha("work"), before = scratch->sha("work", "HEAD~2");
    EXPECT_EQ((co_await reader.authors("shop", "web", before, head)).value_or(Addresses{}),
              (Addresses{"ann@example.com", "dan@example.com", "cat@example.com"}));
    for (const std::string& unknown : {std::string(), std::string(40, '0'), std::string(40, 'a')})
      EXPECT_EQ((co_await reader.authors("shop", "web", unknown, head)).value_or(Addresses{}),
                (Addresses{"ann@example.com", "dan@example.com"}));
    EXPECT_FALSE(co_await reader.authors("shop", "web", "", "--all"));
    // Nobody is pushed out of the answer by many others.
    scratch->sh(
        "cd work && (printf 'Many\\n\\n'; seq 1 60000 | sed 's/.*/Co-authored-by: A <&@example.com>/') > ../many && "
        "git commit -q --allow-empty -F ../many && git push -q ../git/shop/web.git HEAD:many");
    const auto many = co_await reader.authors("shop", "web", before, scratch->sha("work"));
    EXPECT_FALSE(many);
    if (!many) EXPECT_EQ(many.error().code, base::ErrorCode::kTooLarge);
    scratch->sh("git -C work reset -q --hard HEAD~1");
    // A commit put in another's place by a push deceives nobody.
    scratch->sh(
        "cd work && git replace HEAD HEAD~2 && git push -q ../git/shop/web.git 'refs/replace/*:refs/replace/*' && "
        "git replace -d HEAD");
    BatchReader after(group, git);
    auto same = co_await after.commit("shop", "web", head);
    EXPECT_TRUE(same && same->subject == "Fourth");
    EXPECT_EQ((co_await after.authors("shop", "web", "", head)).value_or(Addresses{}),
              (Addresses{"ann@example.com", "dan@example.com"}));
    auto nobody = co_await reader.read_file("shop", "nope", sha, "a", 100);
    EXPECT_EQ(nobody.error().code, base::ErrorCode::kNotFound);
  }
  group.cancel();
  co_await group.join();
}

TEST_F(GitReading, ReadsFilesFoldersAndCommits) { runtime_.run(read_all(&scratch_, git_, &runtime_)); }

async::Task<> create_and_remove(std::shared_ptr<Git> git) {
  auto made = co_await git->create("shop", "web", "trunk");
  EXPECT_TRUE(made);
  auto where = git->existing("shop", "web");
  EXPECT_EQ(base::read_file(*where / "HEAD").value_or(""), "ref: refs/heads/trunk\n");
  EXPECT_TRUE(git->set_head(*where, "main"));
  EXPECT_EQ(base::read_file(*where / "HEAD").value_or(""), "ref: refs/heads/main\n");
  EXPECT_TRUE(git->remove("shop", "web"));
  EXPECT_TRUE(git->remove("shop", "web"));
  EXPECT_FALSE(git->existing("shop", "web"));
}

async::Task<> crash_leftovers(std::shared_ptr<Git> git) {
  EXPECT_TRUE(git->prepare());
  EXPECT_TRUE(co_await git->create("shop", "web", "main"));
  const auto where = git->existing("shop", "web");
  EXPECT_TRUE(where);
  const auto lock = *where / "refs/heads/main.lock", quarantine = *where / "objects/incoming-x";
  EXPECT_TRUE(base::write_file(lock, ""));
  EXPECT_TRUE(base::make_directories(quarantine));
  EXPECT_TRUE(git->prepare());
  EXPECT_FALSE(std::filesystem::exists(lock)) << "it would refuse every later push to main";
  EXPECT_FALSE(std::filesystem::exists(quarantine));
  EXPECT_TRUE(std::filesystem::exists(*where / "HEAD"));
}

TEST_F(GitReading, RemovesWhatAKilledPushLeft) { runtime_.run(crash_leftovers(git_)); }

TEST_F(GitReading, CreatesAndRemoves) { runtime_.run(create_and_remove(git_)); }

}  // namespace
}  // namespace mainstay::source
