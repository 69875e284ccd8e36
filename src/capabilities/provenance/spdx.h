// Software bills of materials as SPDX 2.3 JSON.
#pragma once
#include <string>

#include "capabilities/provenance/layers.h"

namespace mainstay::provenance {

struct SbomSubject {
  std::string reference;  // "127.0.0.1:6443/shop/web"
  std::string digest;     // "sha256:…"
  std::string issuer;     // the platform's URL: the document's namespace is below it
  std::string created;    // RFC 3339
};

// The same input gives the same text, so that a repeated scan attaches nothing new.
std::string spdx_document(const SbomSubject& subject, const ImagePackages& image);

}  // namespace mainstay::provenance
