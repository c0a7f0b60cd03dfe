// The operations on Variables of float as one list, as kernels/instantiations.hpp has the kernels. (Those of double
// serve the gradient checks of a few tests, which compile what they need.)
#pragma once
#include "inkling/autograd/fused_ops.hpp"
#include "inkling/autograd/layer_ops.hpp"
#include "inkling/autograd/loss_ops.hpp"
#include "inkling/autograd/math_ops.hpp"

// X is `extern template` or `template`, T the type of the numbers, N and M numbers of dimensions.

#define INKLING_VARIABLES(X, T)                                                                                        \
  X void detail::add_numbers(Index, const T*, const T*, T*);                                                           \
  X void backward(const Variable<T, 0>&);                                                                              \
  X void backward(const Variable<T, 0>&, Tensor<T, 0>);                                                                \
  X struct detail::VariableNode<T, 0>;                                                                                 \
  X struct detail::VariableNode<T, 1>;                                                                                 \
  X struct detail::VariableNode<T, 2>;                                                                                 \
  X struct detail::VariableNode<T, 3>;                                                                                 \
  X struct detail::VariableNode<T, 4>;

#define INKLING_LAYER_OPERATIONS(X, T)                                                                                 \
  X Variable<T, 4> conv2d(const Variable<T, 4>&, const Variable<T, 4>&, const Variable<T, 1>&,                         \
                          const kernels::Conv2dOptions&);                                                              \
  X Variable<T, 4> conv_transpose2d(const Variable<T, 4>&, const Variable<T, 4>&, const Variable<T, 1>&,               \
                                    const kernels::ConvTranspose2dOptions&);                                           \
  X Variable<T, 4> group_norm(const Variable<T, 4>&, const Variable<T, 1>&, const Variable<T, 1>&, Index, T);          \
  X Variable<T, 4> group_norm_silu(const Variable<T, 4>&, const Variable<T, 2>&, const Variable<T, 1>&,                \
                                   const Variable<T, 1>&, Index, T);                                                   \
  X Variable<T, 3> embedding(const Variable<T, 2>&, const Tensor<std::int64_t, 2>&);                                   \
  X Variable<T, 3> attention(const Variable<T, 3>&, const Variable<T, 3>&, const Variable<T, 3>&,                      \
                             const kernels::AttentionOptions&);                                                        \
  INKLING_LAYER_OPERATIONS_OF(X, T, 2) INKLING_LAYER_OPERATIONS_OF(X, T, 3)
#define INKLING_LAYER_OPERATIONS_OF(X, T, N)                                                                           \
  X Variable<T, N> linear(const Variable<T, N>&, const Variable<T, 2>&, const Variable<T, 1>&);                        \
  X Variable<T, N> layer_norm(const Variable<T, N>&, const Variable<T, 1>&, const Variable<T, 1>&, T);

// With packed weights, which hold float.
#define INKLING_PACKED_OPERATIONS(X)                                                                                   \
  X Variable<float, 4> conv2d(const Variable<float, 4>&, const kernels::PackedWeight&, const Shape<4>&,                \
                              const Variable<float, 1>&, const kernels::Conv2dOptions&);                               \
  X Variable<float, 4> conv2d_add(const Variable<float, 4>&, const kernels::PackedWeight&, const Shape<4>&,            \
                                  const Variable<float, 1>&, const kernels::Conv2dOptions&, Variable<float, 4>);       \
  X Variable<float, 4> conv2d_activation(const Variable<float, 4>&, const kernels::PackedWeight&, const Shape<4>&,     \
                                         const Variable<float, 1>&, const kernels::Conv2dOptions&, Activation);        \
  X Variable<float, 3> attention_bf16(const Variable<float, 3>&, const Variable<float, 3>&, const Variable<float, 3>&, \
                                      const kernels::AttentionOptions&);                                               \
  INKLING_PACKED_OPERATIONS_OF(X, 2) INKLING_PACKED_OPERATIONS_OF(X, 3)
#define INKLING_PACKED_OPERATIONS_OF(X, N)                                                                             \
  X Variable<float, N> linear(const Variable<float, N>&, const kernels::PackedWeight&, const Variable<float, 1>&);     \
  X Variable<float, N> linear_add(const Variable<float, N>&, const kernels::PackedWeight&, const Variable<float, 1>&,  \
                                  Variable<float, N>);                                                                 \
  X Variable<float, N> linear_activation(const Variable<float, N>&, const kernels::PackedWeight&,                      \
                                         const Variable<float, 1>&, Activation);                                       \
  X Variable<float, N> linear_geglu(const Variable<float, N>&, const kernels::PackedWeight&,                           \
                                    const Variable<float, 1>&);

