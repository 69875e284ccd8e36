#include "capabilities/provenance/bundle.h"

#include "base/encoding.h"
#include "base/json.h"
#include "capabilities/provenance/openssl.h"

namespace mainstay::provenance {

using base::ErrorCode;
using base::fail;
namespace json = base::json;

std::string pre_authentication_encoding(std::string_view payload_type, std::string_view payload) {
  return fmt::format("DSSEv1 {} {} {} {}", payload_type.size(), payload_type, payload.size(), payload);
}

std::string write_bundle(const Bundle& bundle) {
  json::object material{{"certificate", json::object{{"rawBytes", base::base64(pem_to_der(bundle.certificate_pem))}}},
                        {"tlogEntries", json::array{}}};
  if (!bundle.timestamp.empty()) {
    json::object stamp{{"signedTimestamp", base::base64(bundle.timestamp)}};
    material["timestampVerificationData"] = json::object{{"rfc3161Timestamps", json::array{std::move(stamp)}}};
  }
  json::object envelope{{"payload", base::base64(bundle.payload)}, {"payloadType", bundle.payload_type}};
  envelope["signatures"] = json::array{json::object{{"sig", base::base64(bundle.signature)}, {"keyid", ""}}};
  return base::to_json(json::object{{"mediaType", kBundleType},
                                    {"verificationMaterial", std::move(material)},
                                    {"dsseEnvelope", std::move(envelope)}});
}

base::Result<Bundle> read_bundle(std::string_view text) {
  const auto bad = [](std::string_view what) { return fail(ErrorCode::kInvalid, fmt::format("the bundle {}", what)); };
  MAINSTAY_TRY(const auto value, base::parse_json(text, 16));
  if (base::get_string(value, "mediaType") != kBundleType) return bad("is not a Sigstore bundle v0.3");
  Bundle out;
  const auto der = base::base64_decode(base::get_string(value, "verificationMaterial.certificate.rawBytes"));
  if (!der || der->empty()) return bad("has no certificate");
  MAINSTAY_TRY(out.certificate_pem, der_to_pem(*der));
  const auto& signatures = base::get_array(value, "dsseEnvelope.signatures");
  if (signatures.size() != 1) return bad("must have exactly one signature");
  auto signature = base::base64_decode(base::get_string(signatures.front(), "sig"));
  auto payload = base::base64_decode(base::get_string(value, "dsseEnvelope.payload"));
  if (!signature || signature->empty() || !payload) return bad("has a malformed envelope");
  out.signature = *std::move(signature);
  out.payload = *std::move(payload);
  out.payload_type = base::get_string(value, "dsseEnvelope.payloadType");
  const auto& stamps = base::get_array(value, "verificationMaterial.timestampVerificationData.rfc3161Timestamps");
  if (!stamps.empty()) {
    auto stamp = base::base64_decode(base::get_string(stamps.front(), "signedTimestamp"));
    if (!stamp) return bad("has a malformed timestamp");
    out.timestamp = *std::move(stamp);
  }
  return out;
}

}  // namespace mainstay::provenance
