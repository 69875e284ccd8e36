// Software security and provenance: SBOMs, signed build provenance, and admission by it.
#pragma once
#include "platform/host.h"

namespace mainstay::provenance {

void register_provenance(platform::Host& host);

}  // namespace mainstay::provenance
