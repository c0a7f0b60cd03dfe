// Tensor<T, N>: N-dimensional array of T in row-major order, with N part of the type.
//
// A class of its own, on purpose: a rank-3 tensor must not pass where rank 4 is wanted (with xt::xtensor that compiles
// and reads out of bounds), `a + b` must not broadcast a bias along the wrong axis, and float must not turn into double
// unseen. Two doors lead out: xt() for numpy-like expressions (include core/xtensor.hpp) and matrix() for linear algebra
// with Eigen (include core/eigen.hpp). Only who walks through them waits for those libraries to compile.
#pragma once
#include <algorithm>
#include <concepts>
#include <initializer_list>
#include <span>
#include <type_traits>
#include <utility>

#include "inkling/core/memory.hpp"
#include "inkling/core/shape.hpp"

// Define to 1 (CMake option INKLING_CHECK_INDICES) to check every index of every element access. Costs speed.
#ifndef INKLING_CHECK_INDICES
#define INKLING_CHECK_INDICES 0
#endif

namespace xt {
template <class E>
class xexpression;
}

namespace inkling {

// Tag: leave the elements unset, because every one of them is about to be written.
struct Uninitialized {};
inline constexpr Uninitialized uninitialized{};

template <class T, std::size_t N>
class Tensor {
 public:
  using value_type = T;
  static constexpr std::size_t rank = N;

  Tensor() : Tensor(Shape<N>{}) {}
  // Zeros.
  explicit Tensor(const Shape<N>& shape) : Tensor(shape, T{}) {}
  Tensor(const Shape<N>& shape, T value) : Tensor(shape, uninitialized) { fill(value); }
  Tensor(const Shape<N>& shape, Uninitialized)
      : elements_(static_cast<std::size_t>(checked_size(shape, "Tensor"))), shape_(shape) {}
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
  explicit Tensor(const xt::xexpression<E>& expression) : Tensor(evaluated(std::type_identity<Tensor>(), expression)) {}

  Tensor(const Tensor&) = default;  // deep
  Tensor& operator=(const Tensor&) = default;
  // Moving leaves an empty tensor behind.
  Tensor(Tensor&& other) noexcept : elements_(std::move(other.elements_)), shape_(std::exchange(other.shape_, {})) {}
  Tensor& operator=(Tensor&& other) noexcept {
    elements_ = std::move(other.elements_);
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

  T* data() noexcept { return elements_.data(); }
  const T* data() const noexcept { return elements_.data(); }
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
    return Tensor<T, M>(std::move(elements_), shape);
  }

  // Another scalar type, element by element. Never happens implicitly.
  template <class U>
  Tensor<U, N> cast() const {
    Tensor<U, N> out(shape_, uninitialized);
    std::transform(begin(), end(), out.begin(), [](const T& v) { return static_cast<U>(v); });
    return out;
  }

  // Door 1: an xtensor view of the same memory, for numpy-like expressions. Needs inkling/core/xtensor.hpp.
  template <class Self = Tensor>
  auto xt() {
    return xt_door(static_cast<Self&>(*this));
  }
  template <class Self = Tensor>
  auto xt() const {
    return xt_door(static_cast<const Self&>(*this));
  }

  // Door 2: an Eigen map over the same memory: (all dimensions but the last) x (last dimension). Needs
  // inkling/core/eigen.hpp.
  template <class Self = Tensor>
  auto matrix() {
    return matrix_door(static_cast<Self&>(*this));
  }
  template <class Self = Tensor>
  auto matrix() const {
    return matrix_door(static_cast<const Self&>(*this));
  }

 private:
  template <class, std::size_t>
  friend class Tensor;

  Tensor(Buffer<T>&& elements, const Shape<N>& shape) : elements_(std::move(elements)), shape_(shape) {}

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

  Buffer<T> elements_;
  Shape<N> shape_;
};

}  // namespace inkling
