#include "capabilities/routing/edge_config.h"

#include <fmt/core.h>

#include "base/strings.h"
#include "crypto/digest.h"

namespace mainstay::routing {
namespace {

// Seconds, where no unit stands.
constexpr std::string_view kDefaults = R"(
defaults
    mode http
    timeout client 120s
    timeout http-request 10s
    timeout http-keep-alive 60s
    timeout connect 500ms
    timeout queue 5s
    timeout server 120s
    timeout tunnel 1h
    timeout client-fin 10s
    timeout server-fin 10s
    option http-keep-alive
    option idle-close-on-response
    option redispatch 1
    option dontlognull
    retries 3
    retry-on conn-failure empty-response
    http-reuse safe
)";

// One JSON object a request. The path is logged without its query, which may carry a secret.
constexpr std::string_view kLogFormat =
    R"('{"time":%Ts.%ms,"id":"%ID","service":"%[var(txn.route),field(2,|)]","pod":"%[srv_name,field(1,:)]","client":"%ci","tls":"%sslv","host":"%[var(txn.host)]",)"
    R"("method":"%[var(txn.method),json(utf8s)]","path":"%[var(txn.path),json(utf8s)]","status":%ST,"bytes":%B,"time_ms":%Ta,)"
    R"("connect_ms":%Tc,"response_ms":%Tr,"retries":"%rc","ending":"%ts"}')";

// What a client says of itself may not pass for what the edge says of it. set-header takes away what was there.
constexpr std::string_view kHeaders = R"(
    http-request del-header X-Forwarded- -m beg
    http-request del-header X-Real-IP
    http-request del-header X-Client-IP
    http-request del-header True-Client-IP
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
    http-request set-header Forwarded "for=%[src];host=\"%[var(txn.authority)]\";proto=%[ssl_fc,iif(https,http)]"
    http-request set-header X-Request-ID %[unique-id]
    http-response set-header X-Request-ID %[unique-id]
)";

std::string bind_address(const base::HostPort& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return fmt::format("{}:{}", v6 ? "[" + address.host + "]" : address.host, address.port);
}

std::string global_section(const EdgeSettings& s) {
  std::string out = fmt::format(
      "    nbthread {}\n"
      "    maxconn {}\n"
      "    hard-stop-after 60s\n"
      "    stats socket {} mode 600 level admin expose-fd listeners\n"
      "    stats timeout 1m\n"
      "    ssl-default-bind-options ssl-min-ver TLSv1.2\n"
      "    ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20\n"
      "    tune.ssl.default-dh-param 2048\n"
      "    tune.bufsize 16384\n"
      "    tune.http.maxhdr 101\n",
      s.threads, s.max_connections, s.admin_socket().string());
  if (!s.user.empty())
    out += fmt::format("    user {}\n    group {}\n    chroot {}\n", s.user, s.group, (s.dir / "empty").string());
  return out;
}

