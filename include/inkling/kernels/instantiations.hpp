// The kernels for float and double, as one list: which of them a library of compiled kernels holds.
//
// Where INKLING_COMPILED_KERNELS is defined, kernels.hpp reads this list with `extern template`: the program calls the
// kernels and does not compile them. The sources in src/, compiled with the same macro, read it with `template` and are
// the library that the program then has to link (CMake: inkling::compiled). Without the macro every program compiles
// what it calls.
//
// Of the kernels for any number of dimensions those are listed that several programs would compile. Every kernel's
// signature stands here once and is demanded of kernels::reference and kernels::fast alike, so this file does not
// compile where the two differ, or where one has changed; what packed weights need stands at the end and is in fast
// alone. tests/compiled_kernels.sh finds a kernel that is not listed.
#pragma once
#include "inkling/kernels/kernels.hpp"

// X is `extern template` or `template`, T the type of the numbers, N and M numbers of dimensions.

#define INKLING_CONVOLUTIONS(X, T)                                                                                    \
  X Tensor<T, 4> conv2d(const Tensor<T, 4>&, const Tensor<T, 4>&, const Tensor<T, 1>*, const Conv2dOptions&);          \
  X Tensor<T, 4> conv2d_backward_input(const Tensor<T, 4>&, const Tensor<T, 4>&, const Shape<4>&,                      \
                                       const Conv2dOptions&);                                                          \
  X Tensor<T, 4> conv2d_backward_weight(const Tensor<T, 4>&, const Tensor<T, 4>&, const Shape<4>&,                     \
                                        const Conv2dOptions&);                                                         \
  X Tensor<T, 1> conv2d_backward_bias(const Tensor<T, 4>&);                                                            \
  X Tensor<T, 4> conv_transpose2d(const Tensor<T, 4>&, const Tensor<T, 4>&, const Tensor<T, 1>*,                       \
                                  const ConvTranspose2dOptions&);                                                      \
  X Tensor<T, 4> conv_transpose2d_backward_input(const Tensor<T, 4>&, const Tensor<T, 4>&, const Shape<4>&,            \
                                                 const ConvTranspose2dOptions&);                                       \
  X Tensor<T, 4> conv_transpose2d_backward_weight(const Tensor<T, 4>&, const Tensor<T, 4>&, const Shape<4>&,           \
                                                  const ConvTranspose2dOptions&);

#define INKLING_PRODUCTS(X, T)                                                                                         \
  X Tensor<T, 2> matmul(const Tensor<T, 2>&, const Tensor<T, 2>&, bool, bool);                                         \
  X Tensor<T, 3> matmul(const Tensor<T, 3>&, const Tensor<T, 3>&, bool, bool);                                         \
  INKLING_LINEAR(X, T, 2) INKLING_LINEAR(X, T, 3)
#define INKLING_LINEAR(X, T, N)                                                                                        \
  X Tensor<T, N> linear(const Tensor<T, N>&, const Tensor<T, 2>&, const Tensor<T, 1>*);                                \
  X Tensor<T, N> linear_backward_input(const Tensor<T, N>&, const Tensor<T, 2>&);                                      \
  X Tensor<T, 2> linear_backward_weight(const Tensor<T, N>&, const Tensor<T, N>&);                                     \
  X Tensor<T, 1> linear_backward_bias(const Tensor<T, N>&);

#define INKLING_ATTENTIONS(X, T)                                                                                       \
  X AttentionResult<T> attention(const Tensor<T, 3>&, const Tensor<T, 3>&, const Tensor<T, 3>&,                        \
                                 const AttentionOptions&, const Tensor<T, 2>*);                                        \
  X AttentionGradients<T> attention_backward(const Tensor<T, 3>&, const Tensor<T, 3>&, const Tensor<T, 3>&,            \
                                             const Tensor<T, 3>&, const AttentionResult<T>&, const AttentionOptions&,  \
                                             const Tensor<T, 2>*);                                                     \
  X Tensor<T, 4> attention_probabilities(const Tensor<T, 3>&, const Tensor<T, 3>&, const AttentionOptions&,            \
                                         const Tensor<T, 2>*);
#define INKLING_ATTENTION_BF16(X, T)                                                                                   \
  X AttentionResult<T> attention_bf16(const Tensor<T, 3>&, const Tensor<T, 3>&, const Tensor<T, 3>&,                   \
                                      const AttentionOptions&, const Tensor<T, 2>*);

