// Of the library of compiled kernels (kernels/instantiations.hpp): the formulas as loops.
#include "inkling/kernels/instantiations.hpp"

namespace inkling::kernels::reference {
INKLING_KERNELS(template, float)
INKLING_KERNELS(template, double)
INKLING_ATTENTION_BF16(template, float)
INKLING_ATTENTION_BF16(template, double)
}  // namespace inkling::kernels::reference
