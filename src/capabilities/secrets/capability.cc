#include "capabilities/secrets/capability.h"

namespace mainstay::secrets {

void register_secrets(platform::Host&) {}

}  // namespace mainstay::secrets