#define INKLING_NORMS(X, T)                                                                                            \
  X NormResult<T, 4> group_norm(const Tensor<T, 4>&, const Tensor<T, 1>&, const Tensor<T, 1>&, Index, T);              \
  X NormGradients<T, 4> group_norm_backward(const Tensor<T, 4>&, const Tensor<T, 4>&, const Tensor<T, 1>&,             \
                                            const Tensor<T, 1>&, const Tensor<T, 1>&, Index);                          \
  X NormResult<T, 4> group_norm_silu(const Tensor<T, 4>&, const Tensor<T, 2>*, const Tensor<T, 1>&,                    \
                                     const Tensor<T, 1>&, Index, T);                                                   \
  X NormSiluGradients<T> group_norm_silu_backward(const Tensor<T, 4>&, const Tensor<T, 4>&, const Tensor<T, 2>*,       \
                                                  const Tensor<T, 1>&, const Tensor<T, 1>&, const Tensor<T, 1>&,       \
                                                  const Tensor<T, 1>&, Index, Tensor<T, 4>);                           \
  X NormResult<T, 4> batch_norm(const Tensor<T, 4>&, const Tensor<T, 1>&, const Tensor<T, 1>&, Tensor<T, 1>&,          \
                                Tensor<T, 1>&, bool, T, T);                                                            \
  X NormGradients<T, 4> batch_norm_backward(const Tensor<T, 4>&, const Tensor<T, 4>&, const Tensor<T, 1>&,             \
                                            const Tensor<T, 1>&, const Tensor<T, 1>&, bool);                           \
  INKLING_LAYER_NORM(X, T, 2) INKLING_LAYER_NORM(X, T, 3)
#define INKLING_LAYER_NORM(X, T, N)                                                                                    \
  X NormResult<T, N> layer_norm(const Tensor<T, N>&, const Tensor<T, 1>&, const Tensor<T, 1>&, T);                     \
  X NormGradients<T, N> layer_norm_backward(const Tensor<T, N>&, const Tensor<T, N>&, const Tensor<T, 1>&,             \
                                            const Tensor<T, 1>&, const Tensor<T, 1>&);

#define INKLING_RESAMPLING(X, T)                                                                                       \
  X Tensor<T, 4> upsample_nearest(const Tensor<T, 4>&, Index);                                                         \
  X Tensor<T, 4> upsample_nearest_backward(const Tensor<T, 4>&, Index);                                                \
  X Tensor<T, 4> upsample_bilinear(const Tensor<T, 4>&, Index, bool);                                                  \
  X Tensor<T, 4> upsample_bilinear_backward(const Tensor<T, 4>&, const Shape<4>&, Index, bool);                        \
  X Tensor<T, 4> avg_pool(const Tensor<T, 4>&, const PoolOptions&);                                                    \
  X Tensor<T, 4> avg_pool_backward(const Tensor<T, 4>&, const Shape<4>&, const PoolOptions&);                          \
  X MaxPoolResult<T> max_pool(const Tensor<T, 4>&, const PoolOptions&);                                                \
  X Tensor<T, 4> max_pool_backward(const Tensor<T, 4>&, const Tensor<Index, 4>&, const Shape<4>&);

#define INKLING_EMBEDDINGS(X, T)                                                                                       \
  X Tensor<T, 3> embedding(const Tensor<T, 2>&, const Tensor<std::int64_t, 2>&);                                       \
  X Tensor<T, 2> embedding_backward(const Tensor<T, 3>&, const Tensor<std::int64_t, 2>&, const Shape<2>&);             \
  X Tensor<T, 2> timestep_embedding(const Tensor<T, 1>&, Index, TimestepEmbedding, double);

#define INKLING_ELEMENTWISE(X, T)                                                                                      \
  INKLING_ELEMENTWISE_OF(X, T, 2) INKLING_ELEMENTWISE_OF(X, T, 3) INKLING_ELEMENTWISE_OF(X, T, 4)                      \
  INKLING_BROADCAST(X, T, 2, 1) INKLING_BROADCAST(X, T, 3, 1) INKLING_BROADCAST(X, T, 3, 2)                            \
  INKLING_BROADCAST(X, T, 4, 3) INKLING_BROADCAST(X, T, 4, 4)                                                          \
  INKLING_ARITHMETIC_OF(X, T, 0)
