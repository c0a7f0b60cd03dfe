// The running softmax under attention: scores become weights while they are still in registers.
#pragma once
#include "inkling/kernels/fast/attention_units.hpp"  // first

namespace inkling::kernels::fast::attention_detail {

// Tiles of scores s become weights p = 2^s, and their sums over the keys are added to l. Sums of products begin with
// -m where a key is visible and with -infinity where it is not: all rows alike, or each with its own.
template <class Unit, Index Vectors, bool EachRow>
struct Weights {
  using T = Sum<Unit>;
  static constexpr Index granule = Arithmetic<Unit>::numbers, W = width<T>, step = Vectors * W;

  const T* begin;
  Unit* out;
  T* l;

  INKLING_INLINE Vec<T> start(Index row, Index v) const { return load(begin + (EachRow ? row * step : 0) + v * W); }
  template <std::size_t... I>
  INKLING_INLINE void finish(const Vec<T>* sum, std::index_sequence<I...>) const {
    finish(sum, std::make_index_sequence<static_cast<std::size_t>(Vectors)>{},
           std::make_index_sequence<sizeof...(I) / static_cast<std::size_t>(granule)>{});
  }
  void next(Index rows) {
    if (EachRow) begin += rows * step;
    out += rows / granule * step;
  }

 private:
  // Each is stored as soon as it is there: stores all at once would hold up the next tile.
  INKLING_INLINE void store_weights(const Vec<T>* sum, std::size_t i, Vec<T>* total) const {
    constexpr auto V = static_cast<std::size_t>(Vectors);
    Unit* at = out + static_cast<Index>(i) * W;
    if constexpr (granule == 1) {
      const Vec<T> p = weight<Unit>(sum[i]);
      total[i % V] = total[i % V] + p;
      put(p, at);
    } else {
      const std::size_t first = 2 * (i / V) * V + i % V;
      const Vec<T> low = weight<Unit>(sum[first]), high = weight<Unit>(sum[first + V]);
      total[i % V] = total[i % V] + low + high;
      put(low, high, at);
    }
  }
  template <std::size_t... v, std::size_t... Out>
  INKLING_INLINE void finish(const Vec<T>* sum, std::index_sequence<v...>, std::index_sequence<Out...>) const {
    Vec<T> total[] = {load(l + static_cast<Index>(v) * W)...};
    (store_weights(sum, Out, total), ...);
    (store(l + static_cast<Index>(v) * W, total[v]), ...);
  }
};

// The running softmax of a block of queries over the keys seen so far. Scores and maximum count in base 2.
template <class Unit>
struct RunningSoftmax {
  using T = Sum<Unit>;
  T *m, *l;  // [lanes]: maximum, and sum over keys of  2^(s - m)
  T* y;      // [dv, lanes]: sum over keys of  2^(s - m) v

  // Weights of the keys from..columns-1 of a block with the maximum of those before, l += their sum. A new maximum does
  // no harm as long as nothing overflows: false if a sum got too large, and then only p has changed.
  template <Index V, class Keys>
  bool keep_maximum(const Keys& head, const QueryBlock& i, Index j0, Index from, Index columns, LeftRows<Unit> k,
                    const Unit* q, Index units, Unit* p, T* scratch) {
    constexpr Index numbers = Arithmetic<Unit>::numbers, W = width<T>;
    alignas(64) T first[V * W], sum[V * W];
    for (Index v = 0; v < V; ++v) {
      store(first + v * W, shift(load(m + v * W)));
      store(sum + v * W, Vec<T>(T(0)));
    }
    const Index padded = (columns + numbers - 1) / numbers * numbers;
    Unit* out = p + from / numbers * i.lanes;
    k.p += from * k.stride;
    if (padded > columns || (head.causal && j0 + columns > i.begin + 1)) {
      for (Index j = from; j < padded; ++j) {
        T* row = scratch + j * i.lanes;
        std::copy_n(first, V * W, row);
        const Index hidden = j >= columns ? i.lanes : head.causal ? std::min(i.lanes, j0 + j - i.begin) : 0;
        if (hidden > 0) std::fill_n(row, hidden, -std::numeric_limits<T>::infinity());
      }
      const Weights<Unit, V, true> weights{scratch + from * i.lanes, out, sum};
      multiply_rows<V>(padded - from, units, k, q, i.lanes, weights);
    } else {
      multiply_rows<V>(padded - from, units, k, q, i.lanes, Weights<Unit, V, false>{first, out, sum});
    }
    bool fits = true;
    for (Index v = 0; v < V; ++v) fits = fits && below(load(sum + v * W), most);
    if (fits)
      for (Index v = 0; v < V; ++v) store(l + v * W, load(l + v * W) + load(sum + v * W));
    return fits;
  }

