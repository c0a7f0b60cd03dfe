// The operations with weights: convolution, linear map, normalisation, embedding, attention.
// y = f(x, ...) and, beside it, what dL/dy means for each input; the formulas stand in kernels/reference.
#pragma once
#include <concepts>

#include "inkling/autograd/variable.hpp"
#include "inkling/kernels/compute_type.hpp"
#include "inkling/kernels/kernels.hpp"

namespace inkling {

// x[N, C, H, W] * weight[O, C/groups, KH, KW] (+ bias[O]) -> [N, O, H', W']
template <class T>
Variable<T, 4> conv2d(const Variable<T, 4>& x, const Variable<T, 4>& weight, const Variable<T, 1>& bias,
                      const kernels::Conv2dOptions& options) {
  return record(
      kernels::conv2d(x.value(), weight.value(), bias.pointer(), options),
      [x, weight, bias, options](const Tensor<T, 4>& dy) {
        if (x.requires_grad())
          x.accumulate(kernels::conv2d_backward_input(dy, weight.value(), x.shape(), options));
        if (weight.requires_grad())
          weight.accumulate(kernels::conv2d_backward_weight(dy, x.value(), weight.shape(), options));
        if (bias.requires_grad()) bias.accumulate(kernels::conv2d_backward_bias(dy));
      },
      x, weight, bias);
}

// What dL/dy means for the inputs of a convolution with a packed weight: that gets no gradient, that of x goes through
// the numbers as stored.
template <std::same_as<float> T>
void conv2d_backward(const Tensor<T, 4>& dy, const Variable<T, 4>& x, const kernels::PackedWeight& weight,
                     const Shape<4>& w_shape, const Variable<T, 1>& bias, const kernels::Conv2dOptions& options) {
  if (x.requires_grad()) {
    const auto w = kernels::unpacked(weight, w_shape, kernels::WeightUse::convolution, "conv2d");
    x.accumulate(kernels::conv2d_backward_input(dy, w, x.shape(), options));
  }
  if (bias.requires_grad()) bias.accumulate(kernels::conv2d_backward_bias(dy));
}
// The same convolution with a packed weight [O, C, KH, KW].
template <std::same_as<float> T>
Variable<T, 4> conv2d(const Variable<T, 4>& x, const kernels::PackedWeight& weight, const Shape<4>& w_shape,
                      const Variable<T, 1>& bias, const kernels::Conv2dOptions& options) {
  return record(
      kernels::conv2d(x.value(), weight, w_shape, bias.pointer(), options),
      [x, weight, w_shape, bias, options](const Tensor<T, 4>& dy) {
        conv2d_backward(dy, x, weight, w_shape, bias, options);
      },
      x, bias);
}

// x[N, C, H, W], weight[C, O/groups, KH, KW] (+ bias[O]) -> [N, O, H', W'], H' > H for stride > 1
template <class T>
Variable<T, 4> conv_transpose2d(const Variable<T, 4>& x, const Variable<T, 4>& weight, const Variable<T, 1>& bias,
                                const kernels::ConvTranspose2dOptions& options) {
  return record(
      kernels::conv_transpose2d(x.value(), weight.value(), bias.pointer(), options),
      [x, weight, bias, options](const Tensor<T, 4>& dy) {
        if (x.requires_grad())
          x.accumulate(kernels::conv_transpose2d_backward_input(dy, weight.value(), x.shape(), options));
        if (weight.requires_grad())
          weight.accumulate(kernels::conv_transpose2d_backward_weight(dy, x.value(), weight.shape(), options));
        if (bias.requires_grad()) bias.accumulate(kernels::conv2d_backward_bias(dy));
      },
      x, weight, bias);
}

// y = x W^T + b: x[..., In], weight[Out, In], bias[Out] -> [..., Out]
template <class T, std::size_t N>
Variable<T, N> linear(const Variable<T, N>& x, const Variable<T, 2>& weight, const Variable<T, 1>& bias) {
  return record(
      kernels::linear(x.value(), weight.value(), bias.pointer()),
      [x, weight, bias](const Tensor<T, N>& dy) {
        if (x.requires_grad()) x.accumulate(kernels::linear_backward_input(dy, weight.value()));
        if (weight.requires_grad()) weight.accumulate(kernels::linear_backward_weight(dy, x.value()));
        if (bias.requires_grad()) bias.accumulate(kernels::linear_backward_bias(dy));
      },
      x, weight, bias);
}

// What dL/dy means for the inputs of a linear layer with a packed weight, as for convolutions.
template <std::size_t N>
void linear_backward(const Tensor<float, N>& dy, const Variable<float, N>& x, const kernels::PackedWeight& weight,
                     const Variable<float, 1>& bias) {
  if (x.requires_grad()) {
    const Shape<2> w_shape{weight.out(), weight.depth()};
    const auto w = kernels::unpacked(weight, w_shape, kernels::WeightUse::linear, "linear");
    x.accumulate(kernels::linear_backward_input(dy, w));
  }
  if (bias.requires_grad()) bias.accumulate(kernels::linear_backward_bias(dy));
}
// The same layer with a packed weight [Out, In].
template <std::size_t N>
Variable<float, N> linear(const Variable<float, N>& x, const kernels::PackedWeight& weight,
                          const Variable<float, 1>& bias) {
  return record(
      kernels::linear(x.value(), weight, bias.pointer()),
      [x, weight, bias](const Tensor<float, N>& dy) { linear_backward(dy, x, weight, bias); },
      x, bias);
}

// x[N, C, H, W], gamma[C], beta[C]: each group of C/groups channels of an image to mean 0, variance 1
template <class T>
Variable<T, 4> group_norm(const Variable<T, 4>& x, const Variable<T, 1>& gamma, const Variable<T, 1>& beta,
                          Index groups, T eps) {
  auto result = kernels::group_norm(x.value(), gamma.value(), beta.value(), groups, eps);
  return record(
      std::move(result.y),
      [x, gamma, beta, groups, mean = std::move(result.mean), rstd = std::move(result.rstd)](const Tensor<T, 4>& dy) {
        auto g = kernels::group_norm_backward(dy, x.value(), gamma.value(), mean, rstd, groups);
        x.accumulate(std::move(g.dx));
        gamma.accumulate(std::move(g.dgamma));
        beta.accumulate(std::move(g.dbeta));
      },
      x, gamma, beta);
}

// silu(group_norm(x + shift)) in one pass: x[N, C, H, W], shift[N, C] (undefined: none), gamma[C], beta[C]
template <class T>
Variable<T, 4> group_norm_silu(const Variable<T, 4>& x, const Variable<T, 2>& shift, const Variable<T, 1>& gamma,
                               const Variable<T, 1>& beta, Index groups, T eps) {
  auto result = kernels::group_norm_silu(x.value(), shift.pointer(), gamma.value(), beta.value(), groups, eps);
  return record(
      std::move(result.y),
      [x, shift, gamma, beta, groups, mean = std::move(result.mean),
       rstd = std::move(result.rstd)](const Tensor<T, 4>& dy) {
        auto g = kernels::group_norm_silu_backward(dy, x.value(), shift.pointer(), gamma.value(), beta.value(), mean,
                                                   rstd, groups, x.take_grad());
        x.accumulate(std::move(g.dx));
        if (shift.requires_grad()) shift.accumulate(std::move(g.dshift));
        gamma.accumulate(std::move(g.dgamma));
        beta.accumulate(std::move(g.dbeta));
      },
      x, shift, gamma, beta);
}

// x[..., D], gamma[D], beta[D]: each row to mean 0, variance 1
template <class T, std::size_t N>
Variable<T, N> layer_norm(const Variable<T, N>& x, const Variable<T, 1>& gamma, const Variable<T, 1>& beta, T eps) {
  auto result = kernels::layer_norm(x.value(), gamma.value(), beta.value(), eps);
  return record(
      std::move(result.y),
      [x, gamma, beta, mean = std::move(result.mean), rstd = std::move(result.rstd)](const Tensor<T, N>& dy) {
        auto g = kernels::layer_norm_backward(dy, x.value(), gamma.value(), mean, rstd);
        x.accumulate(std::move(g.dx));
        gamma.accumulate(std::move(g.dgamma));
        beta.accumulate(std::move(g.dbeta));
      },
      x, gamma, beta);
}

// table[V, D], ids[N, L] -> [N, L, D]
template <class T>
Variable<T, 3> embedding(const Variable<T, 2>& table, const Tensor<std::int64_t, 2>& ids) {
  return record(
      kernels::embedding(table.value(), ids),
      [table, ids](const Tensor<T, 3>& dy) {
        table.accumulate(kernels::embedding_backward(dy, ids, table.shape()));
      },
      table);
}

namespace detail {
template <class T>
Variable<T, 3> record_attention(kernels::AttentionResult<T> result, const Variable<T, 3>& q, const Variable<T, 3>& k,
                                const Variable<T, 3>& v, const kernels::AttentionOptions& options) {
  return record_with_result(
      std::move(result.y),
      [q, k, v, options, lse = std::make_shared<Tensor<T, 3>>(std::move(result.lse))](const Tensor<T, 3>& dy,
                                                                                      Tensor<T, 3>& y) {
        kernels::AttentionResult<T> kept{std::move(y), std::move(*lse)};
        auto g = kernels::attention_backward(dy, q.value(), k.value(), v.value(), kept, options);
        y = std::move(kept.y);
        q.accumulate(std::move(g.dq));
        k.accumulate(std::move(g.dk));
        v.accumulate(std::move(g.dv));
      },
      q, k, v);
}
}  // namespace detail

// q[N, L, A*d], k[N, S, A*d], v[N, S, A*d'] -> [N, L, A*d'], A heads side by side
template <class T>
Variable<T, 3> attention(const Variable<T, 3>& q, const Variable<T, 3>& k, const Variable<T, 3>& v,
                         const kernels::AttentionOptions& options) {
  if constexpr (std::is_same_v<T, float>)
    if (kernels::compute_type_in_force() == ComputeType::bf16 && !kernels::reference_in_force())
      return detail::record_attention(kernels::attention_bf16(q.value(), k.value(), v.value(), options), q, k, v,
                                      options);
  return detail::record_attention(kernels::attention(q.value(), k.value(), v.value(), options), q, k, v, options);
}
// The same with products of bfloat16. Its gradient is that of the formula without the roundings.
template <std::same_as<float> T>
Variable<T, 3> attention_bf16(const Variable<T, 3>& q, const Variable<T, 3>& k, const Variable<T, 3>& v,
                              const kernels::AttentionOptions& options) {
  return detail::record_attention(kernels::attention_bf16(q.value(), k.value(), v.value(), options), q, k, v, options);
}

}  // namespace inkling
