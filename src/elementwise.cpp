// Of the library of compiled kernels (kernels/instantiations.hpp): what goes over the numbers once or twice.
#include "inkling/kernels/instantiations.hpp"

#define INKLING_LISTS(T)          \
  INKLING_ELEMENTWISE(template, T) \
  INKLING_NORMS(template, T)       \
  INKLING_RESAMPLING(template, T)  \
  INKLING_EMBEDDINGS(template, T)  \
  INKLING_LOSSES(template, T)

namespace inkling::kernels::fast {
INKLING_LISTS(float)
INKLING_LISTS(double)
}  // namespace inkling::kernels::fast
