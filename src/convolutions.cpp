// Of the library of compiled kernels (kernels/instantiations.hpp): convolutions.
#include "inkling/kernels/instantiations.hpp"

namespace inkling::kernels::fast {
INKLING_CONVOLUTIONS(template, float)
INKLING_CONVOLUTIONS(template, double)
}  // namespace inkling::kernels::fast