  // The same from scores s [columns, lanes] with a new maximum m' = max(m, max s), rounded up to a whole number: then
  // l and y are multiplied by a power of two, 2^(m - m'), and weights round to the same bfloat16 whatever m is.
  template <Index V>
  void new_maximum(Index columns, const T* s, Unit* p, bool first, Index value_width) {
    new_maximum(columns, s, p, first, value_width, std::make_index_sequence<static_cast<std::size_t>(V)>{});
  }

 private:
  static constexpr T most = static_cast<T>(std::uint64_t{1} << 60);

  static Vec<T> shift(const Vec<T>& top) {
    const Vec<T> nothing(-std::numeric_limits<T>::infinity()), zero(T(0));
    return select_if<Vec<T>>(top > nothing, zero - top, zero);  // 0 where no key has been visible yet
  }
  static bool below(const Vec<T>& x, T limit) {  // false for NaN
    if constexpr (width<T> == 1) return x < limit;
    else return all(x < Vec<T>(limit));
  }
  static void multiply_by(const Vec<T>& factor, T* x) { store(x, load(x) * factor); }
  template <std::size_t... v>
  void new_maximum(Index columns, const T* s, Unit* p, bool first, Index value_width, std::index_sequence<v...>) {
    constexpr Index V = static_cast<Index>(sizeof...(v)), W = width<T>, step = V * W;
    constexpr Index numbers = Arithmetic<Unit>::numbers;
    const Vec<T> nothing(-std::numeric_limits<T>::infinity()), zero(T(0));
    Vec<T> top[] = {(first ? nothing : load(m + static_cast<Index>(v) * W))...};
    for (Index j = 0; j < columns; ++j)
      ((top[v] = maximum<Vec<T>>(load(s + j * step + static_cast<Index>(v) * W), top[v])), ...);
    using std::ceil;
    ((top[v] = ceil(top[v])), ...);
    const Vec<T> minus[] = {shift(top[v])...};
    if (!first) {
      const Vec<T> fade[] = {power_of_two<T>(load(m + static_cast<Index>(v) * W) + minus[v])...};
      (multiply_by(fade[v], l + static_cast<Index>(v) * W), ...);
      for (Index c = 0; c < value_width; ++c)
        (multiply_by(fade[v], y + c * step + static_cast<Index>(v) * W), ...);
    }
    (store(m + static_cast<Index>(v) * W, top[v]), ...);
    Vec<T> sum[] = {(void(v), zero)...};
    for (Index j = 0; j < columns; j += numbers) {
      const auto weight_at = [&](Index row, std::size_t i) {
        return row < columns ? weight<Unit>(load(s + row * step + static_cast<Index>(i) * W) + minus[i]) : zero;
      };
      const Vec<T> low[] = {weight_at(j, v)...};
      ((sum[v] = sum[v] + low[v]), ...);
      if constexpr (numbers == 1) {
        (put(low[v], p + j * step + static_cast<Index>(v) * W), ...);
      } else {
        const Vec<T> high[] = {weight_at(j + 1, v)...};
        ((sum[v] = sum[v] + high[v]), ...);
        (put(low[v], high[v], p + j / numbers * step + static_cast<Index>(v) * W), ...);
      }
    }
    if (first) (store(l + static_cast<Index>(v) * W, sum[v]), ...);
    else (store(l + static_cast<Index>(v) * W, load(l + static_cast<Index>(v) * W) + sum[v]), ...);
  }
};

}  // namespace inkling::kernels::fast::attention_detail
