// Attestations as anybody may attach them.
#include <cstddef>
#include <cstdint>

#include "capabilities/provenance/bundle.h"
#include "capabilities/provenance/layers.h"
#include "capabilities/provenance/statement.h"
#include "capabilities/provenance/timestamp.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::provenance;
  static const std::string root = [] {
    return mainstay::crypto::Authority::create("fuzz", mainstay::base::real_clock()).certificate_pem();
  }();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto bundle = read_bundle(text)) static_cast<void>(read_statement(bundle->payload));
  static_cast<void>(read_statement(text));
  static_cast<void>(verify_timestamp(text, "bytes", root));
  static_cast<void>(facts_from_json(text));
  return 0;
}
