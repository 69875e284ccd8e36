// One core. The peer is `openssl speed`: sha256, aes-256-gcm, ecdsap256.
#include <benchmark/benchmark.h>

#include "crypto/digest.h"
#include "crypto/jwt.h"
#include "crypto/sealing.h"

namespace mainstay::crypto {
namespace {

void Sha256Bytes(benchmark::State& state) {
  const std::string block(static_cast<std::size_t>(state.range(0)), 'x');
  Sha256 hash;
  for (auto _ : state) hash.update(block);
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Sha256Bytes)->Arg(64)->Arg(16 << 10)->Arg(1 << 20);

void Seal(benchmark::State& state) {
  const Sealer sealer(std::string(32, 'k'));
  const std::string plain(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(sealer.seal(plain, "core/secrets/shop/db"));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Seal)->Arg(1 << 10)->Arg(1 << 20);

struct Token {
  std::vector<PrivateKey> keys{PrivateKey::generate()};
  boost::json::object claims{{"iss", "https://127.0.0.1:6443"}, {"sub", "alice"}, {"aud", "mainstay"}, {"exp", 2e9}};
};

void SignJwt(benchmark::State& state) {
  const Token token;
  for (auto _ : state) benchmark::DoNotOptimize(sign_jwt(token.keys[0], token.claims));
}
BENCHMARK(SignJwt);

void VerifyJwt(benchmark::State& state) {
  const Token token;
  const std::string text = sign_jwt(token.keys[0], token.claims);
  const JwtExpectations expect{.issuer = "https://127.0.0.1:6443", .audiences = {"mainstay"}};
  for (auto _ : state)
    if (!verify_jwt(text, token.keys, expect, base::SystemTime(std::chrono::seconds(1'700'000'000))))
      state.SkipWithError("refused");
}
BENCHMARK(VerifyJwt);

void IssueCertificate(benchmark::State& state) {
  const Authority authority = Authority::create("bench", base::real_clock());
  const std::string key = PrivateKey::generate().public_pem();
  for (auto _ : state)
    if (!authority.issue({.common_name = "x", .client = true}, key, base::real_clock())) state.SkipWithError("refused");
}
BENCHMARK(IssueCertificate);

}  // namespace
}  // namespace mainstay::crypto
