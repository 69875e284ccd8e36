// TLS settings; the OpenSSL context is made in net/.
#pragma once
#include <functional>
#include <memory>
#include <string>

namespace mainstay::net {

struct ServerTls {
  std::string certificate_chain_pem;
  std::string private_key_pem;
  std::string client_ca_pem;  // where set, client certificates are asked for (not required) and verified against it
};
struct ClientTls {
  std::string ca_pem;                            // empty: the system's roots
  std::string certificate_pem, private_key_pem;  // client certificate, optional
  bool insecure = false;                         // no verification: only where a user asked for it by name
  std::string server_name;                       // empty: the host connected to
};

}  // namespace mainstay::net
