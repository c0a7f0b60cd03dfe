// core/: tensors, shapes, error texts, the memory pool, threads, progress.
// test: sanitized
#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>
#if __has_include(<xtensor/core/xmath.hpp>)
#include <xtensor/core/xmath.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xmath.hpp>
#include <xtensor/xview.hpp>
#endif

#include "inkling/core/eigen.hpp"
#include "inkling/core/memory.hpp"
#include "inkling/core/parallel.hpp"
#include "inkling/core/progress.hpp"
#include "inkling/core/tensor.hpp"
#include "inkling/core/xtensor.hpp"
#include "support.hpp"

using namespace inkling;

namespace {

// 0, 1, 2, ... in row-major order, so that every element tells its own position.
template <std::size_t N>
Tensor<float, N> counting(const Shape<N>& shape) {
  Tensor<float, N> x(shape, uninitialized);
  std::iota(x.begin(), x.end(), 0.0f);
  return x;
}

template <class F>
std::string message(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing thrown";
}

}  // namespace

TEST_CASE("errors say where, expected, got and hint") {
  CHECK(std::string(ShapeError("conv2d", "(1, 3)", "(1, 4)", "swap the axes").what()) ==
        "conv2d: expected (1, 3), got (1, 4); hint: swap the axes");
  CHECK(std::string(LoadError("a.safetensors", "", "nothing").what()) == "a.safetensors: got nothing");
  CHECK(std::string(ConfigError("steps", "at least 1", "").what()) == "steps: expected at least 1");
  CHECK(ShapeError("conv2d", "", "").where() == "conv2d");
  CHECK(std::is_base_of_v<Error, FormatError>);
  CHECK(std::is_base_of_v<std::runtime_error, Error>);
  CHECK(std::string(Stopped("denoise").what()) == "denoise: got a request to stop");
}

TEST_CASE("shapes: text and size") {
  CHECK(to_string(Shape<4>{2, 3, 64, 64}) == "(2, 3, 64, 64)");
  CHECK(to_string(Shape<0>{}) == "()");
  CHECK(checked_size(Shape<3>{2, 3, 4}) == 24);
  CHECK(checked_size(Shape<3>{2, 0, 4}) == 0);
  CHECK(checked_size(Shape<0>{}) == 1);
}

TEST_CASE("shapes: a size that is negative or does not fit is refused before anything is allocated") {
  CHECK_THROWS_AS(checked_size(Shape<2>{2, -1}), ShapeError);
  CHECK(message([] {
          checked_size(Shape<2>{2, -1}, "header");
        }) == "header: expected dimensions of at least 0, got (2, -1)");
  const Index big = Index{1} << 31;
  CHECK_THROWS_AS(checked_size(Shape<3>{big, big, big}), ShapeError);
  CHECK_THROWS_AS(checked_size(Shape<1>{std::numeric_limits<Index>::max()}), ShapeError);
  CHECK_THROWS_AS((Tensor<float, 2>({big, big})), ShapeError);
  CHECK_THROWS_AS((Tensor<float, 4>({1, 1, -5, 1})), ShapeError);
}

TEST_CASE("require_shape names both shapes") {
  CHECK_NOTHROW(require_shape(Shape<2>{2, 3}, Shape<2>{2, 3}, "x"));
  CHECK(message([] {
          require_shape(Shape<2>{2, 3}, Shape<2>{3, 2}, "linear: weight", "transpose it");
        }) == "linear: weight: expected (3, 2), got (2, 3); hint: transpose it");
}

TEST_CASE("a tensor starts as zeros, as one value, or as the values given") {
  const Tensor<float, 3> zeros({2, 3, 4});
  CHECK(zeros.size() == 24);
  for (float v : zeros) REQUIRE(v == 0.0f);
  const Tensor<float, 2> sevens({2, 3}, 7.0f);
  for (float v : sevens) REQUIRE(v == 7.0f);
  const Tensor<int, 2> given({2, 2}, {1, 2, 3, 4});
  CHECK(given(1, 0) == 3);
  CHECK(message([] { Tensor<int, 2>({2, 2}, {1, 2, 3}); }) == "Tensor(2, 2): expected 4 values, got 3");
  const Tensor<float, 2> none;
  CHECK(none.empty());
  CHECK(none.shape() == Shape<2>{0, 0});
  const Tensor<float, 3> hollow({2, 0, 4});
  CHECK(hollow.empty());
  CHECK(hollow.begin() == hollow.end());
}

