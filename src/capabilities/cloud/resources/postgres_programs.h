// PostgreSQL's own programs: where they are, how they are called, what they said.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "async/process.h"

namespace mainstay::cloud {

inline constexpr const char* kPostgresUser = "postgres";
inline constexpr const char* kPostgresPackage = "postgresql-15";

std::string postgres_program(std::string_view name);

// A client of the server whose folder this is, over the socket in `folder`/s, which only root's processes reach.
async::ProcessOptions postgres_client(const std::filesystem::path& folder, std::uint16_t port);

// SQL by psql as the superuser in the database `postgres`: never in a team's own, whose functions could then run with
// the superuser's rights. Gives the rows, tab separated. The text goes by standard input.
async::Task<base::Result<std::string>> postgres_sql(async::ProcessOptions client, std::string text);

// A client program (pg_dump, pg_restore) as a role.
async::Task<base::Result<std::string>> postgres_run(async::ProcessOptions client, std::vector<std::string> argv,
                                                    std::string role, std::string password,
                                                    std::chrono::nanoseconds limit);

// Standard output; kUnavailable with what it said to standard error where it failed.
base::Result<std::string> output_of(base::Result<async::ProcessOutput> done, std::string_view what);

// An SQL string literal, and an identifier in quotes. Pure.
std::string sql_literal(std::string_view text);
std::string sql_identifier(std::string_view name);

}  // namespace mainstay::cloud
