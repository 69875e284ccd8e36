// First-start material: default objects, the administrator's kubeconfig, the endpoint's certificate.
#pragma once
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/config.h"
#include "base/embedded.h"
#include "client/client.h"
#include "crypto/keys.h"
#include "net/tls.h"

namespace mainstay::platform {

// Applies the objects of every bootstrap/*.yaml, so that an upgrade brings its new defaults. An object annotated
// `mainstay.dev/managed: "false"` is left as its owner made it. Throws StatusError naming the file.
async::Task<> apply_bootstrap(client::ApiClient client, std::vector<base::EmbeddedFile> files);

// Writes DIR/admin.kubeconfig (0600) where it is missing or its certificate does not verify or ends within 30 days:
// a client certificate for user `admin` in group mainstay:admins.
base::Result<> write_admin_kubeconfig(const base::Config& config, const crypto::Authority& authority,
                                      const base::Clock& clock);

// A fresh certificate for the API endpoint, for every name and address it goes by.
base::Result<net::ServerTls> endpoint_tls(const base::Config& config, const crypto::Authority& authority,
                                          const base::Clock& clock);

}  // namespace mainstay::platform