#define INKLING_MATH_OPERATIONS(X, T)                                                                                  \
  X Variable<T, 4> add_per_channel(const Variable<T, 4>&, const Variable<T, 2>&);                                      \
  X Variable<T, 2> matmul(const Variable<T, 2>&, const Variable<T, 2>&, bool);                                         \
  X Variable<T, 3> image_to_sequence(const Variable<T, 4>&);                                                           \
  X Variable<T, 4> sequence_to_image(const Variable<T, 3>&, Index, Index);                                             \
  X Variable<T, 4> upsample_nearest(const Variable<T, 4>&, Index);                                                     \
  X Variable<T, 4> avg_pool(const Variable<T, 4>&, const kernels::PoolOptions&);                                       \
  X Variable<T, 4> max_pool(const Variable<T, 4>&, const kernels::PoolOptions&);                                       \
  X Variable<T, 2> reshape(Variable<T, 3>, const Shape<2>&);                                                           \
  X Variable<T, 2> reshape(Variable<T, 4>, const Shape<2>&);                                                           \
  X Variable<T, 3> reshape(Variable<T, 4>, const Shape<3>&);                                                           \
  X Variable<T, 4> reshape(Variable<T, 2>, const Shape<4>&);                                                           \
  X Variable<T, 4> reshape(Variable<T, 3>, const Shape<4>&);                                                           \
  X Variable<T, 3> add_broadcast(const Variable<T, 3>&, const Variable<T, 1>&);                                        \
  X Variable<T, 3> add_broadcast(const Variable<T, 3>&, const Variable<T, 2>&);                                        \
  X Variable<T, 4> add_broadcast(const Variable<T, 4>&, const Variable<T, 4>&);                                        \
  INKLING_MATH_OPERATIONS_OF(X, T, 2) INKLING_MATH_OPERATIONS_OF(X, T, 3) INKLING_MATH_OPERATIONS_OF(X, T, 4)          \
  INKLING_ARITHMETIC_OPERATIONS_OF(X, T, 0)
#define INKLING_ARITHMETIC_OPERATIONS_OF(X, T, N)                                                                      \
  X Variable<T, N> add(Variable<T, N>, Variable<T, N>);                                                                \
  X Variable<T, N> sub(const Variable<T, N>&, const Variable<T, N>&);                                                  \
  X Variable<T, N> mul(const Variable<T, N>&, const Variable<T, N>&);                                                  \
  X Variable<T, N> scale(const Variable<T, N>&, T);                                                                    \
  X Variable<T, N> activation(Activation, const Variable<T, N>&);
#define INKLING_MATH_OPERATIONS_OF(X, T, N)                                                                            \
  INKLING_ARITHMETIC_OPERATIONS_OF(X, T, N)                                                                            \
  X Variable<T, N> scale(const Variable<T, N>&, const Variable<T, 0>&);                                                \
  X Variable<T, N> geglu(const Variable<T, N>&);                                                                       \
  X Variable<T, N> softmax(const Variable<T, N>&, Index);                                                              \
  X Variable<T, N> normalize_l2(const Variable<T, N>&);                                                                \
  X Variable<T, N> permute(const Variable<T, N>&, const std::array<std::size_t, N>&);                                  \
  X Variable<T, N> concat(const Variable<T, N>&, const Variable<T, N>&, Index);                                        \
  X Variable<T, N> slice(const Variable<T, N>&, Index, Index, Index);

#define INKLING_LOSS_OPERATIONS(X, T)                                                                                  \
  X Variable<T, 0> cross_entropy_loss(const Variable<T, 2>&, const Tensor<std::int64_t, 1>&, T);                       \
  X Variable<T, 1> kl_diagonal_gaussian(const Variable<T, 4>&);                                                        \
  X Variable<T, 0> weighted_mse_loss(const Variable<T, 4>&, const Tensor<T, 4>&, const Tensor<T, 1>&);                 \
  X Variable<T, 0> mean(const Variable<T, 1>&);                                                                        \
  INKLING_LOSS_OPERATIONS_OF(X, T, 2) INKLING_LOSS_OPERATIONS_OF(X, T, 3) INKLING_LOSS_OPERATIONS_OF(X, T, 4)
#define INKLING_LOSS_OPERATIONS_OF(X, T, N)                                                                            \
  X Variable<T, 0> mse_loss(const Variable<T, N>&, const Tensor<T, N>&);                                               \
  X Variable<T, 0> l1_loss(const Variable<T, N>&, const Tensor<T, N>&);                                                \
  X Variable<T, 0> bce_with_logits_loss(const Variable<T, N>&, const Tensor<T, N>&);                                   \
  X Variable<T, 0> mean(const Variable<T, N>&);

#define INKLING_OPERATIONS(X, T)  \
  INKLING_VARIABLES(X, T)         \
  INKLING_LAYER_OPERATIONS(X, T)  \
  INKLING_MATH_OPERATIONS(X, T)   \
  INKLING_LOSS_OPERATIONS(X, T)

#ifdef INKLING_COMPILED_KERNELS
namespace inkling {
INKLING_OPERATIONS(extern template, float)
INKLING_PACKED_OPERATIONS(extern template)
}  // namespace inkling
#endif
