// Loops over arrays, a vector register at a time and on several threads.
//
// The loop bodies are lambdas on Vec<T>: a register of several T, or one T where the processor has no such registers,
// so that every kernel is written once. Two rules keep results independent of the number of threads: an element's value
// depends on that element alone (the last, incomplete register is computed with the same formula as the others),
// and sums are cut into pieces whose size is a constant.
#pragma once
#include "inkling/core/intrinsics.hpp"  // first

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "inkling/core/parallel.hpp"
#include "inkling/kernels/fast/simd.hpp"

namespace inkling::kernels::fast {

// What the loop bodies call, for registers V and for plain numbers. The functions of <cmath> are called unqualified
// after `using std::exp`: a register's own exp is then found by its type.
template <class V>
V constant(double value) {
  if constexpr (std::is_floating_point_v<V>)
    return static_cast<V>(value);
  else
    return V(static_cast<typename V::value_type>(value));
}
template <class V>
V select_if(const decltype(V() < V())& condition, const V& yes, const V& no) {
  if constexpr (std::is_floating_point_v<V>)
    return condition ? yes : no;
  else
    return select(condition, yes, no);
}
template <class V>
V minimum(const V& a, const V& b) {
  return select_if<V>(b < a, b, a);  // a where either is NaN
}
template <class V>
V maximum(const V& a, const V& b) {
  return select_if<V>(b > a, b, a);
}

// log(x) and log(1 + x). xsimd 8's do not compile for AVX-512 in a build without optimisation (they pass a constant to
// an instruction that takes only literals there), so a debugger's build goes through the lanes one by one.
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__OPTIMIZE__)
template <class V, class F>
V each_lane(V v, const F& f) {
  if constexpr (std::is_floating_point_v<V>) {
    return f(v);
  } else {
    std::array<typename V::value_type, sizeof(V) / sizeof(typename V::value_type)> lane;
    v.store_unaligned(lane.data());
    for (auto& x : lane) x = f(x);
    return V::load_unaligned(lane.data());
  }
}
template <class V>
V log_of(const V& v) {
  return each_lane(v, [](auto x) { return std::log(x); });
}
template <class V>
V log1p_of(const V& v) {
  return each_lane(v, [](auto x) { return std::log1p(x); });
}
#else
template <class V>
V log_of(const V& v) {
  using std::log;
  return log(v);
}
template <class V>
V log1p_of(const V& v) {
  using std::log1p;
  return log1p(v);
}
#endif

// The register's lanes added up, always in the same order.
template <class T>
double lane_sum(const Vec<T>& v) {
  if constexpr (width<T> == 1)
    return static_cast<double>(v);
  else if constexpr (requires { reduce_add(v); })
    return static_cast<double>(reduce_add(v));  // xsimd 9 and later
  else
    return static_cast<double>(hadd(v));
}

// One register from p[0..count), count < width: what is missing is zero.
template <class T>
Vec<T> load_part(const T* p, Index count) {
  alignas(64) std::array<T, static_cast<std::size_t>(width<T>)> lane{};
  std::copy_n(p, count, lane.begin());
  return load(lane.data());
}
template <class T>
void store_part(T* p, const Vec<T>& v, Index count) {
  alignas(64) std::array<T, static_cast<std::size_t>(width<T>)> lane;
  store(lane.data(), v);
  std::copy_n(lane.begin(), count, p);
}

// out[i] = f(in[i]...) on this thread. `out` may be one of the inputs.
template <class T, class F, class... In>
void map(Index n, T* out, const F& f, const In*... in) {
  Index i = 0;
  for (; i + width<T> <= n; i += width<T>) store(out + i, f(load(in + i)...));
  if (i < n) store_part<T>(out + i, f(load_part(in + i, n - i)...), n - i);
}

// first[i], second[i] = f(in[i]...) for an f that returns both.
template <class T, class F, class... In>
void map_pair(Index n, T* first, T* second, const F& f, const In*... in) {
  Index i = 0;
  for (; i + width<T> <= n; i += width<T>) {
    const std::array<Vec<T>, 2> y = f(load(in + i)...);
    store(first + i, y[0]);
    store(second + i, y[1]);
  }
  if (i == n) return;
  const std::array<Vec<T>, 2> y = f(load_part(in + i, n - i)...);
  store_part<T>(first + i, y[0], n - i);
  store_part<T>(second + i, y[1], n - i);
}

