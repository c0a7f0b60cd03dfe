// Tensor::xt(): a tensor seen by xtensor, for numpy-like expressions and views:
//   Tensor<float, 2> y(xt::exp(x.xt()));     z.xt() = x.xt() * 2.f + y.xt();
#pragma once
#include "inkling/core/intrinsics.hpp"  // first

#include <memory>
#include <type_traits>
#if __has_include(<xtensor/containers/xtensor.hpp>)
#include <xtensor/containers/xtensor.hpp>  // from xtensor 0.26 on
#else
#include <xtensor/xtensor.hpp>
#endif

#include "inkling/core/tensor.hpp"

namespace inkling {

// A tensor's memory as xtensor sees it, valid as long as the tensor. As in numpy's x[...] = y, what is assigned is
// broadcast to the shape that is there, or refused (xt::broadcast_error); a container would take on the other shape.
template <class T>
using XtBuffer = xt::xbuffer_adaptor<T*, xt::no_ownership, std::allocator<std::remove_const_t<T>>>;
template <class T, std::size_t N>
using XtView = xt::xtensor_view<XtBuffer<T>, N, xt::layout_type::dynamic>;

namespace detail {
template <class T, std::size_t N>
XtView<T, N> xt_over(T* data, const Shape<N>& shape) {
  typename XtView<T, N>::shape_type xt_shape{};
  typename XtView<T, N>::strides_type strides{};
  Index size = 1;
  for (std::size_t d = N; d-- > 0; size *= shape[d]) {
    xt_shape[d] = static_cast<std::size_t>(shape[d]);
    strides[d] = shape[d] == 1 ? 0 : size;  // xtensor: 0 for 1
  }
  return {XtBuffer<T>(data, static_cast<std::size_t>(size)), xt_shape, strides};
}
}  // namespace detail

// What x.xt() calls.
template <class T, std::size_t N>
XtView<T, N> xt_door(Tensor<T, N>& x) {
  return detail::xt_over<T, N>(x.data(), x.shape());
}
template <class T, std::size_t N>
XtView<const T, N> xt_door(const Tensor<T, N>& x) {
  return detail::xt_over<const T, N>(x.data(), x.shape());
}

// What Tensor's constructor from an expression calls. Throws ShapeError unless the expression has N dimensions (xtensor
// would broadcast it).
template <class T, std::size_t N, class E>
Tensor<T, N> evaluated(std::type_identity<Tensor<T, N>>, const xt::xexpression<E>& expression) {
  const auto& e = expression.derived_cast();
  if (e.dimension() != N)
    throw ShapeError("Tensor from expression", std::to_string(N) + " dimensions", std::to_string(e.dimension()));
  Shape<N> shape{};
  for (std::size_t d = 0; d < N; ++d) shape[d] = static_cast<Index>(e.shape()[d]);
  Tensor<T, N> out(shape, uninitialized);
  XtView<T, N> view = out.xt();
  xt::assign_xexpression(view, expression);
  return out;
}

}  // namespace inkling
