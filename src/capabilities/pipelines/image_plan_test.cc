#include "capabilities/pipelines/image_plan.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "base/ids.h"

namespace mainstay::pipelines {
namespace {

namespace fs = std::filesystem;

std::optional<ImagePlan> plan(const std::string& text,
                              const char* base = R"({"Env": ["PATH=/bin", "V=1"], "Cmd": ["old"]})") {
  auto file = parse_dockerfile("FROM python:3\n" + text);
  EXPECT_TRUE(file);
  return plan_image(*file, {{"ARGUED", "given"}}, boost::json::parse(base).as_object());
}

TEST(ImagePlan, ReadsMetadata) {
  auto made = plan(
      "ARG ARGUED=default\nENV A=\"x y\" B=${V}/$ARGUED C='$V'\nENV OLD some words\nWORKDIR /app\nWORKDIR sub\nEXPOSE "
      "8080 53/udp\nUSER 1000\nLABEL a.b=c\n"
      "ENTRYPOINT [\"/run\"]\nSTOPSIGNAL SIGINT\nCOPY --chmod=755 --chown=5:6 a b*.txt ./in/\n");
  ASSERT_TRUE(made);
  EXPECT_EQ(
      made->config,
      boost::json::parse(
          R"({"Env": ["PATH=/bin", "V=1", "A=x y", "B=1/given", "C=$V", "OLD=some words"], "Entrypoint": ["/run"], "WorkingDir": "/app/sub",
    "ExposedPorts": {"8080/tcp": {}, "53/udp": {}}, "User": "1000", "Labels": {"a.b": "c"}, "StopSignal": "SIGINT"})")
          .as_object());
  const ImageStep& copy = made->steps.back();
  EXPECT_EQ(copy.destination, "/app/sub/in/");
  EXPECT_EQ(copy.sources, (std::vector<std::string>{"a", "b*.txt"}));
  EXPECT_EQ(copy.mode, 0755);
  EXPECT_EQ(copy.uid, 5);
  EXPECT_EQ(copy.gid, 6);
  EXPECT_EQ(plan("CMD echo hi\n")->config.at("Cmd"), boost::json::parse(R"(["/bin/sh", "-c", "echo hi"])"));
}

TEST(ImagePlan, LeavesTheRestToBuildah) {
  for (const char* text :
       {"RUN x\n", "COPY --from=a b c\n", "ADD a b\n", "COPY <<EOF x\nhi\nEOF\n", "SHELL [\"x\"]\n",
        "HEALTHCHECK NONE\n", "COPY --chown=www a b\n", "COPY ../a b\n", "ENV A=${B:-c}\n", "COPY a b c\n",
        "EXPOSE 1-5\n", "FROM other\n", "ONBUILD RUN x\n", "ENV A='open\n", "COPY [\"a\", \"b\"]\n"})
    EXPECT_FALSE(plan(text)) << text;
  EXPECT_FALSE(plan("CMD x\n", R"({"OnBuild": ["RUN y"]})"));
  const auto base = [](const char* text) { return native_base(*parse_dockerfile(text), {{"V", "3"}}); };
  EXPECT_EQ(base("ARG V=2\nFROM python:$V AS x\n"), "python:3");
  EXPECT_FALSE(base("FROM scratch\n"));
  EXPECT_FALSE(base("FROM --platform=linux/arm64 a\n"));
  EXPECT_FALSE(base("FROM a\nFROM b\n"));
}

TEST(BaseTree, FollowsLinks) {
  BaseTree tree;
  tree.add(
      "d 493 0 0 /usr\nd 493 0 0 /usr/bin\nl 0 0 0 /bin\tusr/bin\nd 1023 0 0 /tmp\nl 0 0 0 /loop\t/loop\nd 493 0 0 "
      "/gone\nd 493 0 0 /gone/x\nl 0 0 0 /usr/up\t../tmp\n");
  tree.add("w 0 0 0 /gone\n");
  EXPECT_EQ(tree.resolve("/bin/x", true), "/usr/bin/x");
  EXPECT_EQ(tree.resolve("/usr/up/a/../b", true), "/tmp/b");
  EXPECT_EQ(tree.resolve("/bin", false), "/bin");
  EXPECT_FALSE(tree.resolve("/loop/x", true));
  EXPECT_EQ(tree.resolve("/../../x", true), "/x");
  EXPECT_FALSE(tree.is_folder("/gone/x"));
  EXPECT_EQ(tree.find("/tmp")->mode, 01777);
}

TEST(Ignore, Matches) {
  auto ignore = Ignore::parse("# note\n.git\n/node_modules/\n*.log\n**/secret\ndocs/*.md\n");
  ASSERT_TRUE(ignore);
  for (const char* yes :
       {".git", ".git/config", "node_modules/a/b", "x.log", "secret", "a/b/secret", "a/secret/c", "docs/x.md"})
    EXPECT_TRUE(ignore->ignores(yes)) << yes;
  for (const char* no : {"a/x.log", "src", "docs/a/x.md", "gitx"}) EXPECT_FALSE(ignore->ignores(no)) << no;
  EXPECT_FALSE(Ignore::parse("*\n!keep\n"));
  EXPECT_FALSE(Ignore::parse("a/**/b\n"));
}

// Name to "mode uid content" of a tar's entries.
std::map<std::string, std::string> entries(const std::string& blob) {
  std::map<std::string, std::string> out;
  archive* a = archive_read_new();
  archive_read_support_filter_all(a);
  archive_read_support_format_tar(a);
  EXPECT_EQ(archive_read_open_memory(a, blob.data(), blob.size()), ARCHIVE_OK);
  archive_entry* entry = nullptr;
  while (archive_read_next_header(a, &entry) == ARCHIVE_OK) {
    std::string content(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
    if (archive_entry_filetype(entry) == AE_IFREG)
      EXPECT_EQ(archive_read_data(a, content.data(), content.size()), static_cast<la_ssize_t>(content.size()));
    if (const char* target = archive_entry_symlink(entry)) content = std::string("-> ") + target;
    out[archive_entry_pathname(entry)] =
        fmt::format("{:o} {} {}", archive_entry_perm(entry), archive_entry_uid(entry), content);
    EXPECT_EQ(archive_entry_mtime(entry), 946684800);
  }
  archive_read_free(a);
  return out;
}

TEST(Layer, HoldsWhatWasCopied) {
  const fs::path dir = fs::temp_directory_path() / ("mainstay-layer-" + base::random_hex(6));
  fs::create_directories(dir / "src/deep");
  for (const char* name : {"app.py", "b1.txt", "b2.txt", "src/one", "src/deep/two", "src/left.log"})
    EXPECT_TRUE(base::write_file(dir / name, name, 0644));
  fs::create_symlink("one", dir / "src/link");
  BaseTree tree;
  tree.add("d 493 0 0 /usr\nd 493 0 0 /usr/bin\nl 0 0 0 /bin\tusr/bin\nd 1023 0 0 /tmp\nd 493 7 8 /srv\n");
  auto made = plan(
      "WORKDIR /app\nCOPY app.py .\nCOPY app.py /bin/tool\nCOPY app.py /srv\nCOPY --chown=3 b*.txt /tmp/\nCOPY src/ "
      "/app/lib\n");
  ASSERT_TRUE(made);
  const auto ignore = Ignore::parse("**/*.log\n");
  const auto layer = make_layer(*made, dir, *ignore, tree);
  ASSERT_TRUE(layer);
  EXPECT_EQ(entries(layer->blob), (std::map<std::string, std::string>{{"app/", "755 0 "},
                                                                      {"app/app.py", "644 0 app.py"},
                                                                      {"usr/", "755 0 "},
                                                                      {"usr/bin/", "755 0 "},
                                                                      {"usr/bin/tool", "644 0 app.py"},
                                                                      {"srv/", "755 7 "},
                                                                      {"srv/app.py", "644 0 app.py"},
                                                                      {"tmp/", "1777 0 "},
                                                                      {"tmp/b1.txt", "644 3 b1.txt"},
                                                                      {"tmp/b2.txt", "644 3 b2.txt"},
                                                                      {"app/lib/", "755 0 "},
                                                                      {"app/lib/one", "644 0 src/one"},
                                                                      {"app/lib/deep/", "755 0 "},
                                                                      {"app/lib/deep/two", "644 0 src/deep/two"},
                                                                      {"app/lib/link", "777 0 -> one"}}));
  EXPECT_EQ(make_layer(*made, dir, *ignore, tree)->digest, layer->digest) << "the same content gives the same bytes";
  EXPECT_FALSE(make_layer(*plan("COPY nope /x\n"), dir, *ignore, tree));
  EXPECT_FALSE(make_layer(*plan("COPY app.py /tmp/x/\nCOPY src /tmp/x/app.py\n"), dir, *ignore, tree))
      << "a folder over a file";
  // What was listed of a layer is what was written into it.
  EXPECT_TRUE(base::write_file(dir / "blob", layer->blob));
  auto listing = BaseTree::list_layer(dir / "blob");
  ASSERT_TRUE(listing);
  BaseTree read;
  read.add(*listing);
  EXPECT_TRUE(read.is_folder("/app/lib/deep"));
  EXPECT_EQ(read.resolve("/app/lib/link", true), "/app/lib/one");
  fs::remove_all(dir);
}

}  // namespace
}  // namespace mainstay::pipelines
