// The one unit that holds Asio's own functions (BOOST_ASIO_SEPARATE_COMPILATION); those for TLS are in net/.
#include <boost/asio/impl/src.hpp>
