// Weights that never change: a matrix W [Out, K], packed once, kept in the type that suits memory and speed.
//
//   type   bytes a weight   arithmetic                                             relative rounding of a weight
//   f32    4                fp32                                                   none
//   f16    2                fp32; widened while it is used                         2^-11
//   bf16   2                products of two bf16, summed in fp32                   2^-8, of the activations too
//   q8     1.03             products of two 8-bit integers, one scale for 64       1/254 of the largest of 64
#pragma once
#include "inkling/kernels/fast/pack.hpp"  // first

#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "inkling/core/parallel.hpp"
#include "inkling/kernels/checks.hpp"
#include "inkling/kernels/fast/stored_panel.hpp"

namespace inkling::kernels {

using inkling::to_string;  // of shapes: the next line would hide it
inline std::string to_string(WeightType type) {
  switch (type) {
    case WeightType::f32: return "f32";
    case WeightType::f16: return "f16";
    case WeightType::bf16: return "bf16";
    case WeightType::q8: return "q8";
  }
  return "?";
}
inline WeightType weight_type_from_string(std::string_view name) {
  for (WeightType type : {WeightType::f32, WeightType::f16, WeightType::bf16, WeightType::q8})
    if (name == to_string(type)) return type;
  throw ConfigError("weight type", "f32, f16, bf16 or q8", std::string(name));
}

// body(std::integral_constant<WeightType, type>): from a type known at run time to one known to the compiler.
template <class Body>
void with_weight_type(WeightType type, const Body& body) {
  switch (type) {
    case WeightType::f32: return body(std::integral_constant<WeightType, WeightType::f32>{});
    case WeightType::f16: return body(std::integral_constant<WeightType, WeightType::f16>{});
    case WeightType::bf16: return body(std::integral_constant<WeightType, WeightType::bf16>{});
    case WeightType::q8: return body(std::integral_constant<WeightType, WeightType::q8>{});
  }
}

// Copies share the numbers.
class PackedWeight {
 public:
  PackedWeight() = default;
  // W [out, depth], row-major, as float, half or bfloat16. For a convolution depth = C/G * KH * KW.
  template <class T>
  PackedWeight(Index out, Index depth, const T* w, WeightType type, WeightUse use)
      : out_(out), depth_(depth), type_(type), use_(use) {
    checked_size(Shape<2>{out, depth}, "PackedWeight");
    require(use != WeightUse::gated || out % 2 == 0, "PackedWeight", "as many gates as values", std::to_string(out));
    pack(w, sizeof(T), [](const void* from, Index n, float* to) {
      if constexpr (std::is_same_v<T, float>) std::copy_n(static_cast<const float*>(from), n, to);
      else detail::widen(static_cast<const T*>(from), n, to);
    });
  }

  bool empty() const { return !data_; }
  Index out() const { return out_; }
  Index depth() const { return depth_; }
  WeightType type() const { return type_; }
  WeightUse use() const { return use_; }
  // Memory that the numbers take.
  Index bytes() const { return bytes_; }
  // The panels; kernels/fast/stored_panel.hpp tells how they lie.
  const std::byte* data() const { return data_.get(); }

  // w [out, depth]: the numbers as stored. For f32 they are those given, for f16 those given as half.
  void unpack(float* w) const {
    if (data_) with_weight_type(type_, [&](auto type) { unpack_as<decltype(type)::value>(w); });
  }

 private:
  void pack(const void* w, std::size_t size, void (*widen)(const void*, Index, float*)) {
    with_weight_type(type_, [&](auto type) { pack_as<decltype(type)::value>(w, size, widen); });
  }
  template <WeightType stored>
  void pack_as(const void* w, std::size_t size, void (*widen)(const void*, Index, float*));
  template <WeightType stored>
  void unpack_as(float* w) const;

  Index out_ = 0, depth_ = 0, bytes_ = 0;
  WeightType type_ = WeightType::f32;
  WeightUse use_ = WeightUse::linear;
  std::shared_ptr<std::byte> data_;
};

// A piece of a few rows at a time is widened to float, turned into a panel and stored.
template <WeightType stored>
void PackedWeight::pack_as(const void* w, std::size_t size, void (*widen)(const void*, Index, float*)) {
  const fast::StoredLayout<stored> layout(out_, depth_, use_);
  const Index lanes = layout.lanes, step = layout.blocks.step;
  bytes_ = layout.bytes();
  constexpr std::align_val_t line{64};
  data_ = std::shared_ptr<std::byte>(
      static_cast<std::byte*>(::operator new(static_cast<std::size_t>(bytes_), line)),
      [](std::byte* p) { ::operator delete(p, line); });
  ask_for_large_pages(data_.get(), static_cast<std::size_t>(bytes_));
  parallel_for(layout.panels(), lanes * depth_, [&](Index p) {
    float* rows = fast::workspace<float, 4>(2 * lanes * step);
    float* panel = rows + lanes * step;
    for (Index k = 0; k < depth_; k += step) {
      const Index depth = std::min(step, depth_ - k), count = layout.rows(p);
      if (count < lanes) std::fill_n(panel, lanes * depth, 0.0f);
      for (Index i = 0; i < count; ++i)
        widen(static_cast<const std::byte*>(w) +
                  static_cast<std::size_t>((layout.first_row(p) + i) * depth_ + k) * size,
              depth, rows + i * depth);
      fast::transpose(rows, depth, count, depth, panel, lanes);
      fast::StoredPanel<stored>::narrow(panel, lanes, depth, data_.get() + layout.offset(k, p));
    }
  });
}

template <WeightType stored>
void PackedWeight::unpack_as(float* w) const {
  const fast::StoredLayout<stored> layout(out_, depth_, use_);
  const Index lanes = layout.lanes, step = layout.blocks.step;
  parallel_for(layout.panels(), lanes * depth_, [&](Index p) {
    float* panel = fast::workspace<float, 4>(lanes * step);
    for (Index k = 0; k < depth_; k += step) {
      const Index depth = std::min(step, depth_ - k);
      fast::StoredPanel<stored>::widen(data_.get() + layout.offset(k, p), lanes, depth, panel);
      fast::transpose(panel, lanes, depth, layout.rows(p), w + layout.first_row(p) * depth_ + k, depth_);
    }
  });
}

inline void require_use(const PackedWeight& w, WeightUse use, std::string_view where) {
  const auto name = [](WeightUse u) {
    return u == WeightUse::linear ? "linear" : u == WeightUse::gated ? "gated linear" : "convolution";
  };
  if (w.use() != use && !(use == WeightUse::linear && w.use() == WeightUse::gated))  // a gated layer is a linear one
    throw ConfigError(where, std::string("a weight packed for use ") + name(use), name(w.use()));
}
// [Out, ...] with as many numbers as were packed.
template <std::size_t N>
void require_packed_shape(const PackedWeight& w, const Shape<N>& shape, WeightUse use, std::string_view where) {
  require_use(w, use, where);
  require(shape[0] == w.out() && checked_size(shape, where) == w.out() * w.depth(), where,
          to_string(Shape<2>{w.out(), w.depth()}) + " numbers as in the packed weight", to_string(shape));
}

// The numbers as stored, as a tensor: w [Out, ...].
template <std::size_t N>
Tensor<float, N> unpacked(const PackedWeight& w, const Shape<N>& shape, WeightUse use, std::string_view where) {
  require_packed_shape(w, shape, use, where);
  Tensor<float, N> values(shape, uninitialized);
  w.unpack(values.data());
  return values;
}

}  // namespace inkling::kernels
