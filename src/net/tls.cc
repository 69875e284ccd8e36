#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "net/tls_context.h"

namespace mainstay::net {
namespace {

struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct X509Deleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct KeyDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct SessionDeleter {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using BioPointer = std::unique_ptr<BIO, BioDeleter>;
using X509Pointer = std::unique_ptr<X509, X509Deleter>;
using KeyPointer = std::unique_ptr<EVP_PKEY, KeyDeleter>;
using SessionPointer = std::unique_ptr<SSL_SESSION, SessionDeleter>;

std::unexpected<base::Error> failed(std::string_view what) {
  const unsigned long code = ERR_get_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return base::fail(base::ErrorCode::kInvalid,
                    fmt::format("TLS: {}{}{}", what, reason ? ": " : "", reason ? reason : ""));
}

BioPointer bio_of(const std::string& text) {
  return BioPointer(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Every certificate of a PEM text, in order.
std::vector<X509Pointer> certificates(const std::string& pem) {
  std::vector<X509Pointer> out;
  const BioPointer bio = bio_of(pem);
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) out.emplace_back(certificate);
  ERR_clear_error();  // the end of the text is an error to OpenSSL
  return out;
}

base::Result<> use_certificate(SSL_CTX* context, const std::string& chain_pem, const std::string& key_pem) {
  auto chain = certificates(chain_pem);
  if (chain.empty()) return failed("no certificate in the chain's PEM text");
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1) return failed("the certificate is of no use");
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add0_chain_cert(context, chain[i].get()) != 1) return failed("a certificate of the chain is of no use");
    (void)chain[i].release();  // the context's now
  }
  const BioPointer bio = bio_of(key_pem);
  // No pass phrase: without a callback OpenSSL would ask for one on the terminal.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  const KeyPointer key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1) return failed("the private key is of no use");
  if (SSL_CTX_check_private_key(context) != 1) return failed("the private key does not belong to the certificate");
  return {};
}

base::Result<> trust(SSL_CTX* context, const std::string& ca_pem, bool announce) {
  const auto roots = certificates(ca_pem);
  if (roots.empty()) return failed("no certificate in the CA's PEM text");
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (const auto& root : roots) {
    X509_STORE_add_cert(store, root.get());
    if (announce) SSL_CTX_add_client_CA(context, root.get());
  }
  ERR_clear_error();  // the same root twice
  return {};
}

int accept_any_client_certificate(int, X509_STORE_CTX*) { return 1; }  // peer_certificate() asks for the outcome

// RFC 7301: of what a client offers we speak http/1.1 alone.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size,
                    void*) {
  static constexpr unsigned char kOurs[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kOurs, sizeof kOurs, in, in_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

TlsContext new_context(const SSL_METHOD* method) {
  TlsContext context(SSL_CTX_new(method), [](SSL_CTX* c) { SSL_CTX_free(c); });
  if (!context) return context;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // Several records a system call; the buffers are released while a connection is idle.
  SSL_CTX_set_read_ahead(context.get(), 1);
  SSL_CTX_set_default_read_buffer_len(context.get(), 64 * 1024);
  return context;
}

int session_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr,
                                                    [](void*, void* session, CRYPTO_EX_DATA*, int, long, void*) {
                                                      SSL_SESSION_free(static_cast<SSL_SESSION*>(session));
                                                    });
  return index;
}

int keep_session(SSL* ssl, SSL_SESSION* session) {
  SSL_CTX* context = SSL_get_SSL_CTX(ssl);
  const SessionPointer previous(static_cast<SSL_SESSION*>(SSL_CTX_get_ex_data(context, session_index())));
  SSL_CTX_set_ex_data(context, session_index(), session);
  return 1;  // the reference is ours now
}

bool is_address(const std::string& name) {
  unsigned char raw[sizeof(in6_addr)];
  return inet_pton(AF_INET, name.c_str(), raw) == 1 || inet_pton(AF_INET6, name.c_str(), raw) == 1;
}

}  // namespace

base::Result<TlsContext> make_server_context(const ServerTls& settings) {
  TlsContext context = new_context(TLS_server_method());
  if (!context) return failed("cannot make a context");
  MAINSTAY_TRY_VOID(use_certificate(context.get(), settings.certificate_chain_pem, settings.private_key_pem));
  SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
  // Tickets are resumed by their key alone; the id keeps sessions of other uses apart (needed where clients show
  // certificates).
  static constexpr unsigned char kSessionId[] = "mainstay";
  SSL_CTX_set_session_id_context(context.get(), kSessionId, sizeof kSessionId - 1);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 1);
  if (!settings.client_ca_pem.empty()) {
    MAINSTAY_TRY_VOID(trust(context.get(), settings.client_ca_pem, true));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, accept_any_client_certificate);
  }
  return context;
}

base::Result<TlsContext> make_client_context(const ClientTls& settings) {
  TlsContext context = new_context(TLS_client_method());
  if (!context) return failed("cannot make a context");
  if (!settings.certificate_pem.empty()) {
    MAINSTAY_TRY_VOID(use_certificate(context.get(), settings.certificate_pem, settings.private_key_pem));
  }
  if (!settings.insecure) {
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    if (settings.ca_pem.empty()) {
      SSL_CTX_set_default_verify_paths(context.get());
    } else {
      MAINSTAY_TRY_VOID(trust(context.get(), settings.ca_pem, false));
    }
  }
  static constexpr unsigned char kOurs[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  SSL_CTX_set_alpn_protos(context.get(), kOurs, sizeof kOurs);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context.get(), keep_session);
  return context;
}

base::Result<SslPointer> server_ssl(const TlsContext& context) {
  SslPointer ssl(SSL_new(context.get()));
  if (!ssl) return failed("no memory for a connection");
  SSL_set_accept_state(ssl.get());
  return ssl;
}

base::Result<SslPointer> client_ssl(const TlsContext& context, const std::string& name) {
  SslPointer ssl(SSL_new(context.get()));
  if (!ssl) return failed("no memory for a connection");
  SSL_set_connect_state(ssl.get());
  if (is_address(name)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), name.c_str());
  } else {
    SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_set1_host(ssl.get(), name.c_str()) != 1 || SSL_set_tlsext_host_name(ssl.get(), name.c_str()) != 1) {
      return failed(fmt::format("\"{}\" cannot be a server's name", name));
    }
  }
  offer_session(context, ssl.get());
  return ssl;
}

void offer_session(const TlsContext& context, SSL* ssl) {
  auto* session = static_cast<SSL_SESSION*>(SSL_CTX_get_ex_data(context.get(), session_index()));
  if (session) SSL_set_session(ssl, session);
}

std::string peer_certificate(SSL* ssl) {
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK) return {};
  const BioPointer bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string verification_error(SSL* ssl) {
  const long result = SSL_get_verify_result(ssl);
  return result == X509_V_OK ? std::string() : X509_verify_cert_error_string(result);
}

}  // namespace mainstay::net
