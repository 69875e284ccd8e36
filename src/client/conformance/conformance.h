// What every Transport must do, run over each of them.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "client/client.h"

namespace mainstay::client {

struct ConformanceCase {
  std::string name;
  // With all rights, in a server that has the namespaces default and shop, and nothing else of the kinds used. Reports
  // through GoogleTest.
  std::function<async::Task<>(ApiClient)> run;
};
const std::vector<ConformanceCase>& conformance_cases();

}  // namespace mainstay::client
