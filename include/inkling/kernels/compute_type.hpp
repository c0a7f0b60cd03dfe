// In which numbers convolutions, linear layers and attention (forwards) multiply: float, or pairs of bfloat16 whose
// products are summed in float. Whatever goes in and comes out is float either way, so weights, gradients and optimisers
// stay as they are ("mixed precision": Micikevicius et al. 2018; with bfloat16, which has float's range and needs no
// scaling of the loss: Kalamkar et al. 2019).
#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "inkling/core/error.hpp"

namespace inkling {

enum class ComputeType { f32, bf16 };

inline std::string to_string(ComputeType type) { return type == ComputeType::f32 ? "f32" : "bf16"; }
inline ComputeType compute_type_from_string(std::string_view name) {
  for (ComputeType type : {ComputeType::f32, ComputeType::bf16})
    if (name == to_string(type)) return type;
  throw ConfigError("compute type", "f32 or bf16", std::string(name));
}

namespace kernels {

inline ComputeType& compute_type_in_force() {
  thread_local ComputeType type = ComputeType::f32;
  return type;
}

// While it lives, the fast kernels on this thread multiply in this type. Reference kernels, packed weights (they know
// their type) and double do not care.
class ComputeIn {
 public:
  explicit ComputeIn(ComputeType type) : before_(std::exchange(compute_type_in_force(), type)) {}
  ~ComputeIn() { compute_type_in_force() = before_; }
  ComputeIn(const ComputeIn&) = delete;
  ComputeIn& operator=(const ComputeIn&) = delete;

 private:
  ComputeType before_;
};

}  // namespace kernels
}  // namespace inkling
