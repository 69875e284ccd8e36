#include "capabilities/pipelines/runner_session.h"

#include <cstdio>

#include "base/files.h"
#include "base/status.h"
#include "base/strings.h"
#include "base/utf8.h"

namespace mainstay::pipelines {
namespace {

constexpr std::chrono::minutes kPatience{3};
constexpr std::chrono::milliseconds kFirstWait{50}, kLongestWait{2000};

// The platform cannot answer now, and will: it restarts, or is overloaded.
bool passing(int status) { return status == 502 || status == 503 || status == 504; }

}  // namespace

base::Result<std::shared_ptr<Session>> Session::create(async::Executor executor, std::string server,
                                                       std::filesystem::path account) {
  std::shared_ptr<Session> session(new Session(std::move(server), std::move(account)));
  net::ClientOptions options;
  MAINSTAY_TRY(options.tls.ca_pem, base::read_file(session->ca_file()));
  options.connect_timeout = std::chrono::seconds(2);  // then again, see begin()
  options.response_timeout = std::chrono::minutes(2);
  MAINSTAY_TRY(session->client_, net::Client::create(std::move(executor), session->server_, std::move(options)));
  return session;
}

std::string Session::token() const {
  // Read anew: the platform renews it under way.
  auto text = base::read_file(account_ / "token", 64u << 10);
  return text ? std::string(base::trim(*text)) : "";
}

async::Task<base::Result<net::ClientResponse>> Session::begin(net::ClientRequest request) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  auto wait = kFirstWait;
  for (;;) {
    net::ClientRequest copy = request;
    if (!copy.headers.has("Authorization")) copy.headers.set("Authorization", "Bearer " + token());
    auto response = co_await client_->send(std::move(copy));
    const bool again = response ? passing(response->status)
                                : response.error().code == base::ErrorCode::kUnavailable ||
                                      response.error().code == base::ErrorCode::kTimeout;
    if (!again || std::chrono::steady_clock::now() + wait > deadline) co_return response;
    co_await async::sleep_for(wait);
    wait = std::min(wait * 2, kLongestWait);
  }
}

async::Task<base::Result<Answer>> Session::send(net::ClientRequest request, std::size_t max_body) {
  for (int attempt = 1;; ++attempt) {
    MAINSTAY_CO_TRY(net::ClientResponse response, co_await begin(request));
    Answer answer{response.status, std::move(response.headers), {}};
    bool broken = false;
    try {
      if (response.body) answer.body = co_await response.body->read_all(max_body);
    } catch (const base::StatusError& error) {
      if (error.code() == 413) co_return base::fail(base::ErrorCode::kTooLarge, "the platform's answer is too large");
      broken = true;
    }
    if (!broken) co_return answer;
    if (attempt == 5) co_return base::fail(base::ErrorCode::kUnavailable, "the platform's answer broke off");
    co_await async::sleep_for(kFirstWait);
  }
}

async::Task<base::Result<Answer>> Session::download(net::ClientRequest request,
                                                    std::function<base::Result<>(std::string_view)> sink) {
  MAINSTAY_CO_TRY(net::ClientResponse response, co_await begin(std::move(request)));
  Answer answer{response.status, std::move(response.headers), {}};
  try {
    if (response.status != 200) {
      answer.body = co_await response.body->read_all(64u << 10);
      co_return answer;
    }
    std::vector<char> buffer(256u << 10);
    while (const std::size_t got = co_await response.body->read(buffer))
      MAINSTAY_CO_TRY_VOID(sink({buffer.data(), got}));
  } catch (const base::StatusError& error) {
    co_return base::fail(base::ErrorCode::kUnavailable, error.message());
  }
  co_return answer;
}

async::Task<base::Result<int>> Session::stream_lines(net::ClientRequest request,
                                                     std::function<void(std::string_view line)> line) {
  MAINSTAY_CO_TRY(net::ClientResponse response, co_await begin(std::move(request)));
  std::string pending;
  try {
    std::vector<char> buffer(16384);
    while (const std::size_t got = co_await response.body->read(buffer)) {
      pending.append(buffer.data(), got);
      for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
        line(std::string_view(pending).substr(0, end));
        pending.erase(0, end + 1);
      }
      if (pending.size() > (1u << 20))
        co_return base::fail(base::ErrorCode::kTooLarge, "a line of the platform's answer is too long");
    }
  } catch (const base::StatusError& error) {
    co_return base::fail(base::ErrorCode::kUnavailable, error.message());
  }
  if (!pending.empty()) line(pending);
  co_return response.status;
}

async::Task<base::Result<>> Session::wait_until_up() {
  net::ClientRequest request;
  request.target = "/healthz";
  auto answer = co_await send(std::move(request), 4096);
  if (!answer) co_return std::unexpected(answer.error());
  co_return base::Result<>();
}

void merge_report(json::object& pending, const json::object& part) {
  for (const auto& entry : part) {
    const json::array* more = entry.value().if_array();
    json::value& have = pending[entry.key()];
    if (more == nullptr) {
      have = entry.value();
      continue;
    }
    if (!have.is_array()) have = json::array();
    for (const json::value& item : *more) {
      json::value* same = nullptr;
      if (const json::value* index = item.is_object() ? item.as_object().if_contains("index") : nullptr) {
        for (json::value& known : have.as_array())
          if (known.is_object() && known.as_object().contains("index") && known.as_object().at("index") == *index)
            same = &known;
      }
      if (same == nullptr) {
        have.as_array().push_back(item);
      } else {
        for (const auto& field : item.as_object()) same->as_object()[field.key()] = field.value();
      }
    }
  }
}

Reporter::Reporter(async::Executor executor, std::shared_ptr<Session> session, std::string ns, std::string run,
                   std::string job)
    : session_(std::move(session)),
      target_(fmt::format("/apis/mainstay.dev/v1/namespaces/{}/workflowruns/{}/progress", ns, run)),
      job_(std::move(job)),
      changed_(std::move(executor)) {}

void Reporter::report(const json::object& part) {
  merge_report(pending_, part);
  changed_.notify_all();
}

async::Task<> Reporter::run() {
  for (;;) {
    while (pending_.empty()) co_await changed_.wait();
    json::object part = std::exchange(pending_, {});
    part["job"] = job_;
    net::ClientRequest request;
    request.method = "POST";
    request.target = target_;
    request.headers.set("Content-Type", "application/json");
    // Steps print what they like; a report with a byte that is no UTF-8 would be refused, with the job's result in it.
    request.body = base::utf8_text(base::to_json(json::value(part)));
    sending_ = true;
    auto answer = co_await session_->send(std::move(request), 64u << 10);
    sending_ = false;
    bool stop = false;
    if (!answer) {
      std::fprintf(stderr, "runner: cannot report: %s\n", answer.error().message.c_str());
      stop = true;
    } else if (answer->status != 200) {
      std::fprintf(stderr, "runner: the platform refuses the report (%d): %s\n", answer->status,
                   answer->body.substr(0, 500).c_str());
      stop = answer->status == 403 || answer->status == 404;
    } else if (auto body = base::parse_json(answer->body)) {
      stop = !base::get_bool(*body, "continue", true);
    }
    if (stop && !std::exchange(refused_, true) && stop_) stop_();
    changed_.notify_all();
  }
}

async::Task<> Reporter::flush() {
  while (!pending_.empty() || sending_) co_await changed_.wait();
}

}  // namespace mainstay::pipelines