std::string frontend(const EdgeSettings& s) {
  std::string out = "\nfrontend edge\n";
  if (s.http.port != 0) out += fmt::format("    bind {}\n", bind_address(s.http));
  if (s.https.port != 0)
    out += fmt::format("    bind {} ssl crt-list {} alpn h2,http/1.1\n", bind_address(s.https),
                       s.certificate_list().string());
  out += "    unique-id-format %[uuid()]\n";
  // Here alone: the notices of servers that come and go are not for the access log.
  out += fmt::format("    log stdout format raw daemon info\n    log-format {}\n", kLogFormat);
  // Each variable costs every request: an allocation, and its search by name. Where rules are, they may name another
  // key than the host.
  const std::string key = s.rules.select.empty() ? "var(txn.host)" : "var(txn.key)";
  out += fmt::format(
      "    http-request set-var(txn.authority) req.hdr(host),regsub([^A-Za-z0-9.:-],,g)\n"
      "    http-request set-var(txn.host) var(txn.authority),field(1,:),lower\n"
      "    http-request set-var(txn.method) method\n"
      "    http-request set-var(txn.path) path\n"
      "{}"
      "{}"
      // Keys of rules have no dot: nobody may name one as his host, past what the rule refuses.
      "    http-request set-var(txn.route) {},map_str({}) if {{ var(txn.host) -m sub . }}\n",
      s.rules.select,
      s.rules.select.empty() ? ""
                             : "    http-request set-var(txn.key) var(txn.host)\n"
                               "    http-request set-var(txn.key) var(txn.rule) if { var(txn.rule) -m found }\n",
      key, s.routes_map().string());
  out += kHeaders.substr(1);
  // A certificate for other hosts is another frame: which hosts it is for is read at start alone.
  for (const auto& [name, certificate] : s.host_certificates)
    out += fmt::format("    # {}: {}\n", name, base::join(certificate.hosts, " "));
  out += s.rules.deny;
  out += fmt::format(
      "    acl html req.hdr(accept) -m sub text/html\n"
      "    acl known var(txn.route) -m found\n"
      "    http-request return status 404 content-type \"text/html; charset=utf-8\" hdr Cache-Control no-store lf-file "
      "{} if !known html\n"
      "    http-request return status 404 content-type \"text/plain; charset=utf-8\" hdr Cache-Control no-store "
      "lf-file {} if !known\n",
      s.page("404.html").string(), s.page("404.txt").string());
  if (s.https.port != 0) {
    // ACME's challenge (RFC 8555, section 8.3) comes over plain HTTP and is for the workload to answer.
    out += fmt::format(
        "    http-request redirect code 308 location https://%[var(txn.host)]{}%[capture.req.uri] "
        "if !{{ ssl_fc }} {{ var(txn.route),field(3,|) -m str redirect }} !{{ path_beg /.well-known/acme-challenge/ "
        "}}\n",
        s.https.port == 443 ? "" : fmt::format(":{}", s.https.port));
  }
  // A process with a successor takes all its backends for empty (be_usable_srv), though they serve to the end.
  out += fmt::format(
      "    http-request set-var(txn.reason) {},map_str({},\"no pod is ready\") if !{{ stopping }} {{ "
      "var(txn.route),field(1,|),nbsrv eq 0 }}\n"
      "    acl none_ready var(txn.reason) -m found\n"
      // As the Gateway API has it: a route to nowhere is a mistake (500), one to nobody now a matter of time (503).
      "    http-request return status 500 content-type \"text/plain; charset=utf-8\" hdr Cache-Control no-store "
      "lf-file {} if none_ready {{ var(txn.route),field(4,|) -m str broken }}\n"
      "    http-request return status 503 content-type \"text/html; charset=utf-8\" hdr Retry-After 2 hdr "
      "Cache-Control no-store lf-file {} if none_ready html\n"
      "    http-request return status 503 content-type \"text/plain; charset=utf-8\" hdr Retry-After 2 hdr "
      "Cache-Control no-store lf-file {} if none_ready\n"
      // RFC 9110, section 9.2.2: only what is idempotent is sent twice once it may have arrived.
      "    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS TRACE PUT DELETE }}\n"
      "{}{}"
      "    use_backend %[var(txn.route),field(1,|)]\n",
      key, s.reasons_map().string(), s.page("500.txt").string(), s.page("503.html").string(),
      s.page("503.txt").string(), s.rules.change, s.rules.responses);
  if (!s.rules.tables.empty()) out += "\n" + s.rules.tables;
  return out;
}

std::string html_page(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>{}</title>\n"
      "<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:15vh auto;padding:0 1rem;color:#151515}}"
      "h1{{font-size:1.5rem}}code{{background:#f0f0f0;padding:.1rem "
      ".3rem;border-radius:3px}}</style></head>\n<body><h1>{}</h1>\n{}\n</body></html>\n",
      title, title, body);
}

}  // namespace

unsigned connections_for(std::uint64_t descriptor_limit) {
  if (descriptor_limit < 1000) return 200;
  return static_cast<unsigned>(std::min<std::uint64_t>(4000, (descriptor_limit - 600) / 2));
}

std::string slot_name(int slot) { return fmt::format("s{}", slot); }

std::string route_value(const Route& route, int slot) {
  return fmt::format("{}|{}|{}{}", slot_name(slot), route.service, route.plain_http ? "serve" : "redirect",
                     route.broken ? "|broken" : "");
}

