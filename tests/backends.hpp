// The two sets of kernels as types, so that one test text tries both.
#pragma once
#include "inkling/kernels/kernels.hpp"

namespace inkling_test {

#define INKLING_FORWARD(from, name)                             \
  template <class... A>                                         \
  static auto name(A&&... a) {                                  \
    return inkling::kernels::from::name(std::forward<A>(a)...); \
  }
#define INKLING_BACKEND(Type, from)                         \
  struct Type {                                             \
    static constexpr const char* label = #from;             \
    INKLING_FORWARD(from, conv2d)                           \
    INKLING_FORWARD(from, conv2d_backward_input)            \
    INKLING_FORWARD(from, conv2d_backward_weight)           \
    INKLING_FORWARD(from, conv2d_backward_bias)             \
    INKLING_FORWARD(from, conv_transpose2d)                 \
    INKLING_FORWARD(from, conv_transpose2d_backward_input)  \
    INKLING_FORWARD(from, conv_transpose2d_backward_weight) \
    INKLING_FORWARD(from, linear)                           \
    INKLING_FORWARD(from, linear_backward_input)            \
    INKLING_FORWARD(from, linear_backward_weight)           \
    INKLING_FORWARD(from, linear_backward_bias)             \
    INKLING_FORWARD(from, matmul)                           \
    INKLING_FORWARD(from, group_norm)                       \
    INKLING_FORWARD(from, group_norm_backward)              \
    INKLING_FORWARD(from, layer_norm)                       \
    INKLING_FORWARD(from, layer_norm_backward)              \
    INKLING_FORWARD(from, batch_norm)                       \
    INKLING_FORWARD(from, batch_norm_backward)              \
    INKLING_FORWARD(from, activation)                       \
    INKLING_FORWARD(from, activation_backward)              \
    INKLING_FORWARD(from, geglu)                            \
    INKLING_FORWARD(from, geglu_backward)                   \
    INKLING_FORWARD(from, softmax)                          \
    INKLING_FORWARD(from, softmax_backward)                 \
    INKLING_FORWARD(from, log_softmax)                      \
    INKLING_FORWARD(from, log_softmax_backward)             \
    INKLING_FORWARD(from, attention)                        \
    INKLING_FORWARD(from, attention_backward)               \
    INKLING_FORWARD(from, attention_probabilities)          \
    INKLING_FORWARD(from, upsample_nearest)                 \
    INKLING_FORWARD(from, upsample_nearest_backward)        \
    INKLING_FORWARD(from, upsample_bilinear)                \
    INKLING_FORWARD(from, upsample_bilinear_backward)       \
    INKLING_FORWARD(from, avg_pool)                         \
    INKLING_FORWARD(from, avg_pool_backward)                \
    INKLING_FORWARD(from, max_pool)                         \
    INKLING_FORWARD(from, max_pool_backward)                \
    INKLING_FORWARD(from, embedding)                        \
    INKLING_FORWARD(from, embedding_backward)               \
    INKLING_FORWARD(from, timestep_embedding)               \
    INKLING_FORWARD(from, mse)                              \
    INKLING_FORWARD(from, mse_backward)                     \
    INKLING_FORWARD(from, l1)                               \
    INKLING_FORWARD(from, l1_backward)                      \
    INKLING_FORWARD(from, huber)                            \
    INKLING_FORWARD(from, huber_backward)                   \
    INKLING_FORWARD(from, smooth_l1)                        \
    INKLING_FORWARD(from, smooth_l1_backward)               \
    INKLING_FORWARD(from, cross_entropy)                    \
    INKLING_FORWARD(from, cross_entropy_backward)           \
    INKLING_FORWARD(from, bce_with_logits)                  \
    INKLING_FORWARD(from, bce_with_logits_backward)         \
    INKLING_FORWARD(from, kl_diagonal_gaussian)             \
    INKLING_FORWARD(from, kl_diagonal_gaussian_backward)    \
    INKLING_FORWARD(from, binary)                           \
    INKLING_FORWARD(from, binary_broadcast)                 \
    INKLING_FORWARD(from, binary_broadcast_backward)        \
    INKLING_FORWARD(from, sum)                              \
    INKLING_FORWARD(from, sum_backward)                     \
    INKLING_FORWARD(from, mean)                             \
    INKLING_FORWARD(from, mean_backward)                    \
    INKLING_FORWARD(from, scale)                            \
    INKLING_FORWARD(from, accumulate)                       \
    INKLING_FORWARD(from, concat)                           \
    INKLING_FORWARD(from, slice)                            \
    INKLING_FORWARD(from, slice_backward)                   \
    INKLING_FORWARD(from, permute)                          \
    INKLING_FORWARD(from, normalize_l2)                     \
    INKLING_FORWARD(from, normalize_l2_backward)            \
  };
INKLING_BACKEND(Reference, reference)
INKLING_BACKEND(Fast, fast)
#undef INKLING_BACKEND
#undef INKLING_FORWARD

}  // namespace inkling_test
