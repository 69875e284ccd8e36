#include "capabilities/cloud/resources/postgres_programs.h"

#include "base/strings.h"

namespace mainstay::cloud {
using base::ErrorCode;
using base::fail;

std::string postgres_program(std::string_view name) { return fmt::format("/usr/lib/postgresql/15/bin/{}", name); }

base::Result<std::string> output_of(base::Result<async::ProcessOutput> done, std::string_view what) {
  if (!done) return std::unexpected(done.error());
  if (done->status.ok()) return std::move(done->out);
  std::string_view said = base::trim(done->err);
  if (said.size() > 600) said = said.substr(0, 600);
  return fail(ErrorCode::kUnavailable, fmt::format("{}: {}", what, said));
}

async::ProcessOptions postgres_client(const std::filesystem::path& folder, std::uint16_t port) {
  async::ProcessOptions options;
  // The socket is named by the working directory: its own path may be longer than a socket's may be.
  options.working_directory = folder;
  options.env = {{"PGHOST", "/proc/self/cwd/s"},
                 {"PGPORT", std::to_string(port)},
                 {"PGCONNECT_TIMEOUT", "10"},
                 {"HOME", "/nonexistent"}};
  return options;
}

async::Task<base::Result<std::string>> postgres_sql(async::ProcessOptions client, std::string text) {
  client.argv = {
      postgres_program("psql"), "--no-psqlrc",           "--quiet",       "--tuples-only",       "--no-align",
      "--field-separator=\t",   "--set=ON_ERROR_STOP=1", "--no-password", "--username=postgres", "--dbname=postgres"};
  co_return output_of(co_await async::run_process(std::move(client), std::move(text), std::chrono::minutes(2)),
                      "PostgreSQL");
}

async::Task<base::Result<std::string>> postgres_run(async::ProcessOptions client, std::vector<std::string> argv,
                                                    std::string role, std::string password,
                                                    std::chrono::nanoseconds limit) {
  const std::string program = argv.at(0);
  argv[0] = postgres_program(program);
  client.argv = std::move(argv);
  client.env["PGUSER"] = std::move(role);
  client.env["PGPASSWORD"] = std::move(password);
  co_return output_of(co_await async::run_process(std::move(client), "", limit), program);
}

std::string sql_literal(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\0') continue;
    if (c == '\'') out += '\'';
    out += c;
  }
  // A backslash is plain: standard_conforming_strings is on, and psql's own commands begin outside of quotes only.
  return out + "'";
}

std::string sql_identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '\0') continue;
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

}  // namespace mainstay::cloud
