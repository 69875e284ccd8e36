// Random ids from the system's cryptographic generator. Thread-safe.
#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace mainstay::base {

void random_bytes(std::span<unsigned char> out);
std::string uuid4();
std::string random_hex(std::size_t bytes);
std::string random_suffix(std::size_t length = 5);  // Kubernetes' name alphabet: bcdfghjklmnpqrstvwxz2456789

}  // namespace mainstay::base
