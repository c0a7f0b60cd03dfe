// One name for every kernel; a scoped switch decides whether the reference loops or the fast version runs.
#pragma once
#include <utility>

#include "inkling/kernels/fast/activation.hpp"
#include "inkling/kernels/fast/attention.hpp"
#include "inkling/kernels/fast/attention_bf16.hpp"
#include "inkling/kernels/fast/conv.hpp"
#include "inkling/kernels/fast/elementwise.hpp"
#include "inkling/kernels/fast/embedding.hpp"
#include "inkling/kernels/fast/fused.hpp"
#include "inkling/kernels/fast/linear.hpp"
#include "inkling/kernels/fast/loss.hpp"
#include "inkling/kernels/fast/norm.hpp"
#include "inkling/kernels/fast/norm_silu.hpp"
#include "inkling/kernels/fast/resample.hpp"
#include "inkling/kernels/fast/softmax.hpp"
#include "inkling/kernels/fast/weights.hpp"
#include "inkling/kernels/reference/activation.hpp"
#include "inkling/kernels/reference/attention.hpp"
#include "inkling/kernels/reference/attention_bf16.hpp"
#include "inkling/kernels/reference/conv.hpp"
#include "inkling/kernels/reference/elementwise.hpp"
#include "inkling/kernels/reference/embedding.hpp"
#include "inkling/kernels/reference/fused.hpp"
#include "inkling/kernels/reference/linear.hpp"
#include "inkling/kernels/reference/loss.hpp"
#include "inkling/kernels/reference/norm.hpp"
#include "inkling/kernels/reference/norm_silu.hpp"
#include "inkling/kernels/reference/resample.hpp"
#include "inkling/kernels/reference/softmax.hpp"
#include "inkling/kernels/reference/weights.hpp"

namespace inkling::kernels {

inline bool& reference_in_force() {
  thread_local bool on = false;
  return on;
}

// While it lives, whole models on this thread run on the reference kernels.
class UseReference {
 public:
  UseReference() : before_(std::exchange(reference_in_force(), true)) {}
  ~UseReference() { reference_in_force() = before_; }
  UseReference(const UseReference&) = delete;
  UseReference& operator=(const UseReference&) = delete;

 private:
  bool before_;
};

// kernels::conv2d(...) is reference::conv2d(...) or fast::conv2d(...), and so on for each name. The constraint keeps
// these names out of the way of the operations on Variables, which are called the same.
#define INKLING_KERNEL(name)                                                             \
  template <class... Arguments>                                                          \
    requires requires(Arguments&&... a) { reference::name(std::forward<Arguments>(a)...); } \
  auto name(Arguments&&... arguments) {                                                  \
    return reference_in_force() ? reference::name(std::forward<Arguments>(arguments)...) \
                                : fast::name(std::forward<Arguments>(arguments)...);     \
  }
INKLING_KERNEL(conv2d)
INKLING_KERNEL(conv2d_backward_input)
INKLING_KERNEL(conv2d_backward_weight)
INKLING_KERNEL(conv2d_backward_bias)
INKLING_KERNEL(conv_transpose2d)
INKLING_KERNEL(conv_transpose2d_backward_input)
INKLING_KERNEL(conv_transpose2d_backward_weight)
INKLING_KERNEL(conv2d_add)
INKLING_KERNEL(conv2d_activation)
INKLING_KERNEL(linear)
INKLING_KERNEL(linear_add)
INKLING_KERNEL(linear_activation)
INKLING_KERNEL(linear_geglu)
INKLING_KERNEL(linear_backward_input)
INKLING_KERNEL(linear_backward_weight)
INKLING_KERNEL(linear_backward_bias)
INKLING_KERNEL(matmul)
INKLING_KERNEL(group_norm)
INKLING_KERNEL(group_norm_backward)
INKLING_KERNEL(group_norm_silu)
INKLING_KERNEL(group_norm_silu_backward)
INKLING_KERNEL(layer_norm)
INKLING_KERNEL(layer_norm_backward)
INKLING_KERNEL(batch_norm)
INKLING_KERNEL(batch_norm_backward)
INKLING_KERNEL(activation)
INKLING_KERNEL(activation_backward)
INKLING_KERNEL(geglu)
INKLING_KERNEL(geglu_backward)
INKLING_KERNEL(softmax)
INKLING_KERNEL(softmax_backward)
INKLING_KERNEL(log_softmax)
INKLING_KERNEL(log_softmax_backward)
INKLING_KERNEL(attention)
INKLING_KERNEL(attention_bf16)
INKLING_KERNEL(attention_backward)
INKLING_KERNEL(attention_probabilities)
INKLING_KERNEL(upsample_nearest)
INKLING_KERNEL(upsample_nearest_backward)
INKLING_KERNEL(upsample_bilinear)
INKLING_KERNEL(upsample_bilinear_backward)
INKLING_KERNEL(avg_pool)
INKLING_KERNEL(avg_pool_backward)
INKLING_KERNEL(max_pool)
INKLING_KERNEL(max_pool_backward)
INKLING_KERNEL(embedding)
INKLING_KERNEL(embedding_backward)
INKLING_KERNEL(mse)
INKLING_KERNEL(mse_backward)
INKLING_KERNEL(l1)
INKLING_KERNEL(l1_backward)
INKLING_KERNEL(huber)
INKLING_KERNEL(huber_backward)
INKLING_KERNEL(smooth_l1)
INKLING_KERNEL(smooth_l1_backward)
INKLING_KERNEL(cross_entropy)
INKLING_KERNEL(cross_entropy_backward)
INKLING_KERNEL(bce_with_logits)
INKLING_KERNEL(bce_with_logits_backward)
INKLING_KERNEL(kl_diagonal_gaussian)
INKLING_KERNEL(kl_diagonal_gaussian_backward)
INKLING_KERNEL(binary)
INKLING_KERNEL(binary_broadcast)
INKLING_KERNEL(binary_broadcast_backward)
INKLING_KERNEL(accumulate)
INKLING_KERNEL(sum)
INKLING_KERNEL(sum_backward)
INKLING_KERNEL(mean)
INKLING_KERNEL(mean_backward)
INKLING_KERNEL(scale)
INKLING_KERNEL(concat)
INKLING_KERNEL(slice)
INKLING_KERNEL(slice_backward)
INKLING_KERNEL(permute)
INKLING_KERNEL(normalize_l2)
INKLING_KERNEL(normalize_l2_backward)
#undef INKLING_KERNEL

// The type T stands only in the result, so it is named in the call.
template <class T>
Tensor<T, 2> timestep_embedding(const Tensor<T, 1>& t, Index dim, TimestepEmbedding kind, double max_period = 10000) {
  return reference_in_force() ? reference::timestep_embedding<T>(t, dim, kind, max_period)
                              : fast::timestep_embedding<T>(t, dim, kind, max_period);
}

}  // namespace inkling::kernels

#ifdef INKLING_COMPILED_KERNELS
#include "inkling/kernels/instantiations.hpp"  // they are in a library
#endif
