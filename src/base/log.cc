#include "base/log.h"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <memory>
#include <string>

namespace mainstay::base::log {
namespace {

std::atomic<Level> least{Level::kInfo};
std::atomic<bool> as_json{false};

spdlog::level::level_enum level_of(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      break;
  }
  return spdlog::level::err;
}

std::unique_ptr<spdlog::logger> make_logger(const char* pattern) {
  auto logger = std::make_unique<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::trace);
  logger->set_formatter(
      std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc, std::string("\n")));
  logger->flush_on(spdlog::level::trace);
  return logger;
}

// Two loggers, never destroyed: threads may still write while the program ends.
spdlog::logger& logger(bool json) {
  static spdlog::logger* const text = make_logger("%Y-%m-%dT%H:%M:%S.%eZ %-7l %v").release();
  static spdlog::logger* const lines = make_logger(R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})").release();
  return json ? *lines : *text;
}

// A message may quote what came from outside: line breaks and control characters must not forge further lines.
std::string one_line(std::string_view message) {
  std::string out;
  out.reserve(message.size());
  for (char c : message) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += ' ';
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace

void set_level(Level level) { least = level; }
void set_json(bool json) { as_json = json; }
bool enabled(Level level) { return level >= least.load(std::memory_order_relaxed); }

void write(Level level, std::string_view component, std::string_view message) {
  const bool json = as_json.load(std::memory_order_relaxed);
  std::string line;
  if (json) {
    line = fmt::format("\"component\":{},\"message\":{}", boost::json::serialize(boost::json::value(component)),
                       boost::json::serialize(boost::json::value(message)));
  } else {
    line = fmt::format("{} {}", component, one_line(message));
  }
  logger(json).log(level_of(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace mainstay::base::log