std::string certificate_list_line(const EdgeSettings& settings, const std::string& certificate) {
  return fmt::format("{} [alpn h2,http/1.1] {}", settings.certificate_file(certificate).string(),
                     base::join(certificate_hosts(settings, certificate), " "));
}

std::vector<std::string> certificate_hosts(const EdgeSettings& settings, const std::string& certificate) {
  const auto own = settings.host_certificates.find(certificate);
  if (own != settings.host_certificates.end()) return own->second.hosts;
  return {fmt::format("*.{}.{}", certificate, settings.domain)};
}

std::string render_frame(const EdgeSettings& settings) {
  return global_section(settings) + std::string(kDefaults) + frontend(settings);
}

std::string frame_description(const EdgeSettings& settings, int slots) {
  std::string all = render_frame(settings);
  for (const auto& [file, text] : error_pages(settings)) all += text;
  return fmt::format("mainstay {} {}", crypto::sha256_hex(all).substr(0, 16), slots);
}

std::string server_arguments(const Route& route, const Endpoint& endpoint) {
  return fmt::format("{}:{}{}{}", endpoint.address, endpoint.port, route.http2 ? " proto h2" : "",
                     endpoint.weight == 1 ? "" : fmt::format(" weight {}", endpoint.weight));
}

std::string render_config(const EdgeSettings& settings, int slots, const std::map<int, const Route*>& by_slot) {
  std::string out =
      fmt::format("# Written by Mainstay, over and over: changes here are lost.\nglobal\n    description {}\n{}\n",
                  frame_description(settings, slots), render_frame(settings));
  for (int slot = 0; slot < slots; ++slot) {
    const auto it = by_slot.find(slot);
    const bool by_weight = it != by_slot.end() && it->second->by_weight;
    out += fmt::format("backend {}\n    balance {}\n", slot_name(slot), by_weight ? "roundrobin" : "leastconn");
    out += settings.rules.backends;
    if (it == by_slot.end()) continue;
    for (const Endpoint& endpoint : it->second->endpoints) {
      if (endpoint.ready)
        out += fmt::format("    server {} {}\n", endpoint.name, server_arguments(*it->second, endpoint));
    }
  }
  return out;
}

std::map<std::string, std::string> error_pages(const EdgeSettings& settings) {
  const std::string pattern = fmt::format("&lt;service&gt;.&lt;environment&gt;.&lt;team&gt;.{}", settings.domain);
  return {
      {"404.txt", fmt::format("404 Nothing is served at %[var(txn.host)].\n\n"
                              "Services are served at <service>.<environment>.<team>.{}.\n"
                              "See what there is:  kubectl get services --all-namespaces\n"
                              "Request %[unique-id]\n",
                              settings.domain)},
      {"404.html",
       html_page(
           "Nothing is served here",
           fmt::format(
               "<p>No service answers at <code>%[var(txn.host)]</code>.</p>\n"
               "<p>Services are served at <code>{}</code>. See what there is with "
               "<code>kubectl get services --all-namespaces</code>.</p>\n<p><small>Request %[unique-id]</small></p>",
               pattern))},
      {"500.txt",
       "500 %[var(txn.route),field(2,|)] cannot answer: %[var(txn.reason)].\n\n"
       "See why:  kubectl get httproutes,grpcroutes,ingresses -o wide in its namespace\n"
       "Request %[unique-id]\n"},
      {"503.txt",
       "503 %[var(txn.route),field(2,|)] cannot answer now: %[var(txn.reason)].\n\n"
       "Look at its pods:  mainstay status, or kubectl get pods,events in its namespace\n"
       "Request %[unique-id]\n"},
      {"503.html", html_page("Not ready",
                             "<p><code>%[var(txn.route),field(2,|)]</code> cannot answer now: %[var(txn.reason)].</p>\n"
                             "<p>It comes back by itself once a pod is ready. Look with <code>kubectl get "
                             "pods,events</code> in its namespace.</p>\n"
                             "<p><small>Request %[unique-id]</small></p>")},
  };
}

}  // namespace mainstay::routing
