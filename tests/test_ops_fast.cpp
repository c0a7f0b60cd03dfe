// Every recorded operation and its gradients through the fast kernels.
#include "ops_cases.hpp"

TEST_CASE("golden: operations and their gradients, fast kernels") {
  inkling_test::check_recorded_operations<inkling_test::Fast>();
}
