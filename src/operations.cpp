// Of the library of compiled kernels: the operations on Variables (autograd/instantiations.hpp).
#include "inkling/autograd/instantiations.hpp"

namespace inkling {
INKLING_OPERATIONS(template, float)
INKLING_PACKED_OPERATIONS(template)
}  // namespace inkling
