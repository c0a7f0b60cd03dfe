// Of the library of compiled kernels (kernels/instantiations.hpp): layers with packed weights.
#include "inkling/kernels/instantiations.hpp"

namespace inkling::kernels {
INKLING_PACKED_STORAGE(template)
namespace fast {
INKLING_PACKED_LAYERS(template)
}
}  // namespace inkling::kernels
