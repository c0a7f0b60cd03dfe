// Of the library of compiled kernels (kernels/instantiations.hpp): matrix products, linear layers and attention.
#include "inkling/kernels/instantiations.hpp"

namespace inkling::kernels::fast {
INKLING_PRODUCTS(template, float)
INKLING_PRODUCTS(template, double)
INKLING_ATTENTIONS(template, float)
INKLING_ATTENTIONS(template, double)
INKLING_ATTENTION_BF16(template, float)
}  // namespace inkling::kernels::fast
