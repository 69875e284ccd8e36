// ApiClient's transport into the API server of this process: no sockets, no TLS, but the whole request chain.
#pragma once
#include <memory>

#include "api/server.h"
#include "api/user.h"
#include "client/client.h"

namespace mainstay::client {

// Requests are made as `user`. The server must outlive the transport and every stream it gave.
std::shared_ptr<Transport> in_process_transport(api::Server& server, api::UserInfo user);

}  // namespace mainstay::client