TEST_CASE("a rank-0 tensor is one number") {
  Tensor<double, 0> loss;
  CHECK(loss.size() == 1);
  CHECK(loss() == 0.0);
  loss() = 2.5;
  CHECK(loss() == 2.5);
  CHECK((Tensor<double, 0>(Shape<0>{}, 3.0)()) == 3.0);
}

TEST_CASE("elements lie in row-major order") {
  const Tensor<float, 4> x = counting(Shape<4>{2, 3, 4, 5});
  CHECK(x(0, 0, 0, 1) == 1.0f);
  CHECK(x(0, 0, 1, 0) == 5.0f);
  CHECK(x(0, 1, 0, 0) == 20.0f);
  CHECK(x(1, 2, 3, 4) == 119.0f);  // ((1 * 3 + 2) * 4 + 3) * 5 + 4
  CHECK(x.shape(1) == 3);
  CHECK_THROWS_AS(x.shape(4), std::out_of_range);
  CHECK(reinterpret_cast<std::uintptr_t>(x.data()) % MemoryPool::alignment == 0);
}

TEST_CASE("a copy is deep, a move leaves an empty tensor") {
  Tensor<float, 2> x = counting(Shape<2>{100, 100});
  Tensor<float, 2> y = x;
  y(0, 0) = -1.0f;
  CHECK(x(0, 0) == 0.0f);
  const float* at = x.data();
  const Tensor<float, 2> z = std::move(x);
  CHECK(z.data() == at);
  CHECK(x.empty());  // NOLINT(bugprone-use-after-move): that it is empty is the promise
  CHECK(x.shape() == Shape<2>{0, 0});
  x = counting(Shape<2>{3, 2});
  CHECK(x(2, 1) == 5.0f);
  x = std::move(y);
  CHECK(x.shape() == Shape<2>{100, 100});
  CHECK(y.empty());  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("reshaped keeps the order; from an rvalue nothing is copied") {
  Tensor<float, 4> x = counting(Shape<4>{2, 3, 1, 5});
  const Tensor<float, 2> copy = x.reshaped(Shape<2>{6, 5});
  CHECK(copy(5, 4) == 29.0f);
  CHECK(x.shape() == Shape<4>{2, 3, 1, 5});
  const float* at = x.data();
  const Tensor<float, 3> moved = std::move(x).reshaped(Shape<3>{1, 10, 3});
  CHECK(moved.data() == at);
  CHECK(moved(0, 9, 2) == 29.0f);
  CHECK(x.shape() == Shape<4>{});  // NOLINT(bugprone-use-after-move)
  CHECK(message([&] { (void)copy.reshaped(Shape<1>{31}); }) == "reshape: expected 30 elements as in (6, 5), got (31)");
  CHECK_THROWS_AS((void)copy.reshaped(Shape<2>{-6, -5}), ShapeError);
}

TEST_CASE("what was reshaped is still a proper xtensor") {
  const Tensor<float, 3> x = counting(Shape<3>{4, 1, 3}).reshaped(Shape<3>{2, 2, 3});
  CHECK(x.xt()(1, 1, 2) == 11.0f);
  const Tensor<float, 2> last(xt::view(x.xt(), xt::all(), 1, xt::all()));
  CHECK(last.shape() == Shape<2>{2, 3});
  CHECK(last(1, 0) == 9.0f);
  const Tensor<float, 2> thin = counting(Shape<1>{3}).reshaped(Shape<2>{3, 1});
  const Tensor<float, 2> wide(thin.xt() + counting(Shape<2>{3, 4}).xt());  // xtensor broadcasts by a stride of 0
  CHECK(wide.shape() == Shape<2>{3, 4});
  CHECK(wide(2, 3) == 13.0f);
}

TEST_CASE("another scalar type only by cast") {
  const Tensor<double, 1> x({3}, {1.5, -2.25, 1e-3});
  const Tensor<float, 1> y = x.cast<float>();
  CHECK(y(1) == -2.25f);
  CHECK(static_cast<double>(y(2)) == doctest::Approx(1e-3));
  CHECK_FALSE(std::is_convertible_v<Tensor<double, 1>, Tensor<float, 1>>);
  CHECK_FALSE(std::is_constructible_v<Tensor<float, 1>, Tensor<double, 1>>);
  CHECK_FALSE(std::is_constructible_v<Tensor<float, 2>, Tensor<float, 1>>);
}

TEST_CASE("door to xtensor: an expression becomes a tensor of the same rank") {
  const Tensor<float, 2> x = counting(Shape<2>{2, 3});
  const Tensor<float, 2> y(xt::exp(x.xt()));
  CHECK(y.shape() == x.shape());
  CHECK(y(1, 2) == doctest::Approx(std::exp(5.0f)));
  const Tensor<float, 0> sum(xt::sum(x.xt()));
  CHECK(sum() == 15.0f);
  CHECK(message([&] { Tensor<float, 3>(xt::exp(x.xt())); }) == "Tensor from expression: expected 3 dimensions, got 2");
  CHECK_THROWS_AS((Tensor<float, 1>(xt::exp(x.xt()))), ShapeError);
}

TEST_CASE("door to xtensor: an expression is assigned to the shape that is there") {
  Tensor<float, 2> x = counting(Shape<2>{2, 3});
  const float* at = x.data();
  x.xt() = x.xt() * 2.0f + 1.0f;
  CHECK(x(1, 2) == 11.0f);
  CHECK(x.data() == at);
  x.xt() += x.xt();
  CHECK(x(0, 0) == 2.0f);
  xt::view(x.xt(), 1, xt::all()) = 5.0f;
  CHECK(x(1, 0) == 5.0f);
  CHECK(x(0, 1) == 6.0f);
  const Tensor<float, 2> turned = counting(Shape<2>{3, 2}), more = counting(Shape<2>{4, 3});
  CHECK_THROWS_AS(x.xt() = turned.xt() + 0.0f, std::runtime_error);
  CHECK_THROWS_AS(x.xt() = more.xt() + 0.0f, std::runtime_error);
  CHECK(x(1, 2) == 5.0f);
  CHECK(x.shape() == Shape<2>{2, 3});
  x.xt() = counting(Shape<1>{3}).xt() + 0.0f;
  CHECK(x(0, 1) == 1.0f);
  CHECK(x(1, 1) == 1.0f);
}

TEST_CASE("door to Eigen: all dimensions but the last are rows") {
  Tensor<double, 3> x({2, 3, 4});
  x.matrix()(5, 2) = 7;
  CHECK(x(1, 2, 2) == 7.0);
  const Tensor<double, 3>& constant = x;
  CHECK(constant.matrix().rows() == 6);
  CHECK(constant.matrix().cols() == 4);
  CHECK(constant.matrix().sum() == 7.0);
}

TEST_CASE("the pool hands a freed block to the next tensor of about that size") {
  MemoryPool& pool = MemoryPool::instance();
  pool.release();
  constexpr std::size_t bytes = 1 << 20;
  void* first = pool.allocate(bytes);
  pool.deallocate(first, bytes);
  void* again = pool.allocate(bytes - 1000);  // rounds up to the same size
  CHECK(again == first);
  void* other = pool.allocate(bytes);  // the first is in use
  CHECK(other != first);
  pool.deallocate(again, bytes - 1000);
  pool.deallocate(other, bytes);
  pool.release();
}

TEST_CASE("what was in use together may wait together, and a new block displaces what goes beyond") {
  MemoryPool& pool = MemoryPool::instance();
  constexpr std::size_t MiB = std::size_t{1} << 20;
  pool.set_limit(2 * MiB);
  pool.release();  // nothing waits, and what is in use now counts as the most so far
  CHECK(pool.waiting() == 0);
  // A training step: everything in use at once, then nothing. The next step finds every block again.
  void *a = pool.allocate(3 * MiB), *b = pool.allocate(4 * MiB), *c = pool.allocate(5 * MiB);
  pool.deallocate(a, 3 * MiB);
  pool.deallocate(b, 4 * MiB);
  pool.deallocate(c, 5 * MiB);
  CHECK(pool.waiting() == 12 * MiB);
  CHECK(pool.allocate(4 * MiB) == b);
  pool.deallocate(b, 4 * MiB);
  // 12 MiB were the most in use, 2 MiB beyond that are allowed: one block of 6 MiB displaces the one of 5.
  void* other = pool.allocate(6 * MiB);
  CHECK(pool.waiting() == 7 * MiB);
  // More in use than ever: the rest has to go, but for 2 MiB.
  void* larger = pool.allocate(14 * MiB);
  CHECK(pool.waiting() == 0);
  pool.deallocate(other, 6 * MiB);
  pool.deallocate(larger, 14 * MiB);
  CHECK(pool.waiting() == 20 * MiB);
  pool.set_limit(0);  // off
  CHECK(pool.waiting() == 0);
  pool.deallocate(pool.allocate(MiB), MiB);
  CHECK(pool.waiting() == 0);
  pool.set_limit(std::size_t{512} * MiB);
  pool.release();
}

TEST_CASE("the pool's blocks are aligned and large enough at every size") {
  MemoryPool& pool = MemoryPool::instance();
  for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{64}, MemoryPool::smallest - 1,
                            MemoryPool::smallest, MemoryPool::smallest + 1, std::size_t{18432}, std::size_t{65535},
                            std::size_t{65536}, std::size_t{65537}, std::size_t{1000003}}) {
    CAPTURE(bytes);
    auto* p = static_cast<unsigned char*>(pool.allocate(bytes));
    REQUIRE(p != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(p) % MemoryPool::alignment == 0);
    std::fill(p, p + bytes, static_cast<unsigned char>(0xA5));  // the address sanitizer watches
    pool.deallocate(p, bytes);
  }
}

