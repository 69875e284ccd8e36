// Kubernetes' protobuf bodies: what Go clients, kubectl among them, send for built-in kinds. Read only: answers are
// JSON, which such clients accept as well.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "async/task.h"
#include "base/json.h"
#include "base/result.h"
#include "net/http.h"

namespace mainstay::api {

inline constexpr std::string_view kProtobufMediaType = "application/vnd.kubernetes.protobuf";

// The fields of messages by number, from schemas/protobuf.yaml (which tells the form). Immutable once the types are
// resolved.
class ProtobufMessages {
 public:
  ProtobufMessages();
  ~ProtobufMessages();
  // `fields`: {1: "metadata ObjectMeta", …}. Errors name the file.
  base::Result<> add(std::string_view name, const base::json::value& fields, std::string file);
  base::Result<> check() const;  // every message that a field names is there
  // The object as JSON, apiVersion and kind included; what Go leaves out of JSON is left out. Errors (kInvalid): not
  // that encoding, nested too deep, or a kind we do not know in it. Fields of later API versions are ignored.
  base::Result<base::json::value> decode(std::string_view body) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Puts JSON in the place of a protobuf body; leaves other bodies alone, and patches, which have no protobuf form.
// Throws StatusError: 400 where it cannot be read, 413 past `max_bytes`.
async::Task<> accept_protobuf(const ProtobufMessages& messages, net::Request& request, std::size_t max_bytes);

}  // namespace mainstay::api
