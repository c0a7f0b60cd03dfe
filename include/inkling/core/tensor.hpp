// Tensor<T, N>: N-dimensional array of T in row-major order, with N part of the type.
//
// It owns an xt::xtensor but is its own class, on purpose: a rank-3 tensor must not pass where rank 4 is wanted
// (with a plain alias that compiles and reads out of bounds), `a + b` must not broadcast a bias along the wrong
// axis, and float must not turn into double unseen. Two doors lead out: xt() for numpy-like expressions, and
// matrix() for linear algebra with Eigen.
#pragma once
#include "inkling/core/intrinsics.hpp"  // first

#include <Eigen/Core>
#include <algorithm>
#include <concepts>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>
#if __has_include(<xtensor/containers/xtensor.hpp>)
#include <xtensor/containers/xtensor.hpp>  // from xtensor 0.26 on
#else
#include <xtensor/xtensor.hpp>
#endif

#include "inkling/core/memory.hpp"
#include "inkling/core/shape.hpp"

// Define to 1 (CMake option INKLING_CHECK_INDICES) to check every index of every element access. Costs speed.
#ifndef INKLING_CHECK_INDICES
#define INKLING_CHECK_INDICES 0
#endif

namespace inkling {

// Tag: leave the elements unset, because every one of them is about to be written.
struct Uninitialized {};
inline constexpr Uninitialized uninitialized{};

template <class T, std::size_t N>
class Tensor {
 public:
  using value_type = T;
  using Storage = xt::xtensor<T, N, xt::layout_type::row_major, PoolAllocator<T>>;
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  static constexpr std::size_t rank = N;

  Tensor() : storage_(), shape_{} {
    if constexpr (N == 0) storage_() = T{};
  }
  // Zeros.
  explicit Tensor(const Shape<N>& shape) : Tensor(shape, T{}) {}
  Tensor(const Shape<N>& shape, T value) : Tensor(shape, uninitialized) { fill(value); }
  Tensor(const Shape<N>& shape, Uninitialized)
      : storage_((checked_size(shape, "Tensor"), xt_shape(shape))), shape_(shape) {}
  // The values in row-major order; throws ShapeError unless there are exactly as many as the shape holds.
  Tensor(const Shape<N>& shape, std::span<const T> values) : Tensor(shape, uninitialized) {
    if (static_cast<Index>(values.size()) != size())
      throw ShapeError("Tensor" + to_string(shape), std::to_string(size()) + " values",
                       std::to_string(values.size()));
    std::copy(values.begin(), values.end(), data());
  }
  Tensor(const Shape<N>& shape, std::initializer_list<T> values)
      : Tensor(shape, std::span<const T>(values.begin(), values.size())) {}
  // From a numpy-like expression, evaluated here: Tensor<float, 2> y(xt::exp(x.xt())). Explicit: it costs time.
  // Throws ShapeError unless the expression has N dimensions (xtensor would broadcast it).
  template <class E>
  explicit Tensor(const xt::xexpression<E>& expression) : storage_(require_rank(expression)), shape_{} {
    for (std::size_t d = 0; d < N; ++d) shape_[d] = static_cast<Index>(storage_.shape()[d]);
  }

  Tensor(const Tensor&) = default;  // deep
  Tensor& operator=(const Tensor&) = default;
  // Moving leaves an empty tensor behind.
  Tensor(Tensor&& other) noexcept : storage_(std::move(other.storage_)), shape_(std::exchange(other.shape_, {})) {}
  Tensor& operator=(Tensor&& other) noexcept {
    storage_ = std::move(other.storage_);
    shape_ = std::exchange(other.shape_, {});
    return *this;
  }
  ~Tensor() = default;

  const Shape<N>& shape() const noexcept { return shape_; }
  Index shape(std::size_t d) const { return shape_.at(d); }
  Index size() const noexcept {
    Index n = 1;
    for (Index d : shape_) n *= d;
    return n;
  }
  bool empty() const noexcept { return size() == 0; }

  T* data() noexcept { return storage_.data(); }
  const T* data() const noexcept { return storage_.data(); }
  T* begin() noexcept { return data(); }
  T* end() noexcept { return data() + size(); }
  const T* begin() const noexcept { return data(); }
  const T* end() const noexcept { return data() + size(); }
  std::span<T> span() noexcept { return {data(), static_cast<std::size_t>(size())}; }
  std::span<const T> span() const noexcept { return {data(), static_cast<std::size_t>(size())}; }

