// The mesh: pods of namespaces labelled mainstay.dev/mesh: "true" speak to each other, and the edge to them, over
// mutually authenticated TLS that a node proxy carries.
#pragma once
#include "platform/host.h"

namespace mainstay::mesh {

inline constexpr const char* kMeshLabel = "mainstay.dev/mesh";

void register_mesh(platform::Host& host);
// Removes what outlives the program on the node. Blocking.
void mesh_down(const base::Config& config);

}  // namespace mainstay::mesh
