#include "capabilities/source/gunzip.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "async/runtime.h"
#include "base/status.h"

namespace mainstay::source {
namespace {

std::string gzip(const std::string& text) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(out.size() - z.avail_out);
  deflateEnd(&z);
  return out;
}

async::Task<> unpack(std::string packed, std::uint64_t max, std::string* out, int* error) {
  try {
    auto reader = gunzip(net::body_from_string(std::move(packed)), max);
    *out = co_await reader->read_all(1u << 30);
  } catch (const base::StatusError& e) {
    *error = e.code();
  }
}

int run(const std::string& packed, std::uint64_t max, std::string* out) {
  int error = 0;
  async::Runtime runtime(1);
  runtime.run(unpack(packed, max, out, &error));
  return error;
}

TEST(Gunzip, Unpacks) {
  std::string text, out;
  for (int i = 0; i < 50000; ++i) text += std::to_string(i);
  EXPECT_EQ(run(gzip(text), 1u << 30, &out), 0);
  EXPECT_EQ(out, text);
}

TEST(Gunzip, IsBounded) {
  std::string out;
  EXPECT_EQ(run(gzip(std::string(1u << 20, 'x')), 1000, &out), 413);
}

TEST(Gunzip, RefusesWhatIsNotGzip) {
  std::string out;
  EXPECT_EQ(run("0000", 1000, &out), 400);
  const std::string whole = gzip("hello");
  EXPECT_EQ(run(whole.substr(0, whole.size() - 3), 1000, &out), 400);
}

}  // namespace
}  // namespace mainstay::source