TEST_CASE("an impossible amount of memory is std::bad_alloc, not a crash") {
  CHECK_THROWS_AS(MemoryPool::instance().allocate(std::size_t{1} << 60), std::bad_alloc);
  // rounded up, this would be 0 bytes
  CHECK_THROWS_AS(MemoryPool::instance().allocate(std::numeric_limits<std::size_t>::max()), std::bad_alloc);
  CHECK_THROWS_AS((void)PoolAllocator<double>().allocate(std::numeric_limits<std::size_t>::max() / 4), std::bad_alloc);
}

TEST_CASE("parallel_for calls the body once for every index") {
  for (Index count : {0, 1, 2, 7, 1000}) {
    CAPTURE(count);
    std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
    const auto call = [&](Index i) { ++calls[static_cast<std::size_t>(i)]; };
    for (Index work : {1, 30, 100, 1000000}) parallel_for(count, work, call);  // on one thread, in 2 shares, in more
    parallel_for_dynamic(count, call);
    for (const auto& c : calls) REQUIRE(c == 5);
  }
}

TEST_CASE("parallel_for throws in the caller what the body threw, and works again afterwards") {
  const auto refuse_13 = [](Index i) {
    if (i == 13) throw ShapeError("body", "anything but 13", std::to_string(i));
  };
  CHECK_THROWS_AS(parallel_for(100, 1000000, refuse_13), ShapeError);
  CHECK_THROWS_AS(parallel_for_dynamic(100, refuse_13), ShapeError);
  CHECK_THROWS_AS(parallel_for(100, 0, refuse_13), ShapeError);  // too little work for threads
  std::atomic<int> calls = 0;
  parallel_for(100, 1000000, [&](Index) { ++calls; });
  CHECK(calls == 100);
}

