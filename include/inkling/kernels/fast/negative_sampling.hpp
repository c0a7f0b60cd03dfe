// Negative sampling for a batch of samples: first all gradients at the same weights, then all updates.
//
// word2vec.c lets its threads write into the weights of each other ("Hogwild", Recht et al. 2011): what comes out
// depends on who was first, and in C++ it would be undefined. Here a batch has two halves. In the first, every sample
// reads the weights and writes rows of its own. In the second, every row of the two lists belongs to one thread, which
// adds to it in the order of the samples. No thread waits for another inside a half, and no number depends on how many
// there are. What is paid is that the samples of a batch do not see each other's updates; with batches of 256, drawn
// from many places of the text, the analogies show no loss (models/words/README.md).
//
// Rows of a large table come from the memory; which they will be is known from the lists, so they are fetched ahead.
#pragma once
#include "inkling/kernels/fast/exponential.hpp"  // first

#include <algorithm>
#include <array>

#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/sample_lists.hpp"

namespace inkling::kernels::fast {

namespace rows {

template <class T>
INKLING_INLINE void fetch_row([[maybe_unused]] const T* row, [[maybe_unused]] Index D) {
#if defined(__GNUC__)
  for (Index i = 0; i < D; i += static_cast<Index>(64 / sizeof(T))) __builtin_prefetch(row + i);
#endif
}

// K registers of sum_j weight_j table[ids_j, :] from column i on, left in y.
template <class T, std::size_t... k>
INKLING_INLINE void weighted_columns(std::index_sequence<k...>, const T* table, Index D, Index i,
                                     std::span<const std::int32_t> ids, const T* weight, T* y) {
  std::array<Vec<T>, sizeof...(k)> sum{(static_cast<void>(k), constant<Vec<T>>(0))...};
  for (std::size_t j = 0; j < ids.size(); ++j) {
    const T* row = table + ids[j] * D + i;
    const Vec<T> w = constant<Vec<T>>(static_cast<double>(weight[j]));
    ((sum[k] = mul_add<T>(w, load(row + static_cast<Index>(k) * width<T>), sum[k])), ...);
  }
  (store(y + i + static_cast<Index>(k) * width<T>, sum[k]), ...);
}
// y[:] = sum_j weight_j table[ids_j, :]
template <class T>
void weighted_sum_of_rows(const T* table, Index D, std::span<const std::int32_t> ids, const T* weight, T* y) {
  Index i = 0;
  for (; i + 4 * width<T> <= D; i += 4 * width<T>)
    weighted_columns(std::make_index_sequence<4>(), table, D, i, ids, weight, y);
  for (; i + width<T> <= D; i += width<T>) weighted_columns(std::make_index_sequence<1>(), table, D, i, ids, weight, y);
  for (; i < D; ++i) {
    y[i] = 0;
    for (std::size_t j = 0; j < ids.size(); ++j) y[i] += weight[j] * table[ids[j] * D + i];
  }
}

// f[k] = table[ids_k, :] . h for K rows at a time, so that a register of h is loaded once for all of them
template <class T, std::size_t... k>
INKLING_INLINE void dot_rows(std::index_sequence<k...>, const T* table, Index D, const std::int32_t* ids, const T* h,
                             T* f) {
  const std::array<const T*, sizeof...(k)> row{(table + ids[k] * D)...};
  std::array<Vec<T>, sizeof...(k)> sum{(static_cast<void>(k), constant<Vec<T>>(0))...};
  Index i = 0;
  for (; i + width<T> <= D; i += width<T>) {
    const Vec<T> x = load(h + i);
    ((sum[k] = mul_add<T>(x, load(row[k] + i), sum[k])), ...);
  }
  ((f[k] = static_cast<T>(lane_sum<T>(sum[k]))), ...);
  for (; i < D; ++i) ((f[k] += h[i] * row[k][i]), ...);
}

// row[:] += a x[:]
template <class T>
INKLING_INLINE void add_to_row(T* row, Index D, T a, const T* x) {
  const Vec<T> w = constant<Vec<T>>(static_cast<double>(a));
  Index i = 0;
  for (; i + width<T> <= D; i += width<T>) store(row + i, mul_add<T>(w, load(x + i), load(row + i)));
  for (; i < D; ++i) row[i] += a * x[i];
}

// Which of `owners` threads a row belongs to: frequent words, whose numbers are small, are dealt out evenly.
inline std::uint32_t owner_of(std::int32_t row, std::uint32_t owners) {
  const std::uint32_t mixed = static_cast<std::uint32_t>(row) * 2654435769u >> 16;  // 2^32 / golden ratio (Knuth)
  return mixed * owners >> 16;
}

// add(id, s, i) for every entry i of the list that belongs to `owner`, in order; fetch(id) some entries ahead.
template <class Fetch, class Add>
void for_owned(std::span<const std::int32_t> ids, const std::vector<std::int32_t>& begin, std::uint32_t owner,
               std::uint32_t owners, const Fetch& fetch, const Add& add) {
  struct Entry {
    std::int32_t sample, at;
  };
  thread_local std::vector<Entry> mine;
  mine.resize(ids.size() + 1);
  std::size_t count = 0;
  for (std::size_t s = 0; s + 1 < begin.size(); ++s)
    for (std::int32_t i = begin[s]; i < begin[s + 1]; ++i) {  // written always, kept sometimes: no branch to guess
      mine[count] = {static_cast<std::int32_t>(s), i};
      count += owner_of(ids[static_cast<std::size_t>(i)], owners) == owner;
    }
  constexpr std::size_t ahead = 6;
  for (std::size_t n = 0; n < count; ++n) {
    if (n + ahead < count) fetch(ids[static_cast<std::size_t>(mine[n + ahead].at)]);
    add(ids[static_cast<std::size_t>(mine[n].at)], mine[n].sample, mine[n].at);
  }
}

}  // namespace rows

// in, out [V, D] -> h, e [S, D], g [targets]; the loss of each sample [S]
template <class T>
NegativeSampling<T> negative_sampling(const Tensor<T, 2>& in, const Tensor<T, 2>& out, const SampleLists& samples,
                                      std::type_identity_t<T> rate) {
  const Index S = require_samples(in.shape(), out.shape(), samples), D = in.shape(1);
  NegativeSampling<T> r(S, D, static_cast<Index>(samples.targets.size()), uninitialized);
  constexpr Index group = 16;  // samples a thread takes at a time
  parallel_for((S + group - 1) / group, group * D * 50, [&](Index task) {
    const Index end = std::min(S, (task + 1) * group);
    std::vector<T> f, weight, factor;
    for (Index s = task * group; s < end; ++s) {
      if (s + 1 < end) {
        for (const auto id : samples.inputs_of(s + 1)) rows::fetch_row(in.data() + id * D, D);
        for (const auto id : samples.targets_of(s + 1)) rows::fetch_row(out.data() + id * D, D);
      }
      const auto inputs = samples.inputs_of(s), targets = samples.targets_of(s);
      T* const h = r.h.data() + s * D;
      weight.assign(inputs.size(), T(1) / static_cast<T>(inputs.size()));
      rows::weighted_sum_of_rows(in.data(), D, inputs, weight.data(), h);

      const Index K = static_cast<Index>(targets.size());
      const Index padded = (K + width<T> - 1) / width<T> * width<T>;
      f.assign(static_cast<std::size_t>(padded), T(0));
      Index k = 0;
      for (; k + 4 <= K; k += 4)
        rows::dot_rows(std::make_index_sequence<4>(), out.data(), D, targets.data() + k, h, f.data() + k);
      for (; k < K; ++k)
        rows::dot_rows(std::make_index_sequence<1>(), out.data(), D, targets.data() + k, h, f.data() + k);

      // With x = f for the negatives and -f for the target, the loss is log(1 + e^x) and -dL/dx = -1 / (1 + e^-x).
      // log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), and the logarithms are that of the product: one a sample.
      f[0] = -f[0];
      weight.resize(static_cast<std::size_t>(padded));
      factor.resize(static_cast<std::size_t>(padded));
      T* const g = weight.data();
      for (k = 0; k < padded; k += width<T>) {
        using std::abs;
        using V = Vec<T>;
        const V x = load(f.data() + k), zero = constant<V>(0), one = constant<V>(1);
        const V small = exponential<T>(V(zero - abs(x)));  // e^-|x|, which cannot overflow
        store(g + k, V(constant<V>(static_cast<double>(-rate)) * select_if<V>(x > zero, one, small) / (one + small)));
        store(f.data() + k, maximum<V>(x, zero));
        store(factor.data() + k, V(one + small));
      }
      g[0] = -g[0];
      double loss = 0, product = 1;
      for (k = 0; k < K; ++k) {
        loss += static_cast<double>(f[static_cast<std::size_t>(k)]);
        product *= static_cast<double>(factor[static_cast<std::size_t>(k)]);
        if (k % 512 == 511) loss += std::log(product), product = 1;  // below 2^512
      }
      r.loss(s) = static_cast<T>(loss + std::log(product));
      std::copy_n(g, K, r.g.data() + samples.first_target(s));
      rows::weighted_sum_of_rows(out.data(), D, targets, g, r.e.data() + s * D);
    }
  });
  return r;
}

// out_k += g_k h,  in_c += e
template <class T>
void negative_sampling_update(Tensor<T, 2>& in, Tensor<T, 2>& out, const SampleLists& samples,
                              const NegativeSampling<T>& r) {
  const Index S = require_samples(in.shape(), out.shape(), samples), D = in.shape(1);
  require_results(r, S, D, samples);
  const auto owners = static_cast<std::uint32_t>(std::clamp(num_threads(), 1, 256));
  parallel_for(static_cast<Index>(owners), S * D * 20, [&](Index owner) {
    const auto me = static_cast<std::uint32_t>(owner);
    rows::for_owned(
        samples.inputs, samples.input_begin, me, owners,
        [&](std::int32_t id) { rows::fetch_row(in.data() + id * D, D); },
        [&](std::int32_t id, Index s, Index) { rows::add_to_row(in.data() + id * D, D, T(1), r.e.data() + s * D); });
    rows::for_owned(
        samples.targets, samples.target_begin, me, owners,
        [&](std::int32_t id) { rows::fetch_row(out.data() + id * D, D); },
        [&](std::int32_t id, Index s, Index i) {
          rows::add_to_row(out.data() + id * D, D, r.g.data()[i], r.h.data() + s * D);
        });
  });
}

}  // namespace inkling::kernels::fast