// map on several threads. `work` is the cost of one element in multiply-adds.
inline constexpr Index piece_size = 16384;
template <class T, class F, class... In>
void parallel_map(Index n, Index work, T* out, const F& f, const In*... in) {
  parallel_for((n + piece_size - 1) / piece_size, piece_size * work, [&](Index p) {
    const Index begin = p * piece_size;
    map(std::min(piece_size, n - begin), out + begin, f, (in + begin)...);
  });
}

// Several arrays cut into one list of pieces: a single parallel loop for all of them.
struct Piece {
  std::size_t array;
  Index begin, count;
};
inline std::vector<Piece> pieces_of(const std::vector<Index>& sizes, Index most) {
  std::vector<Piece> pieces;
  for (std::size_t a = 0; a < sizes.size(); ++a)
    for (Index begin = 0; begin < sizes[a]; begin += most)
      pieces.push_back({a, begin, std::min(most, sizes[a] - begin)});
  return pieces;
}

// sum_i f(in[i]...) for K functions at once (f returns std::array<Vec<T>, K>), on this thread. Inside a block of a
// few hundred elements a lane adds 16 values in T, the blocks are added in double: so the error of a float sum does
// not grow with its length.
template <class T, std::size_t K, class F, class... In>
std::array<double, K> sums(Index n, const F& f, const In*... in) {
  using Terms = std::array<Vec<T>, K>;
  constexpr Index step = 4 * width<T>, block = 16 * step;
  const auto each_k = [](auto&& body) {  // unrolled by hand: g++ keeps arrays that a loop indexes in memory
    [&]<std::size_t... k>(std::index_sequence<k...>) { (body(k), ...); }(std::make_index_sequence<K>());
  };
  const auto add = [&](Terms& to, const Terms& v) { each_k([&](std::size_t k) { to[k] = to[k] + v[k]; }); };
  std::array<double, K> total{};
  for (Index begin = 0; begin < n; begin += block) {
    const Index end = std::min(n, begin + block);
    Terms a, b, c, d;  // four chains of additions hide the latency of one
    each_k([&](std::size_t k) { a[k] = b[k] = c[k] = d[k] = constant<Vec<T>>(0); });
    Index i = begin;
    for (; i + step <= end; i += step) {
      add(a, f(load(in + i)...));
      add(b, f(load(in + i + width<T>)...));
      add(c, f(load(in + i + 2 * width<T>)...));
      add(d, f(load(in + i + 3 * width<T>)...));
    }
    for (; i + width<T> <= end; i += width<T>) add(a, f(load(in + i)...));
    each_k([&](std::size_t k) { total[k] += lane_sum<T>((a[k] + b[k]) + (c[k] + d[k])); });
    if (i < end) {  // the last, incomplete register; f need not be zero at zero, so only its first lanes count
      const Terms v = f(load_part(in + i, end - i)...);
      for (std::size_t k = 0; k < K; ++k) {
        alignas(64) std::array<T, static_cast<std::size_t>(width<T>)> lane;
        store(lane.data(), v[k]);
        for (Index j = 0; j < end - i; ++j) total[k] += static_cast<double>(lane[static_cast<std::size_t>(j)]);
      }
    }
  }
  return total;
}
template <class T, class F, class... In>
double sum_of(Index n, const F& f, const In*... in) {
  return sums<T, 1>(n, [&](const auto&... v) { return std::array<Vec<T>, 1>{f(v...)}; }, in...)[0];
}

// The same on several threads: the pieces' sums are added in order.
template <class T, class F, class... In>
double parallel_sum(Index n, Index work, const F& f, const In*... in) {
  std::vector<double> piece(static_cast<std::size_t>((n + piece_size - 1) / piece_size));
  parallel_for(static_cast<Index>(piece.size()), piece_size * work, [&](Index p) {
    const Index begin = p * piece_size;
    piece[static_cast<std::size_t>(p)] = sum_of<T>(std::min(piece_size, n - begin), f, (in + begin)...);
  });
  double total = 0;
  for (double s : piece) total += s;
  return total;
}