#define INKLING_ARITHMETIC_OF(X, T, N)                                                                                 \
  X Tensor<T, N> activation(Activation, const Tensor<T, N>&);                                                          \
  X Tensor<T, N> activation_backward(Activation, const Tensor<T, N>&, const Tensor<T, N>&);                            \
  X Tensor<T, N> binary(Binary, const Tensor<T, N>&, const Tensor<T, N>&);                                             \
  X void accumulate(Tensor<T, N>&, const Tensor<T, N>&);                                                               \
  X Tensor<T, N> scale(const Tensor<T, N>&, T);
#define INKLING_ELEMENTWISE_OF(X, T, N)                                                                                \
  INKLING_ARITHMETIC_OF(X, T, N)                                                                                       \
  X Tensor<T, N> geglu(const Tensor<T, N>&);                                                                           \
  X Tensor<T, N> geglu_backward(const Tensor<T, N>&, const Tensor<T, N>&);                                             \
  X Tensor<T, N> softmax(const Tensor<T, N>&, Index);                                                                  \
  X Tensor<T, N> softmax_backward(const Tensor<T, N>&, const Tensor<T, N>&, Index);                                    \
  X Tensor<T, N> log_softmax(const Tensor<T, N>&, Index);                                                              \
  X Tensor<T, N> log_softmax_backward(const Tensor<T, N>&, const Tensor<T, N>&, Index);                                \
  X Tensor<T, N - 1> sum<T, N>(const Tensor<T, N>&, Index);                                                            \
  X Tensor<T, N> sum_backward<T, N>(const Tensor<T, N - 1>&, const Shape<N>&, Index);                                  \
  X Tensor<T, N - 1> mean<T, N>(const Tensor<T, N>&, Index);                                                           \
  X Tensor<T, N> mean_backward<T, N>(const Tensor<T, N - 1>&, const Shape<N>&, Index);                                 \
  X Tensor<T, N> concat(const Tensor<T, N>&, const Tensor<T, N>&, Index);                                              \
  X Tensor<T, N> slice(const Tensor<T, N>&, Index, Index, Index);                                                      \
  X Tensor<T, N> slice_backward(const Tensor<T, N>&, const Shape<N>&, Index, Index);                                   \
  X Tensor<T, N> permute(const Tensor<T, N>&, const std::array<std::size_t, N>&);                                      \
  X Tensor<T, N> normalize_l2(const Tensor<T, N>&);                                                                    \
  X Tensor<T, N> normalize_l2_backward(const Tensor<T, N>&, const Tensor<T, N>&);
#define INKLING_BROADCAST(X, T, N, M)                                                                                  \
  X Tensor<T, N> binary_broadcast(Binary, const Tensor<T, N>&, const Tensor<T, M>&);                                   \
  X BroadcastGradients<T, N, M> binary_broadcast_backward(Binary, const Tensor<T, N>&, const Tensor<T, N>&,            \
                                                          const Tensor<T, M>&);

#define INKLING_LOSSES(X, T)                                                                                           \
  X Tensor<T, 1> kl_diagonal_gaussian(const Tensor<T, 4>&);                                                            \
  X Tensor<T, 4> kl_diagonal_gaussian_backward(const Tensor<T, 1>&, const Tensor<T, 4>&);                              \
  INKLING_LOSSES_OF(X, T, 2) INKLING_LOSSES_OF(X, T, 3) INKLING_LOSSES_OF(X, T, 4)                                     \
  INKLING_CROSS_ENTROPY(X, T, 2) INKLING_CROSS_ENTROPY(X, T, 4)
#define INKLING_LOSSES_OF(X, T, N)                                                                                     \
  X Tensor<T, 0> mse(const Tensor<T, N>&, const Tensor<T, N>&);                                                        \
  X Tensor<T, N> mse_backward(T, const Tensor<T, N>&, const Tensor<T, N>&);                                            \
  X Tensor<T, 0> l1(const Tensor<T, N>&, const Tensor<T, N>&);                                                         \
  X Tensor<T, N> l1_backward(T, const Tensor<T, N>&, const Tensor<T, N>&);                                             \
  X Tensor<T, 0> huber(const Tensor<T, N>&, const Tensor<T, N>&, T);                                                   \
  X Tensor<T, N> huber_backward(T, const Tensor<T, N>&, const Tensor<T, N>&, T);                                       \
  X Tensor<T, 0> smooth_l1(const Tensor<T, N>&, const Tensor<T, N>&, T);                                               \
  X Tensor<T, N> smooth_l1_backward(T, const Tensor<T, N>&, const Tensor<T, N>&, T);                                   \
  X Tensor<T, 0> bce_with_logits(const Tensor<T, N>&, const Tensor<T, N>&);                                            \
  X Tensor<T, N> bce_with_logits_backward(T, const Tensor<T, N>&, const Tensor<T, N>&);
