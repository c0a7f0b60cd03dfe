// The calls to measure: operands made up, the layer as a model has it, its weights packed.
#pragma once
#include "inkling/nn/layers.hpp"  // first: it reads the processor's intrinsics

#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "peaks.hpp"
#include "shapes.hpp"

namespace inkling_bench {

using inkling::Shape;
using inkling::Tensor;
using inkling::Variable;
using inkling::kernels::WeightType;

// The compiler must believe that somebody reads the result, or it may leave out what makes it.
template <class T>
void used(const T& result) {
  asm volatile("" : : "r"(&result) : "memory");
}

// "f32,bf16" as types
inline std::vector<WeightType> parse_types(const std::string& names) {
  std::vector<WeightType> types;
  std::istringstream list(names);
  for (std::string name; std::getline(list, name, ',');)
    types.push_back(inkling::kernels::weight_type_from_string(name));
  return types;
}
// What the arithmetic with weights of this type can reach on this machine: f16 is widened to float.
inline Rate roof_of(WeightType type) {
  const Peaks& p = Peaks::measured();
  if (type == WeightType::bf16 && p.bf16.all > 0) return p.bf16;
  if (type == WeightType::q8 && p.i8.all > 0) return p.i8;
  return p.f32;
}

// Numbers in [-scale, scale): any will do, and these take no time to make.
inline void fill(float* begin, float* end, float scale, std::uint32_t state = 1) {
  for (float* p = begin; p != end; ++p) {
    state = state * 1664525U + 1013904223U;  // Numerical Recipes' generator
    *p = scale * (static_cast<float>(state >> 8) * 0x1p-23F - 1.0F);
  }
}
template <std::size_t N>
Tensor<float, N> filled(const Shape<N>& shape, float scale = 1.0F) {
  Tensor<float, N> t(shape, inkling::uninitialized);
  fill(t.data(), t.data() + t.size(), scale);
  return t;
}
template <std::size_t N>
Variable<float, N> input(const Shape<N>& shape) {
  return Variable<float, N>(filled(shape));
}

// Weights for a whole module: of a size that keeps activations in range (1 / sqrt(inputs)), packed where it can be.
// Without a type they stay tensors, as in training.
template <class Module>
void fill_weights(Module& module, std::optional<WeightType> type) {
  std::uint32_t seed = 1;
  inkling::for_each_parameter(module, [&]<std::size_t N>(const std::string& path, inkling::Parameter<float, N>& p) {
    const bool norm_scale = N == 1 && detail::ends_with(path, "weight");
    const double inputs = static_cast<double>(p.size()) / static_cast<double>(std::max<Index>(1, p.shape()[0]));
    const float scale = N == 1 ? 0.1F : static_cast<float>(1.7 / std::sqrt(inputs));
    Tensor<float, N> numbers(p.shape(), inkling::uninitialized);
    fill(numbers.data(), numbers.data() + numbers.size(), scale, seed += 7919);
    if (norm_scale)
      for (float& v : numbers) v += 1;
    if constexpr (inkling::Parameter<float, N>::has_packed_form)
      if (type && p.packable()) return p.pack(numbers.data(), *type);
    p.value() = std::move(numbers);
  });
}

template <class Function>
std::function<void()> without_gradient(Function f) {
  return [f = std::move(f)] {
    const inkling::NoGrad no_grad;
    used(f());
  };
}
// The forward of a layer with weights of this type, as often as wanted.
template <class Layer, std::size_t N>
std::function<void()> layer_call(Layer layer, std::optional<WeightType> type, const Shape<N>& x_shape) {
  auto shared = std::make_shared<Layer>(std::move(layer));
  fill_weights(*shared, type);
  return without_gradient([shared, x = input(x_shape)] { return shared->forward(x); });
}

// The forward of this work.
inline std::function<void()> forward_call(const Work& w, std::optional<WeightType> type) {
  using namespace inkling;
  const auto [a, b, c, d, e, f] = w.size;
  switch (w.kind) {
    case Kind::conv: return layer_call(Conv2d<float>(b, c, e, same_padding(e, f)), type, Shape<4>{a, b, d, d});
    case Kind::linear: return layer_call(Linear<float>(b, c), type, Shape<3>{1, a, b});
    case Kind::group_norm: return layer_call(GroupNorm<float>(b, d, 1e-5), {}, Shape<4>{a, b, c, c});
    case Kind::norm_silu: {
      const auto norm = std::make_shared<GroupNorm<float>>(b, d, 1e-5);
      fill_weights(*norm, {});
      return without_gradient([norm, x = input(Shape<4>{a, b, c, c})] { return norm_silu(*norm, x); });
    }
    case Kind::layer_norm: return layer_call(LayerNorm<float>(b), {}, Shape<3>{1, a, b});
    case Kind::attention: {
      kernels::AttentionOptions o;
      o.heads = d;
      const bool bf16 = type == WeightType::bf16 || type == WeightType::q8;  // as after layers with such weights
      return without_gradient([o, bf16, q = input(Shape<3>{a, b, d * e}), k = input(Shape<3>{a, c, d * e})] {
        return bf16 ? attention_bf16(q, k, k, o) : attention(q, k, k, o);
      });
    }
    case Kind::silu: return without_gradient([x = input(Shape<4>{a, b, c, c})] { return silu(x); });
    case Kind::gelu:
      return without_gradient([x = input(Shape<3>{1, a, b})] { return activation(Activation::gelu, x); });
    case Kind::geglu: return without_gradient([x = input(Shape<3>{1, a, 2 * b})] { return geglu(x); });
    case Kind::softmax: return without_gradient([x = input(Shape<3>{1, a, b})] { return softmax(x); });
    case Kind::upsample: return without_gradient([x = input(Shape<4>{a, b, c, c})] { return upsample_nearest(x, 2); });
    case Kind::add:
      return without_gradient([x = input(Shape<4>{a, b, c, c}), y = input(Shape<4>{a, b, c, c})] { return add(x, y); });
  }
  return {};
}

enum class Gradient { input, weight };
// What the backward of a convolution, a linear layer or an attention does; the attention's gives all three gradients.
inline std::function<void()> backward_call(const Work& w, Gradient of) {
  using namespace inkling;
  const auto [a, b, c, d, e, f] = w.size;
  if (w.kind == Kind::conv) {
    const auto o = same_padding(e, f);
    const Index side = w.output_side();
    const auto dy = filled(Shape<4>{a, c, side, side});
    if (of == Gradient::input)
      return [o, dy, weight = filled(Shape<4>{c, b, e, e}), x_shape = Shape<4>{a, b, d, d}] {
        used(kernels::conv2d_backward_input(dy, weight, x_shape, o));
      };
    return [o, dy, x = filled(Shape<4>{a, b, d, d}), w_shape = Shape<4>{c, b, e, e}] {
      used(kernels::conv2d_backward_weight(dy, x, w_shape, o));
    };
  }
  if (w.kind == Kind::linear) {
    const auto dy = filled(Shape<2>{a, c});
    if (of == Gradient::input)
      return [dy, weight = filled(Shape<2>{c, b})] {
        used(kernels::linear_backward_input(dy, weight));
      };
    return [dy, x = filled(Shape<2>{a, b})] { used(kernels::linear_backward_weight(dy, x)); };
  }
  kernels::AttentionOptions o;
  o.heads = d;
  const auto q = filled(Shape<3>{a, b, d * e}), k = filled(Shape<3>{a, c, d * e});
  return [o, q, k, y = kernels::attention(q, k, k, o)] {
    used(kernels::attention_backward(q, q, k, k, y, o));
  };
}
// Operations of that: for an attention five products of L x S x d instead of two, as p is computed again.
inline double backward_flops(const Work& w) { return w.kind == Kind::attention ? 2.5 * w.flops() : w.flops(); }

}  // namespace inkling_bench
