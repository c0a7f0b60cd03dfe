// What the products of attention are made of: numbers as they are, or rounded to bfloat16, in pairs where the processor
// multiplies pairs (dot_product.hpp) and as floats where it does not.
#pragma once
#include "inkling/kernels/fast/attention_tiles.hpp"  // first

#include "inkling/kernels/fast/dot_product.hpp"

namespace inkling::kernels::fast {

// A float that was rounded to bfloat16.
struct Bf16Number {
  float value;
};
template <>
struct Arithmetic<Bf16Number> {
  using Sum = float;
  static constexpr Index numbers = 1, granule = 1;
  INKLING_INLINE static Vec<float> row(const Bf16Number* b) { return load(&b->value); }
  INKLING_INLINE static Vec<float> repeat(const Bf16Number* a) { return Vec<float>(a->value); }
  INKLING_INLINE static Vec<float> multiply_add(const Vec<float>& a, const Vec<float>& b, const Vec<float>& sum) {
    return mul_add<float>(a, b, sum);
  }
};

namespace attention_detail {

#ifdef INKLING_BF16_DOT
using Bf16Unit = Bf16Pair;
#else
using Bf16Unit = Bf16Number;
#endif

inline void round_row(const float* x, Index n, Bf16Number* out) {
  for (Index i = 0; i < n; ++i) out[i].value = inkling::detail::rounded_to_bfloat16(x[i]);
}

// A register of numbers as units, or two registers as pairs.
template <class T>
INKLING_INLINE void put(const std::type_identity_t<Vec<T>>& x, T* out) {
  store(out, x);
}
inline void put(const Vec<float>& x, Bf16Number* out) {
  alignas(64) std::array<float, static_cast<std::size_t>(width<float>)> lane;
  store(lane.data(), x);
  round_row(lane.data(), width<float>, out);
}
#ifdef INKLING_BF16_DOT
INKLING_INLINE void put(const Vec<float>& low, const Vec<float>& high, Bf16Pair* out) { store_pairs(low, high, out); }
#endif

// 2^s, as exact as what it is then multiplied as.
template <class Unit>
INKLING_INLINE Vec<Sum<Unit>> weight(const Vec<Sum<Unit>>& s) {
  if constexpr (std::is_same_v<Unit, Sum<Unit>>) return power_of_two<Unit>(s);
  else return coarse_power_of_two(s);
}

// x [rows, lanes] -> units along the rows: queries as the right operand of products
template <class Unit>
void units_of_rows(Index rows, Index lanes, const Sum<Unit>* x, Unit* out) {
  using T = Sum<Unit>;
  for (Index r = 0; r < rows; r += Arithmetic<Unit>::numbers, out += lanes)
    for (Index i = 0; i < lanes; i += width<T>) {
      const T* at = x + r * lanes + i;
      if constexpr (Arithmetic<Unit>::numbers == 1) put(load(at), out + i);
      else put(load(at), r + 1 < rows ? load(at + lanes) : Vec<T>(T(0)), out + i);
    }
}

// Keys [N, A, S', d'] and values [N, A, S'', dv] of all heads, rounded: units of keys hold neighbours along d, those of
// values neighbours along S; what lacks to whole units is zero. Once for all queries.
class RoundedHeads {
 public:
  using Unit = Bf16Unit;

  RoundedHeads(const AttentionSizes& sizes, const float* k, const float* v) : z_(sizes) {
    constexpr Index piece = 64;
    const Index heads = z_.batch * z_.heads, pieces = (z_.keys + piece - 1) / piece;
    keys_.resize(static_cast<std::size_t>(heads * rows_ * numbers * key_row_));
    values_.resize(static_cast<std::size_t>(heads * rows_ * z_.value_width));
    parallel_for(heads * pieces, piece * (z_.width + z_.value_width), [&](Index t) {
      const Index h = t / pieces, begin = t % pieces * piece, end = std::min(z_.keys, begin + piece);
      const auto row_of = [&](const float* x, Index j, Index width) {
        return x + ((h / z_.heads * z_.keys + j) * z_.heads + h % z_.heads) * width;
      };
      for (Index j = begin; j < end; ++j)
        narrow_key(row_of(k, j, z_.width), z_.width, keys_.data() + (h * rows_ * numbers + j) * key_row_);
      if (z_.keys % numbers != 0 && end == z_.keys)
        std::fill_n(keys_.data() + (h * rows_ * numbers + end) * key_row_, key_row_, Unit{});
      for (Index j = begin; j < end; j += numbers)
        narrow_values(row_of(v, j, z_.value_width), j + 1 < end ? row_of(v, j + 1, z_.value_width) : nullptr,
                      z_.value_width, values_.data() + (h * rows_ + j / numbers) * z_.value_width);
    });
  }
  Index key_row() const { return key_row_; }
  const Unit* keys(Index n, Index a) const {
    return keys_.data() + (n * z_.heads + a) * rows_ * numbers * key_row_;
  }
  const Unit* values(Index n, Index a) const { return values_.data() + (n * z_.heads + a) * rows_ * z_.value_width; }

 private:
  static constexpr Index numbers = Arithmetic<Unit>::numbers;

#ifdef INKLING_BF16_DOT
  static void narrow_key(const float* x, Index n, Unit* out) { narrow_to_pairs(x, n, out); }
  // Two neighbouring rows, or one and zeros.
  static void narrow_values(const float* x, const float* next, Index n, Unit* out) {
    Index c = 0;
    for (; c + width<float> <= n; c += width<float>)
      store_pairs(load(x + c), next ? load(next + c) : Vec<float>(0.0f), out + c);
    for (; c < n; ++c) {
      const float pair[] = {x[c], next ? next[c] : 0.0f};
      narrow_to_pairs(pair, 2, out + c);
    }
  }
#else
  static void narrow_key(const float* x, Index n, Unit* out) { round_row(x, n, out); }
  static void narrow_values(const float* x, const float*, Index n, Unit* out) { round_row(x, n, out); }
#endif

  AttentionSizes z_;
  Index rows_ = (z_.keys + numbers - 1) / numbers;       // of values, in units
  Index key_row_ = (z_.width + numbers - 1) / numbers;  // units of one key
  std::vector<Unit, PoolAllocator<Unit>> keys_, values_;
};

}  // namespace attention_detail

}  // namespace inkling::kernels::fast
