// OpenSSL contexts from the settings in tls.h.
#pragma once
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "net/stream.h"
#include "net/tls.h"

namespace mainstay::net {

using TlsContext = std::shared_ptr<SSL_CTX>;

// TLS 1.2 and 1.3, ALPN http/1.1, sessions resumed by ticket. A client certificate that does not verify does not end
// the handshake: peer_certificate() then gives none, and the request is an anonymous one.
base::Result<TlsContext> make_server_context(const ServerTls& settings);
base::Result<TlsContext> make_client_context(const ClientTls& settings);

base::Result<SslPointer> server_ssl(const TlsContext& context);
// Checks the server against `name` (an address or a DNS name) unless the context does not verify.
base::Result<SslPointer> client_ssl(const TlsContext& context, const std::string& name);

// PEM of the certificate the client showed, where it verified; "" otherwise.
std::string peer_certificate(SSL* ssl);
// Why a server's certificate was refused; "" where it was not.
std::string verification_error(SSL* ssl);
// The session to resume at the next connection of this context: the latest the server gave.
void offer_session(const TlsContext& context, SSL* ssl);

}  // namespace mainstay::net
