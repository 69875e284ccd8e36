// One log: lines `time level component message key=value…` on standard error, JSON with --log-format=json. Never log a
// secret. Thread-safe.
#pragma once
#include <fmt/core.h>

#include <string_view>

namespace mainstay::base::log {

enum class Level { kDebug, kInfo, kWarn, kError };
void set_level(Level level);
void set_json(bool json);
bool enabled(Level level);
void write(Level level, std::string_view component, std::string_view message);

template <class... A>
void debug(std::string_view component, fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::kDebug)) write(Level::kDebug, component, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void info(std::string_view component, fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::kInfo)) write(Level::kInfo, component, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void warn(std::string_view component, fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::kWarn)) write(Level::kWarn, component, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void error(std::string_view component, fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::kError)) write(Level::kError, component, fmt::format(f, std::forward<A>(a)...));
}

}  // namespace mainstay::base::log
