// What follows from objects: SecretSync to Secret, and which ServiceAccounts may read a team's secrets.
#pragma once
#include <memory>

#include "capabilities/secrets/kv_store.h"

namespace mainstay::secrets {

inline const client::Resource kSecretSyncs{"mainstay.dev", "v1", "secretsyncs", true, "SecretSync"};

// The Secret's data (texts in base64; what is no text as JSON). kInvalid: a key that is not there, or is no key of a
// Secret.
base::Result<json::object> secret_data(const json::object& values, const json::value& sync);

void add_sync_controllers(platform::Host& host, std::shared_ptr<KvStore> store);

}  // namespace mainstay::secrets