  // Element access takes exactly N integers: x(n, c, h, w).
  template <std::integral... I>
    requires(sizeof...(I) == N)
  T& operator()(I... index) {
    return data()[offset(index...)];
  }
  template <std::integral... I>
    requires(sizeof...(I) == N)
  const T& operator()(I... index) const {
    return data()[offset(index...)];
  }

  void fill(T value) { std::fill(begin(), end(), value); }

  // The same elements in the same order under another shape. The rvalue form moves and copies nothing.
  template <std::size_t M>
  Tensor<T, M> reshaped(const Shape<M>& shape) const& {
    return Tensor(*this).reshaped(shape);
  }
  template <std::size_t M>
  Tensor<T, M> reshaped(const Shape<M>& shape) && {
    if (checked_size(shape, "reshape") != size())
      throw ShapeError("reshape", std::to_string(size()) + " elements as in " + to_string(shape_), to_string(shape));
    shape_ = {};
    return Tensor<T, M>(std::move(storage_.storage()), shape);
  }

  // Another scalar type, element by element. Never happens implicitly.
  template <class U>
  Tensor<U, N> cast() const {
    Tensor<U, N> out(shape_, uninitialized);
    std::transform(begin(), end(), out.begin(), [](const T& v) { return static_cast<U>(v); });
    return out;
  }

  // Door 1: the xtensor, for numpy-like expressions and views. Assigning another shape through it is an error.
  Storage& xt() noexcept { return storage_; }
  const Storage& xt() const noexcept { return storage_; }

  // Door 2: an Eigen matrix over the same memory: (all dimensions but the last) x (last dimension).
  Eigen::Map<Matrix> matrix()
    requires(N >= 1)
  {
    return {data(), rows(), shape_[N - 1]};
  }
  Eigen::Map<const Matrix> matrix() const
    requires(N >= 1)
  {
    return {data(), rows(), shape_[N - 1]};
  }

 private:
  template <class, std::size_t>
  friend class Tensor;
  using XtShape = typename Storage::shape_type;

  Tensor(typename Storage::storage_type&& elements, const Shape<N>& shape)
      : storage_(std::move(elements), xt_shape(shape), xt_strides(shape)), shape_(shape) {}

  template <class E>
  static const xt::xexpression<E>& require_rank(const xt::xexpression<E>& expression) {
    if (const std::size_t got = expression.derived_cast().dimension(); got != N)
      throw ShapeError("Tensor from expression", std::to_string(N) + " dimensions", std::to_string(got));
    return expression;
  }
  static XtShape xt_shape(const Shape<N>& shape) {
    XtShape out{};
    for (std::size_t d = 0; d < N; ++d) out[d] = static_cast<typename XtShape::value_type>(shape[d]);
    return out;
  }
  static typename Storage::strides_type xt_strides(const Shape<N>& shape) {
    typename Storage::strides_type out{};
    Index stride = 1;
    for (std::size_t d = N; d-- > 0; stride *= shape[d]) out[d] = shape[d] == 1 ? 0 : stride;  // xtensor: 0 for 1
    return out;
  }
  Index rows() const {
    Index n = 1;
    for (std::size_t d = 0; d + 1 < N; ++d) n *= shape_[d];
    return n;
  }
  template <class... I>
  Index offset(I... index) const {
    Index at = 0;
    std::size_t d = 0;
    if constexpr (INKLING_CHECK_INDICES) (check(d++, static_cast<Index>(index)), ...);
    d = 0;
    ((at = at * shape_[d++] + static_cast<Index>(index)), ...);  // Horner: ((n * C + c) * H + h) * W + w
    return at;
  }
  void check(std::size_t d, Index i) const {
    if (i < 0 || i >= shape_[d])
      throw ShapeError("Tensor" + to_string(shape_) + " dimension " + std::to_string(d),
                       "an index from 0 to " + std::to_string(shape_[d] - 1), std::to_string(i));
  }

  Storage storage_;
  Shape<N> shape_;
};

}  // namespace inkling
