// Layers with packed weights and what follows them, in one pass. A packed weight gets no gradient; those of the other
// inputs go through the numbers as stored, and what the forward did not keep is computed again.
#pragma once
#include "inkling/autograd/layer_ops.hpp"

namespace inkling {

// residual + x W^T + b: x[..., In], weight[Out, In], bias[Out], residual[..., Out] -> [..., Out]
template <std::size_t N>
Variable<float, N> linear_add(const Variable<float, N>& x, const kernels::PackedWeight& weight,
                              const Variable<float, 1>& bias, Variable<float, N> residual) {
  Tensor<float, N> y =
      residual.disposable() ? kernels::linear_add(x.value(), weight, bias.pointer(), residual.take_value())
                            : kernels::linear_add(x.value(), weight, bias.pointer(), residual.value());
  return record(
      std::move(y),
      [x, weight, bias, residual](const Gradient<float, N>& dy) {
        residual.accumulate(dy);
        linear_backward(*dy, x, weight, bias);
      },
      x, bias, residual);
}

// f(x W^T + b): x[..., In], weight[Out, In], bias[Out] -> [..., Out]
template <std::size_t N>
Variable<float, N> linear_activation(const Variable<float, N>& x, const kernels::PackedWeight& weight,
                                     const Variable<float, 1>& bias, kernels::Activation kind) {
  return record(
      kernels::linear_activation(x.value(), weight, bias.pointer(), kind),
      [x, weight, bias, kind](const Tensor<float, N>& dy) {
        const Tensor<float, N> h = kernels::linear(x.value(), weight, bias.pointer());
        linear_backward(kernels::activation_backward(kind, dy, h), x, weight, bias);
      },
      x, bias);
}

// (a, g) = x W^T + b -> a gelu(g): x[..., In], weight[2 D, In], bias[2 D] -> [..., D]
template <std::size_t N>
Variable<float, N> linear_geglu(const Variable<float, N>& x, const kernels::PackedWeight& weight,
                                const Variable<float, 1>& bias) {
  return record(
      kernels::linear_geglu(x.value(), weight, bias.pointer()),
      [x, weight, bias](const Tensor<float, N>& dy) {
        const Tensor<float, N> h = kernels::linear(x.value(), weight, bias.pointer());
        linear_backward(kernels::geglu_backward(dy, h), x, weight, bias);
      },
      x, bias);
}

// residual + conv2d(x): x[N, C, H, W], weight[O, C, KH, KW], bias[O], residual[N, O, H', W'] -> [N, O, H', W']
template <std::same_as<float> T>
Variable<T, 4> conv2d_add(const Variable<T, 4>& x, const kernels::PackedWeight& weight, const Shape<4>& w_shape,
                          const Variable<T, 1>& bias, const kernels::Conv2dOptions& options, Variable<T, 4> residual) {
  Tensor<T, 4> y =
      residual.disposable()
          ? kernels::conv2d_add(x.value(), weight, w_shape, bias.pointer(), options, residual.take_value())
          : kernels::conv2d_add(x.value(), weight, w_shape, bias.pointer(), options, residual.value());
  return record(
      std::move(y),
      [x, weight, w_shape, bias, options, residual](const Gradient<T, 4>& dy) {
        residual.accumulate(dy);
        conv2d_backward(*dy, x, weight, w_shape, bias, options);
      },
      x, bias, residual);
}

// f(conv2d(x)): x[N, C, H, W], weight[O, C, KH, KW], bias[O] -> [N, O, H', W']
template <std::same_as<float> T>
Variable<T, 4> conv2d_activation(const Variable<T, 4>& x, const kernels::PackedWeight& weight, const Shape<4>& w_shape,
                                 const Variable<T, 1>& bias, const kernels::Conv2dOptions& options,
                                 kernels::Activation kind) {
  return record(
      kernels::conv2d_activation(x.value(), weight, w_shape, bias.pointer(), options, kind),
      [x, weight, w_shape, bias, options, kind](const Tensor<T, 4>& dy) {
        const Tensor<T, 4> h = kernels::conv2d(x.value(), weight, w_shape, bias.pointer(), options);
        conv2d_backward(kernels::activation_backward(kind, dy, h), x, weight, w_shape, bias, options);
      },
      x, bias);
}

}  // namespace inkling
