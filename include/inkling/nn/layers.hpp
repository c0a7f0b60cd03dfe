// The layers that networks are made of: weights plus one operation each.
#pragma once
#include <cmath>
#include <optional>

#include "inkling/autograd/ops.hpp"
#include "inkling/nn/module.hpp"
#include "inkling/nn/observer.hpp"

namespace inkling {

// Uniform in [-b, b] with b = 1/sqrt(fan_in): keeps the size of activations about constant from layer to layer
// (He et al. 2015 with a = sqrt(5), as PyTorch does for Linear and Conv2d).
template <class T, std::size_t N>
void initialize_uniform(Parameter<T, N>& p, Index fan_in, Generator& generator) {
  const double b = 1.0 / std::sqrt(static_cast<double>(fan_in));
  for (T& v : p.value()) v = static_cast<T>((2.0 * generator.uniform<double>() - 1.0) * b);
}
template <class T, std::size_t N>
void initialize_normal(Parameter<T, N>& p, double std, Generator& generator) {
  const Tensor<T, N> z = generator.randn<T>(p.shape());
  T* out = p.value().data();
  for (Index i = 0; i < z.size(); ++i) out[i] = static_cast<T>(std) * z.data()[i];
}
template <class T, std::size_t N>
void initialize_constant(Parameter<T, N>& p, double c) {
  p.value().fill(static_cast<T>(c));
}

// y = x W^T + b: [..., In] -> [..., Out]
template <class T>
struct Linear {
  Parameter<T, 2> weight;               // [Out, In]
  std::optional<Parameter<T, 1>> bias;  // [Out]

  // `use`: gated where half of the outputs are gates of the other half
  Linear(Index in, Index out, bool with_bias = true, kernels::WeightUse use = kernels::WeightUse::linear)
      : weight({out, in}, use) {
    if (with_bias) bias.emplace(Shape<1>{out});
  }
  template <std::size_t N>
  Variable<T, N> forward(const Variable<T, N>& x) const {
    const Variable<T, 1> b = bias_or_none();
    if constexpr (Parameter<T, 2>::has_packed_form)
      if (weight.packed()) return observed(*this, linear(x, weight.packed_weight(), b));
    return observed(*this, linear(x, weight.variable(), b));
  }
  // The three below are what they say, in one pass over memory where the weight is packed and nobody looks inside.
  // residual + forward(x)
  template <std::size_t N>
  Variable<T, N> forward_add(const Variable<T, N>& x, Variable<T, N> residual) const {
    if constexpr (Parameter<T, 2>::has_packed_form)
      if (weight.packed() && !outputs_observed<T>())
        return linear_add(x, weight.packed_weight(), bias_or_none(), std::move(residual));
    return add(forward(x), std::move(residual));
  }
  // f(forward(x))
  template <std::size_t N>
  Variable<T, N> forward_activation(const Variable<T, N>& x, Activation f) const {
    if constexpr (Parameter<T, 2>::has_packed_form)
      if (weight.packed() && !outputs_observed<T>())
        return linear_activation(x, weight.packed_weight(), bias_or_none(), f);
    return activation(f, forward(x));
  }
  // geglu(forward(x)): [..., In] -> [..., Out/2]
  template <std::size_t N>
  Variable<T, N> forward_geglu(const Variable<T, N>& x) const {
    if constexpr (Parameter<T, 2>::has_packed_form)
      if (weight.packed() && !outputs_observed<T>()) return linear_geglu(x, weight.packed_weight(), bias_or_none());
    return geglu(forward(x));
  }
  Variable<T, 1> bias_or_none() const { return bias ? bias->variable() : Variable<T, 1>(); }
  template <class V>
  void visit(V&& v) {
    v("weight", weight);
    v("bias", bias);
  }
  void reset_parameters(Generator& g) {
    initialize_uniform(weight, weight.shape()[1], g);
    if (bias) initialize_uniform(*bias, weight.shape()[1], g);
  }
};

// [N, C, H, W] -> [N, O, H', W']
template <class T>
struct Conv2d {
  Parameter<T, 4> weight;               // [O, C/groups, K, K]
  std::optional<Parameter<T, 1>> bias;  // [O]
  kernels::Conv2dOptions options;

