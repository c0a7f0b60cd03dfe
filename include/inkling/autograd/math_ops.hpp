// The operations without weights: arithmetic, activations, and everything that moves elements about.
#pragma once
#include "inkling/autograd/variable.hpp"
#include "inkling/kernels/kernels.hpp"

namespace inkling {

using kernels::Activation;

// a + b, written over one of them where nobody else can see it: in y = add(x, f(x)) the sum of a residual block.
template <class T, std::size_t N>
Variable<T, N> add(Variable<T, N> a, Variable<T, N> b) {
  require_shape(b.shape(), a.shape(), "add");
  Tensor<T, N> y;
  if (Variable<T, N>* spare = b.disposable() ? &b : a.disposable() ? &a : nullptr) {
    y = spare->take_value();
    kernels::accumulate(y, (spare == &b ? a : b).value());
  } else {
    y = kernels::binary(kernels::Binary::add, a.value(), b.value());
  }
  return record(
      std::move(y),
      [a, b](const Gradient<T, N>& dy) {
        a.accumulate(dy);
        b.accumulate(dy);
      },
      a, b);
}
template <class T, std::size_t N>
Variable<T, N> sub(const Variable<T, N>& a, const Variable<T, N>& b) {
  return record(
      kernels::binary(kernels::Binary::sub, a.value(), b.value()),
      [a, b](const Gradient<T, N>& dy) {
        a.accumulate(dy);
        if (b.requires_grad()) b.accumulate(kernels::scale(*dy, T(-1)));
      },
      a, b);
}
template <class T, std::size_t N>
Variable<T, N> mul(const Variable<T, N>& a, const Variable<T, N>& b) {
  return record(
      kernels::binary(kernels::Binary::mul, a.value(), b.value()),
      [a, b](const Tensor<T, N>& dy) {
        if (a.requires_grad()) a.accumulate(kernels::binary(kernels::Binary::mul, dy, b.value()));
        if (b.requires_grad()) b.accumulate(kernels::binary(kernels::Binary::mul, dy, a.value()));
      },
      a, b);
}
// factor * x with a constant factor
template <class T, std::size_t N>
Variable<T, N> scale(const Variable<T, N>& x, T factor) {
  return record(
      kernels::scale(x.value(), factor),
      [x, factor](const Tensor<T, N>& dy) { x.accumulate(kernels::scale(dy, factor)); }, x);
}
// factor[] * x with a learned factor, as CLIP's temperature
template <class T, std::size_t N>
Variable<T, N> scale(const Variable<T, N>& x, const Variable<T, 0>& factor) {
  return record(
      kernels::scale(x.value(), factor.value()()),
      [x, factor](const Tensor<T, N>& dy) {
        if (x.requires_grad()) x.accumulate(kernels::scale(dy, factor.value()()));
        if (factor.requires_grad()) {
          T sum = 0;  // dL/dfactor = sum_i dL/dy_i x_i
          for (Index i = 0; i < dy.size(); ++i) sum += dy.data()[i] * x.value().data()[i];
          factor.accumulate(Tensor<T, 0>({}, sum));
        }
      },
      x, factor);
}
// a + b where b is aligned at the right and repeated: an explicit broadcast, as for position embeddings.
// a[..., D...], b[D...] -> shape of a
template <class T, std::size_t N, std::size_t M>
Variable<T, N> add_broadcast(const Variable<T, N>& a, const Variable<T, M>& b) {
  return record(
      kernels::binary_broadcast(kernels::Binary::add, a.value(), b.value()),
      [a, b](const Tensor<T, N>& dy) {
        auto g = kernels::binary_broadcast_backward(kernels::Binary::add, dy, a.value(), b.value());
        a.accumulate(std::move(g.da));
        b.accumulate(std::move(g.db));
      },
      a, b);
}
// x[N, C, H, W] + b[N, C]: one number for a whole channel of an image, as the time embedding in a residual block
template <class T>
Variable<T, 4> add_per_channel(const Variable<T, 4>& x, const Variable<T, 2>& b) {
  return add_broadcast(x, reshape(b, Shape<4>{b.shape(0), b.shape(1), 1, 1}));
}

template <class T, std::size_t N>
Variable<T, N> activation(Activation kind, const Variable<T, N>& x) {
  return record(
      kernels::activation(kind, x.value()),
      [kind, x](const Tensor<T, N>& dy) { x.accumulate(kernels::activation_backward(kind, dy, x.value())); }, x);
}
template <class T, std::size_t N>
Variable<T, N> silu(const Variable<T, N>& x) {
  return activation(Activation::silu, x);
}
template <class T, std::size_t N>
Variable<T, N> relu(const Variable<T, N>& x) {
  return activation(Activation::relu, x);
}
// x[..., 2D] = (a, g) -> a * gelu(g) [..., D]   (Shazeer 2020, "GLU Variants Improve Transformer")
template <class T, std::size_t N>
Variable<T, N> geglu(const Variable<T, N>& x) {
  return record(
      kernels::geglu(x.value()), [x](const Tensor<T, N>& dy) { x.accumulate(kernels::geglu_backward(dy, x.value())); },
      x);
}
template <class T, std::size_t N>
Variable<T, N> softmax(const Variable<T, N>& x, Index axis = static_cast<Index>(N) - 1) {
  return record_with_result(
      kernels::softmax(x.value(), axis),
      [x, axis](const Tensor<T, N>& dy, const Tensor<T, N>& y) {
        x.accumulate(kernels::softmax_backward(dy, y, axis));
      },
      x);
}
// x / |x| along the last dimension
template <class T, std::size_t N>
Variable<T, N> normalize_l2(const Variable<T, N>& x) {
  return record(
      kernels::normalize_l2(x.value()),
      [x](const Tensor<T, N>& dy) { x.accumulate(kernels::normalize_l2_backward(dy, x.value())); }, x);
}
// op(a) op(b): a[M, K], b[K, N] -> [M, N]; a transposed operand is given as stored
template <class T>
Variable<T, 2> matmul(const Variable<T, 2>& a, const Variable<T, 2>& b, bool transpose_b = false) {
  return record(
      kernels::matmul(a.value(), b.value(), false, transpose_b),
      [a, b, transpose_b](const Tensor<T, 2>& dy) {
        if (a.requires_grad()) a.accumulate(kernels::matmul(dy, b.value(), false, !transpose_b));
        if (b.requires_grad())
          b.accumulate(transpose_b ? kernels::matmul(dy, a.value(), true, false)
                                   : kernels::matmul(a.value(), dy, true, false));
      },
      a, b);
}

template <class T, std::size_t N, std::size_t M>
Variable<T, M> reshape(Variable<T, N> x, const Shape<M>& shape) {
  // Taken before the function below holds x as well: arguments are evaluated in any order.
  Tensor<T, M> y = x.disposable() ? x.take_value().reshaped(shape) : x.value().reshaped(shape);
  return record(
      std::move(y), [x](Gradient<T, M> dy) { x.accumulate(std::move(dy).take().reshaped(x.shape())); }, x);
}
// y(i_order[0], i_order[1], ...) takes dimension order[d] of x as its dimension d
template <class T, std::size_t N>
Variable<T, N> permute(const Variable<T, N>& x, const std::array<std::size_t, N>& order) {
  std::array<std::size_t, N> inverse{};
  for (std::size_t d = 0; d < N; ++d) inverse[order[d]] = d;
  return record(
      kernels::permute(x.value(), order),
      [x, inverse](const Tensor<T, N>& dy) { x.accumulate(kernels::permute(dy, inverse)); }, x);
}
template <class T, std::size_t N>
Variable<T, N> concat(const Variable<T, N>& a, const Variable<T, N>& b, Index axis) {
  return record(
      kernels::concat(a.value(), b.value(), axis),
      [a, b, axis](const Tensor<T, N>& dy) {
        const Index cut = a.shape(static_cast<std::size_t>(axis)), end = cut + b.shape(static_cast<std::size_t>(axis));
        if (a.requires_grad()) a.accumulate(kernels::slice(dy, axis, Index{0}, cut));
        if (b.requires_grad()) b.accumulate(kernels::slice(dy, axis, cut, end));
      },
      a, b);
}
// indices begin..end-1 of one dimension
template <class T, std::size_t N>
Variable<T, N> slice(const Variable<T, N>& x, Index axis, Index begin, Index end) {
  return record(
      kernels::slice(x.value(), axis, begin, end),
      [x, axis, begin](const Tensor<T, N>& dy) {
        x.accumulate(kernels::slice_backward(dy, x.shape(), axis, begin));
      },
      x);
}
// [N, C, H, W] -> [N, H*W, C]: every pixel becomes a token
template <class T>
Variable<T, 3> image_to_sequence(const Variable<T, 4>& x) {
  const auto [n, c, h, w] = x.shape();
  return reshape(permute(x, {0, 2, 3, 1}), Shape<3>{n, h * w, c});
}
// [N, H*W, C] -> [N, C, H, W]
template <class T>
Variable<T, 4> sequence_to_image(const Variable<T, 3>& x, Index height, Index width) {
  return reshape(permute(x, {0, 2, 1}), Shape<4>{x.shape(0), x.shape(2), height, width});
}

template <class T>
Variable<T, 4> upsample_nearest(const Variable<T, 4>& x, Index factor) {
  return record(
      kernels::upsample_nearest(x.value(), factor),
      [x, factor](const Tensor<T, 4>& dy) { x.accumulate(kernels::upsample_nearest_backward(dy, factor)); }, x);
}
template <class T>
Variable<T, 4> avg_pool(const Variable<T, 4>& x, const kernels::PoolOptions& options) {
  return record(
      kernels::avg_pool(x.value(), options),
      [x, options](const Tensor<T, 4>& dy) { x.accumulate(kernels::avg_pool_backward(dy, x.shape(), options)); }, x);
}
template <class T>
Variable<T, 4> max_pool(const Variable<T, 4>& x, const kernels::PoolOptions& options) {
  auto result = kernels::max_pool(x.value(), options);
  return record(
      std::move(result.y),
      [x, argmax = std::move(result.argmax)](const Tensor<T, 4>& dy) {
        x.accumulate(kernels::max_pool_backward(dy, argmax, x.shape()));
      },
      x);
}

}  // namespace inkling
