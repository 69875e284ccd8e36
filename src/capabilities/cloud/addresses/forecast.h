// When a pool runs out: growth fitted from its history, and what teams plan on top. Pure; times are in days.
//
// The fit is Theil and Sen's: the median of the slopes between all pairs of points, which a few odd days do not move;
// the interval is Sen's, from the ranks of the slopes at 95 %.
#pragma once
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/json.h"

namespace mainstay::cloud {
namespace json = boost::json;

struct Sample {
  base::SystemTime time;
  double used = 0;
};
struct Plan {
  base::SystemTime by;
  double addresses = 0;
};

struct Growth {
  double per_day = 0, low = 0, high = 0;
  bool fitted = false;  // false: too little history (under three days); all zero
};
Growth fit_growth(const std::vector<Sample>& history);

struct Forecast {
  Growth growth;
  std::optional<base::SystemTime> exhausted, earliest, latest;  // none within 50 years
  std::optional<double> months_left;                            // to `exhausted`; 0 where it is full
};
// Plans whose date has passed are taken to be in the usage already.
Forecast forecast(double size, double used, const std::vector<Sample>& history, const std::vector<Plan>& plans,
                  base::SystemTime now);
json::object forecast_json(const Forecast& forecast);  // as AddressPool.status.forecast has it

inline constexpr double kDaysAMonth = 30.4375;

// Adds a sample where the last is at least an hour old, and thins: hours of the last three days, before that the day's
// highest, for two years. Gives whether it was added. `history` is status.history: [{time, used}], oldest first.
bool add_sample(json::array& history, base::SystemTime now, double used);
// Whole numbers as such, so that they look the same to every reader.
json::value json_number(double value);
std::vector<Sample> read_samples(const json::array& history);

}  // namespace mainstay::cloud
