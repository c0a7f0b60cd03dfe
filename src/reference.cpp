// Of the library of compiled kernels (kernels/instantiations.hpp): the formulas as loops.
#include "inkling/kernels/instantiations.hpp"

namespace inkling::kernels::reference {
INKLING_KERNELS(template, float)
INKLING_KERNELS(template, double)
INKLING_ATTENTION_BF16(template, float)
INKLING_ATTENTION_BF16(template, double)
}  // namespace inkling::kernels::reference

namespace inkling::kernels {
template <Index, bool, bool>
int library_compiled_with_the_same_march_and_openmp() {
  return 0;
}
template int INKLING_COMPILED_ALIKE;
}  // namespace inkling::kernels
