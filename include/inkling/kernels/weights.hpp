// Weights that never change: a matrix W [Out, K], packed once, kept in the type that suits memory and speed.
//
//   type   bytes a weight   arithmetic                                             relative rounding of a weight
//   f32    4                fp32                                                   none
//   f16    2                fp32; widened while it is used                         2^-11
//   bf16   2                products of two bf16, summed in fp32                   2^-8, of the activations too
//   q8     1.06             products of two 8-bit integers, one scale for 32       1/254 of the largest of 32
#pragma once
#include "inkling/core/intrinsics.hpp"  // first

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "inkling/core/half.hpp"
#include "inkling/kernels/checks.hpp"

namespace inkling::kernels {

enum class WeightType { f32, f16, bf16, q8 };

using inkling::to_string;  // of shapes: the next line would hide it
inline std::string to_string(WeightType type) {
  switch (type) {
    case WeightType::f32: return "f32";
    case WeightType::f16: return "f16";
    case WeightType::bf16: return "bf16";
    case WeightType::q8: return "q8";
  }
  return "?";
}
inline WeightType weight_type_from_string(std::string_view name) {
  for (WeightType type : {WeightType::f32, WeightType::f16, WeightType::bf16, WeightType::q8})
    if (name == to_string(type)) return type;
  throw ConfigError("weight type", "f32, f16, bf16 or q8", std::string(name));
}

// Which side of the matrix product the weight is on: x W^T in a linear layer, W P (P: patches) in a convolution. It
// decides how the panels lie, so a weight packed for one use is refused by the other.
enum class WeightUse { linear, convolution };

// Copies share the numbers.
class PackedWeight {
 public:
  PackedWeight() = default;
  // W [out, depth], row-major, as float, half or bfloat16. For a convolution depth = C/G * KH * KW.
  template <class T>
  PackedWeight(Index out, Index depth, const T* w, WeightType type, WeightUse use)
      : out_(out), depth_(depth), type_(type), use_(use) {
    checked_size(Shape<2>{out, depth}, "PackedWeight");
    auto values = std::make_shared<std::vector<float>>(static_cast<std::size_t>(out * depth));
    for (std::size_t i = 0; i < values->size(); ++i) (*values)[i] = static_cast<float>(w[i]);
    values_ = std::move(values);
  }

  bool empty() const { return !values_; }
  Index out() const { return out_; }
  Index depth() const { return depth_; }
  WeightType type() const { return type_; }
  WeightUse use() const { return use_; }
  // Memory that the numbers take.
  Index bytes() const { return values_ ? static_cast<Index>(values_->size() * sizeof(float)) : 0; }

  // w [out, depth]: the numbers as stored. For f32 they are those given.
  void unpack(float* w) const {
    if (values_) std::copy(values_->begin(), values_->end(), w);
  }

 private:
  Index out_ = 0, depth_ = 0;
  WeightType type_ = WeightType::f32;
  WeightUse use_ = WeightUse::linear;
  std::shared_ptr<const std::vector<float>> values_;
};

// The numbers as stored, as a tensor: w [Out, ...].
template <std::size_t N>
Tensor<float, N> unpacked(const PackedWeight& w, const Shape<N>& shape, WeightUse use, std::string_view where) {
  const auto name = [](WeightUse u) { return u == WeightUse::linear ? "linear" : "convolution"; };
  if (w.use() != use)
    throw ConfigError(where, std::string("a weight packed for use ") + name(use), name(w.use()));
  Tensor<float, N> values(shape, uninitialized);
  require(shape[0] == w.out() && values.size() == w.out() * w.depth(), where,
          to_string(Shape<2>{w.out(), w.depth()}) + " numbers as in the packed weight", to_string(shape));
  w.unpack(values.data());
  return values;
}

}  // namespace inkling::kernels
