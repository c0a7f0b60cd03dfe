// Every recorded operation and its gradients through the reference kernels.
#include "ops_cases.hpp"

TEST_CASE("golden: operations and their gradients, reference kernels") {
  inkling_test::check_recorded_operations<inkling_test::Reference>();
}