// out[i] = sum over the rows r of x[r, i], added in double, row after row; threads share the columns.
// For few rows: it jumps through memory. x [rows, columns] -> out [columns]
template <class T>
void add_rows(Index rows, Index columns, const T* x, T* out) {
  constexpr Index block = 64;
  parallel_for((columns + block - 1) / block, rows * block, [&](Index b) {
    const Index begin = b * block, count = std::min(block, columns - begin);
    std::array<double, block> sum{};
    for (Index r = 0; r < rows; ++r)
      for (Index i = 0; i < count; ++i) sum[static_cast<std::size_t>(i)] += static_cast<double>(x[r * columns + begin + i]);
    for (Index i = 0; i < count; ++i) out[begin + i] = static_cast<T>(sum[static_cast<std::size_t>(i)]);
  });
}

// The same for any number of rows: add_row(r, begin, count, to) adds columns begin..begin+count-1 of row r to `to`.
// Pieces of 32 rows are added in T, as they lie in memory, and then with each other in double.
template <class T, class AddRow>
void sum_rows(Index rows, Index columns, T* out, const AddRow& add_row) {
  constexpr Index piece = 32, block = 4096;
  const Index pieces = (rows + piece - 1) / piece, blocks = (columns + block - 1) / block;
  std::vector<T> partial(static_cast<std::size_t>(pieces * columns));
  parallel_for(pieces * blocks, 2 * piece * std::min(block, columns), [&](Index i) {
    const Index p = i / blocks, begin = i % blocks * block, count = std::min(block, columns - begin);
    for (Index r = p * piece; r < std::min(rows, (p + 1) * piece); ++r)
      add_row(r, begin, count, partial.data() + p * columns + begin);
  });
  add_rows(pieces, columns, partial.data(), out);
}

// max_i x[i]; -infinity when there is none. NaN may or may not show here.
template <class T>
T max_of(Index n, const T* x) {
  Vec<T> best = constant<Vec<T>>(-std::numeric_limits<double>::infinity());
  Index i = 0;
  for (; i + width<T> <= n; i += width<T>) best = maximum(load(x + i), best);
  alignas(64) std::array<T, static_cast<std::size_t>(width<T>)> lane;
  store(lane.data(), best);
  T m = *std::max_element(lane.begin(), lane.end());
  for (; i < n; ++i) m = std::max(m, x[i]);
  return m;
}

// Mean and sum of squared deviations of n numbers.
struct Moments {
  double count = 0, mean = 0, m2 = 0;

  // Chan, Golub & LeVeque, "Algorithms for computing the sample variance" (1983), eq. 2.1:
  //   delta = mean_B - mean_A,  mean = mean_A + delta n_B / n,  M2 = M2_A + M2_B + delta^2 n_A n_B / n
  void add(const Moments& b) {
    const double n = count + b.count, delta = b.mean - mean;
    if (n == 0) return;
    mean += delta * b.count / n;
    m2 += b.m2 + delta * delta * count * b.count / n;
    count = n;
  }
};
// One pass over memory: each block is read a second time while it is still in the first-level cache.
template <class T>
Moments moments_of(Index n, const T* x) {
  constexpr Index block = 1024;
  Moments all;
  for (Index begin = 0; begin < n; begin += block) {
    const Index size = std::min(block, n - begin);
    const double count = static_cast<double>(size);
    const T c = static_cast<T>(sum_of<T>(size, [](const auto& v) { return v; }, x + begin) / count);
    // c is the mean up to rounding; the corrected two-pass algorithm (same paper, eq. 1.7) takes the rest out:
    //   M2 = sum (x - c)^2 - (sum (x - c))^2 / n
    const auto [d, d2] = sums<T, 2>(
        size,
        [&](const auto& v) {
          const Vec<T> difference = v - Vec<T>(c);
          return std::array<Vec<T>, 2>{difference, difference * difference};
        },
        x + begin);
    all.add({count, static_cast<double>(c) + d / count, std::max(0.0, d2 - d * d / count)});
  }
  return all;
}

}  // namespace inkling::kernels::fast
