// A file as the body of a request: read as it is sent, whatever its size.
#pragma once
#include <filesystem>
#include <memory>

#include "net/client.h"

namespace mainstay::cli {

// Throws Failure where the file cannot be read.
std::shared_ptr<net::BodyReader> file_body(const std::filesystem::path& file);

}  // namespace mainstay::cli
