// What is stored and for whom, measured by those who keep it and shown by others: cloud/ and artifacts/ provide, usage
// reports and observe/ read. On the loop only.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mainstay::platform {

// A ResourceClaim's figures by their names, as of the last measuring: "size_bytes", "limit_bytes", "connections", …
struct ClaimFigures {
  std::string ns, name, type, workload;
  std::map<std::string, double> values;
};
// A PersistentVolumeClaim.
struct VolumeFigures {
  std::string ns, name;
  std::uint64_t used_bytes = 0, capacity_bytes = 0;
};
class StorageUsage {
 public:
  virtual ~StorageUsage() = default;
  virtual std::vector<ClaimFigures> claims() const = 0;
  virtual std::vector<VolumeFigures> volumes() const = 0;
};

class ImageUsage {
 public:
  virtual ~ImageUsage() = default;
  // Bytes of the blobs in each team's repositories, each blob once a team.
  virtual std::map<std::string, std::uint64_t> bytes_by_team() const = 0;
};

}  // namespace mainstay::platform
