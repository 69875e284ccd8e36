// A container writes what it likes into its log.
#include <unistd.h>

#include <fstream>

#include "capabilities/compute/logs/cri_log.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace mainstay::compute;
  static const std::string kFile = "/tmp/mainstay-cri-fuzz-" + std::to_string(::getpid());
  std::ofstream(kFile, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  LogQuery query;
  query.timestamps = size % 2 == 0;
  if (size % 3 == 0) query.tail_lines = 5;
  if (size % 5 == 0) query.limit_bytes = 100;
  CriLogReader reader(kFile, query);
  std::size_t total = 0;
  for (std::string piece = reader.next(); !piece.empty(); piece = reader.next()) total += piece.size();
  if (query.limit_bytes && total > 100) __builtin_trap();
  static_cast<void>(last_output(kFile, 512));
  return 0;
}