  Conv2d(Index in, Index out, Index kernel, const kernels::Conv2dOptions& o = {}, bool with_bias = true)
      : weight({out, in / o.groups, kernel, kernel},
               o.groups == 1 ? std::optional(kernels::WeightUse::convolution) : std::nullopt),
        options(o) {
    if (with_bias) bias.emplace(Shape<1>{out});
  }
  Variable<T, 4> forward(const Variable<T, 4>& x) const {
    const Variable<T, 1> b = bias_or_none();
    if constexpr (Parameter<T, 4>::has_packed_form)
      if (weight.packed()) return observed(*this, conv2d(x, weight.packed_weight(), weight.shape(), b, options));
    return observed(*this, conv2d(x, weight.variable(), b, options));
  }
  // residual + forward(x), and f(forward(x)); as those of Linear
  Variable<T, 4> forward_add(const Variable<T, 4>& x, Variable<T, 4> residual) const {
    if constexpr (Parameter<T, 4>::has_packed_form)
      if (weight.packed() && !outputs_observed<T>())
        return conv2d_add(x, weight.packed_weight(), weight.shape(), bias_or_none(), options, std::move(residual));
    return add(std::move(residual), forward(x));
  }
  Variable<T, 4> forward_activation(const Variable<T, 4>& x, Activation f) const {
    if constexpr (Parameter<T, 4>::has_packed_form)
      if (weight.packed() && !outputs_observed<T>())
        return conv2d_activation(x, weight.packed_weight(), weight.shape(), bias_or_none(), options, f);
    return activation(f, forward(x));
  }
  Variable<T, 1> bias_or_none() const { return bias ? bias->variable() : Variable<T, 1>(); }
  template <class V>
  void visit(V&& v) {
    v("weight", weight);
    v("bias", bias);
  }
  void reset_parameters(Generator& g) {
    const Index fan_in = weight.shape()[1] * weight.shape()[2] * weight.shape()[3];
    initialize_uniform(weight, fan_in, g);
    if (bias) initialize_uniform(*bias, fan_in, g);
  }
};
// "same" padding for an odd kernel: the output is as large as the input (at stride 1)
inline kernels::Conv2dOptions same_padding(Index kernel, Index stride = 1) {
  kernels::Conv2dOptions o;
  o.stride = stride;
  o.padding = kernels::Padding::all(kernel / 2);
  return o;
}

// The transpose of a convolution: with a stride of 2 it doubles the side and learns how ("up-convolution").
// [N, C, H, W] -> [N, O, (H - 1) stride + kernel, ...]
template <class T>
struct ConvTranspose2d {
  Parameter<T, 4> weight;               // [C, O/groups, K, K]: in and out change places
  std::optional<Parameter<T, 1>> bias;  // [O]
  kernels::ConvTranspose2dOptions options;

  ConvTranspose2d(Index in, Index out, Index kernel, const kernels::ConvTranspose2dOptions& o = {}, bool with_bias = true)
      : weight({in, out / o.groups, kernel, kernel}), options(o) {
    if (with_bias) bias.emplace(Shape<1>{out});
  }
  Variable<T, 4> forward(const Variable<T, 4>& x) const {
    const Variable<T, 1> b = bias ? bias->variable() : Variable<T, 1>();
    return observed(*this, conv_transpose2d(x, weight.variable(), b, options));
  }
  template <class V>
  void visit(V&& v) {
    v("weight", weight);
    v("bias", bias);
  }
  void reset_parameters(Generator& g) {
    // How many inputs meet in one output: with stride = kernel one pixel of each channel.
    const Index taps = (weight.shape()[2] + options.stride - 1) / options.stride;
    const Index fan_in = weight.shape()[0] / options.groups * taps * taps;
    initialize_uniform(weight, fan_in, g);
    if (bias) initialize_uniform(*bias, fan_in, g);
  }
};

// Wu & He 2018, "Group Normalization"
template <class T>
struct GroupNorm {
  Parameter<T, 1> weight, bias;  // [C] each: gamma and beta
  Index groups;
  T eps;

  GroupNorm(Index channels, Index norm_groups, double epsilon)
      : weight({channels}), bias({channels}), groups(norm_groups), eps(static_cast<T>(epsilon)) {}
  Variable<T, 4> forward(const Variable<T, 4>& x) const {
    return observed(*this, group_norm(x, weight.variable(), bias.variable(), groups, eps));
  }
  template <class V>
  void visit(V&& v) {
    v("weight", weight);
    v("bias", bias);
  }
  void reset_parameters(Generator&) {
    initialize_constant(weight, 1);
    initialize_constant(bias, 0);
  }
};

// Ba et al. 2016, "Layer Normalization"
template <class T>
struct LayerNorm {
  Parameter<T, 1> weight, bias;  // [D] each: gamma and beta
  T eps;

  explicit LayerNorm(Index width, double epsilon = 1e-5)
      : weight({width}), bias({width}), eps(static_cast<T>(epsilon)) {}
  template <std::size_t N>
  Variable<T, N> forward(const Variable<T, N>& x) const {
    return observed(*this, layer_norm(x, weight.variable(), bias.variable(), eps));
  }
  template <class V>
  void visit(V&& v) {
    v("weight", weight);
    v("bias", bias);
  }
  void reset_parameters(Generator&) {
    initialize_constant(weight, 1);
    initialize_constant(bias, 0);
  }
};

// A table of vectors, looked up by number: ids[N, L] -> [N, L, D]
template <class T>
struct Embedding {
  Parameter<T, 2> weight;  // [V, D]

  Embedding(Index count, Index width) : weight({count, width}) {}
  Variable<T, 3> forward(const Tensor<std::int64_t, 2>& ids) const {
    return observed(*this, embedding(weight.variable(), ids));
  }
  template <class V>
  void visit(V&& v) {
    v("weight", weight);
  }
  void reset_parameters(Generator& g) { initialize_normal(weight, 0.02, g); }  // 0.02: CLIP's token embedding
};

}  // namespace inkling