TEST_CASE("a parallel_for inside another one runs") {
  std::atomic<int> calls = 0;
  parallel_for(8, 1000000, [&](Index) { parallel_for(8, 1000000, [&](Index) { ++calls; }); });
  CHECK(calls == 64);
}

TEST_CASE("the number of threads") {
  const int before = num_threads();
  CHECK(before >= 1);
  CHECK_THROWS_AS(set_num_threads(0), ConfigError);
  set_num_threads(1);
  CHECK(num_threads() == 1);
  set_num_threads(before);
}

TEST_CASE("a progress callback sees every report and can stop the work") {
  std::vector<Index> seen;
  const ProgressCallback until_3 = [&](const Progress& p) {
    seen.push_back(p.done);
    return p.done < 3;
  };
  CHECK_THROWS_AS(for (Index i = 1; i <= 10; ++i) report(until_3, {"denoise", i, 10}), Stopped);
  CHECK(seen == std::vector<Index>{1, 2, 3});
  CHECK_NOTHROW(report({}, {"denoise", 1, 10}));
}

TEST_CASE("the tests' own comparison finds the worst element, and NaN") {
  const std::vector<float> expected{1.0f, -4.0f, 2.0f, 0.0f}, got{1.0f, -4.0f, 2.5f, 0.0f};
  const inkling_test::Worst worst = inkling_test::compare(got, expected);
  CHECK(worst.error == 0.5);
  CHECK(worst.scale == 4.0);
  CHECK(worst.at == 2);
  CHECK(worst.relative() == 0.125);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isinf(inkling_test::compare(std::vector<float>{nan}, std::vector<float>{1.0f}).error));
  CHECK(inkling_test::compare(std::vector<float>{nan}, std::vector<float>{nan}).error == 0.0);
  CHECK_THROWS(inkling_test::compare(std::vector<float>{1.0f}, expected));
  CHECK(inkling_test::index_text(7, Shape<2>{3, 4}) == "(1, 3)");
}
