// What the client's files share: turning responses into values and errors, and reading a watch's lines.
#pragma once
#include <memory>
#include <string>

#include "client/client.h"

namespace mainstay::client {

// Bounds what a server may make us hold: a list page, and one line of a watch.
inline constexpr std::size_t kMaxDocumentBytes = 256u << 20;
inline constexpr std::size_t kMaxWatchLineBytes = 16u << 20;

// The query of a list or watch, percent-encoded, without the leading `?`.
std::string list_query(const ListQuery& query);
std::string append_query(std::string target, std::string_view query);

// Throws the StatusError a response of status 400 or above carries; reads its body.
async::Task<> throw_status(net::ClientResponse response);

// Reads `{"type":…,"object":…}` lines of a watch response.
std::unique_ptr<WatchStream> read_watch(net::ClientResponse response);

}  // namespace mainstay::client
