// The one unit that holds Beast's own functions (BOOST_BEAST_SEPARATE_COMPILATION).
#include <boost/beast/src.hpp>