#define INKLING_CROSS_ENTROPY(X, T, N)                                                                                 \
  X Tensor<T, 0> cross_entropy<T, N>(const Tensor<T, N>&, const Tensor<std::int64_t, N - 1>&, T);                      \
  X Tensor<T, N> cross_entropy_backward<T, N>(T, const Tensor<T, N>&, const Tensor<std::int64_t, N - 1>&, T);

// Layers with packed weights, which hold float: what all ranks share, and the layers themselves.
#define INKLING_PACKED_LAYERS(X)                                                                                       \
  X void conv2d_into(const Tensor<float, 4>&, const PackedWeight&, const Shape<4>&, const Conv2dOptions&,              \
                     const PackedEpilogue&, Tensor<float, 4>&);                                                        \
  X RowFunction<float> row_function(Activation);                                                                       \
  INKLING_PACKED_TYPE(X, f32) INKLING_PACKED_TYPE(X, f16) INKLING_PACKED_TYPE(X, bf16) INKLING_PACKED_TYPE(X, q8)
#define INKLING_PACKED_TYPE(X, type)                                                                                   \
  X void packed_linear<WeightType::type>(Index, const float*, const PackedWeight&, const PackedEpilogue&, float*);     \
  X void packed_geglu<WeightType::type>(Index, const float*, const PackedWeight&, const float*, float*);
#define INKLING_PACKED_STORAGE(X)                                                                                      \
  INKLING_PACKED_STORED(X, f32) INKLING_PACKED_STORED(X, f16) INKLING_PACKED_STORED(X, bf16)                           \
  INKLING_PACKED_STORED(X, q8)
#define INKLING_PACKED_STORED(X, type)                                                                                 \
  X void PackedWeight::pack_as<WeightType::type>(const void*, std::size_t, void (*)(const void*, Index, float*));      \
  X void PackedWeight::unpack_as<WeightType::type>(float*) const;

// All of them, for what differs between the two namespaces: see above.
#define INKLING_KERNELS(X, T)                                                                                          \
  INKLING_CONVOLUTIONS(X, T)                                                                                           \
  INKLING_PRODUCTS(X, T)                                                                                               \
  INKLING_ATTENTIONS(X, T)                                                                                             \
  INKLING_NORMS(X, T)                                                                                                  \
  INKLING_RESAMPLING(X, T)                                                                                             \
  INKLING_EMBEDDINGS(X, T)                                                                                             \
  INKLING_ELEMENTWISE(X, T)                                                                                            \
  INKLING_LOSSES(X, T)

#ifdef INKLING_COMPILED_KERNELS
namespace inkling::kernels {

// Library and program must be compiled for the same vectors (-march), and both with OpenMP or both without. So a
// program asks the library for a function whose name tells what it has: where they differ, linking fails and says so.
template <Index vector_bytes, bool bfloat16_products, bool openmp>
int library_compiled_with_the_same_march_and_openmp();
#ifdef INKLING_BF16_DOT
inline constexpr bool compiled_bfloat16_products = true;
#else
inline constexpr bool compiled_bfloat16_products = false;
#endif
#ifdef _OPENMP
inline constexpr bool compiled_openmp = true;
#else
inline constexpr bool compiled_openmp = false;
#endif
#define INKLING_COMPILED_ALIKE                                                                                         \
  library_compiled_with_the_same_march_and_openmp<4 * fast::width<float>, compiled_bfloat16_products, compiled_openmp>()
inline const int compiled_alike = INKLING_COMPILED_ALIKE;

namespace reference {
INKLING_KERNELS(extern template, float)
INKLING_KERNELS(extern template, double)
INKLING_ATTENTION_BF16(extern template, float)
INKLING_ATTENTION_BF16(extern template, double)
}  // namespace reference
namespace fast {
INKLING_KERNELS(extern template, float)
INKLING_KERNELS(extern template, double)
INKLING_ATTENTION_BF16(extern template, float)
INKLING_PACKED_LAYERS(extern template)
}  // namespace fast
INKLING_PACKED_STORAGE(extern template)
}  // namespace inkling::kernels
#endif
