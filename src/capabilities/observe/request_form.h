#pragma once
#include "api/server.h"

namespace mainstay::observe {

// The parameters of a query: of the query string and, of a POST, of the form too, as Grafana sends long ones. Throws
// StatusError where the form is none.
async::Task<net::Query> parameters_of(std::shared_ptr<api::RequestContext> context);

}  // namespace mainstay::observe
