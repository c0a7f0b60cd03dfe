// The packed GEMM alone: every operand form against the formula, every edge of the tiles, any number of threads.
#include "inkling/kernels/fast/gemm.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <random>
#include <vector>

#include "support.hpp"

using namespace inkling;
using namespace inkling::kernels::fast;

namespace {

template <class T>
std::vector<T> random_values(Index n, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<T> v(static_cast<std::size_t>(n));
  for (T& x : v) x = static_cast<T>(uniform(generator));
  return v;
}

// One product with everything that may vary. C has a row of other numbers around it that must stay as they are.
template <class T>
struct Product {
  Index M, N, K;
  bool transpose_a, transpose_b, accumulate;
  static constexpr Index gap = 3;  // each row of C is followed by so many numbers that do not belong to it
  std::vector<T> a = random_values<T>(M * K, 1), b = random_values<T>(K * N, 2), c = random_values<T>(M * (N + gap), 3);

  T a_at(Index i, Index k) const { return a[static_cast<std::size_t>(transpose_a ? k * M + i : i * K + k)]; }
  T b_at(Index k, Index j) const { return b[static_cast<std::size_t>(transpose_b ? j * K + k : k * N + j)]; }

  std::vector<T> run() const {
    std::vector<T> out = c;
    gemm<T>(M, N, K, a.data(), transpose_a ? M : K, transpose_a, b.data(), transpose_b ? K : N, transpose_b,
            out.data(), N + gap, accumulate);
    return out;
  }
  // c_ij (+)= sum_k a_ik b_kj in long double, and the same with magnitudes: what the roundings are relative to
  void check(const std::vector<T>& out) const {
    const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
    double most_used = 0;
    Index wrong_at = -1;
    for (Index i = 0; i < M; ++i)
      for (Index j = 0; j < N + gap; ++j) {
        const std::size_t at = static_cast<std::size_t>(i * (N + gap) + j);
        long double sum = j >= N || accumulate ? static_cast<long double>(c[at]) : 0, size = std::abs(sum);
        for (Index k = 0; j < N && k < K; ++k) {
          const long double term = static_cast<long double>(a_at(i, k)) * static_cast<long double>(b_at(k, j));
          sum += term;
          size += std::abs(term);
        }
        // K + 1 additions, each off by half an epsilon of at most `size`; none for what must not change
        const double tolerance = j < N ? static_cast<double>(K + 1) / 2 * epsilon * static_cast<double>(size) : 0;
        const double error = std::abs(static_cast<double>(static_cast<long double>(out[at]) - sum));
        if (!(error <= tolerance) && wrong_at < 0) wrong_at = static_cast<Index>(at);
        if (tolerance > 0) most_used = std::max(most_used, error / tolerance);
      }
    CAPTURE(M);
    CAPTURE(N);
    CAPTURE(K);
    CAPTURE(transpose_a);
    CAPTURE(transpose_b);
    CAPTURE(accumulate);
    CAPTURE(wrong_at);
    CAPTURE(most_used);
    CHECK(wrong_at == -1);
    used = std::max(used, most_used);
  }
  static inline double used = 0;  // the largest share of its tolerance that any element needed
};

struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

}  // namespace

TEST_CASE_TEMPLATE("gemm: every form and every edge of the tiles", T, float, double) {
  constexpr Index R = Tile<T>::rows, C = Tile<T>::columns, W = width<T>, D = Tile<T>::depth;
  for (Index M : {Index{1}, Index{3}, R / 2, R - 1, R, R + 1, 3 * R + 2})
    for (Index N : {Index{1}, W - 1, W, W + 1, C - 1, C, C + 1, 2 * C + W + 3})
      for (Index K : {Index{1}, Index{2}, Index{7}, Index{33}, D - 1, D, D + 1})
        for (int form = 0; form < 8; ++form) {
          if (N == 0) continue;  // W - 1 where a vector is one number
          const Product<T> p{M, N, K, (form & 1) != 0, (form & 2) != 0, (form & 4) != 0};
          p.check(p.run());
        }
  MESSAGE("largest share of the tolerance K/2 eps sum|a b|: " << Product<T>::used);
}

TEST_CASE_TEMPLATE("gemm: several blocks of k, of columns and of tasks", T, float, double) {
  const Threads two(2);
  for (const auto& [M, N, K] : {Shape<3>{130, 2 * 48 * 9 + 5, 300}, Shape<3>{37, 500, 1201}, Shape<3>{600, 24, 777}})
    for (int form = 0; form < 4; ++form) {
      const Product<T> p{M, N, K, (form & 1) != 0, (form & 2) != 0, form == 3};
      p.check(p.run());
    }
}

TEST_CASE_TEMPLATE("gemm: empty dimensions", T, float, double) {
  for (bool accumulate : {false, true})
    for (const auto& [M, N, K] : {Shape<3>{0, 5, 3}, Shape<3>{5, 0, 3}, Shape<3>{5, 50, 0}, Shape<3>{0, 0, 0}}) {
      const Product<T> p{M, N, K, false, false, accumulate};
      p.check(p.run());  // K = 0: C is zero, or stays as it is
    }
}

TEST_CASE_TEMPLATE("gemm: the same bytes with any number of threads", T, float, double) {
  for (const auto& [M, N, K] : {Shape<3>{200, 300, 500}, Shape<3>{1000, 17, 900}, Shape<3>{9, 5000, 70}}) {
    const Product<T> p{M, N, K, false, true, true};
    std::vector<T> one;
    {
      const Threads t(1);
      one = p.run();
    }
    for (int threads : {2, 3, 4, 7, 16}) {
      const Threads t(threads);
      CAPTURE(threads);
      CHECK(p.run() == one);
    }
  }
}

TEST_CASE("gemm: the cut into tasks gives every thread the same share") {
  for (const GemmOperands& operands :
       {GemmOperands{false, false, 8}, GemmOperands{true, false, 3}, GemmOperands{false, true, 14}})
    for (Index threads : {1, 2, 3, 4, 8, 16})
      for (const Shape<2>& shape :
           {Shape<2>{8, 86}, Shape<2>{512, 7}, Shape<2>{1, 1000}, Shape<2>{40, 2}, Shape<2>{1, 1}}) {
        const Index m = shape[0], n = shape[1];
        const GemmGrid grid = gemm_grid(m, 8, n, 48, n * 48 - 40, threads, operands);
        CAPTURE(operands.left_stored);
        CAPTURE(operands.right_stored);
        CAPTURE(threads);
        CAPTURE(m);
        CAPTURE(n);
        CHECK(grid.rows <= m);
        CHECK(grid.columns <= n);
        if (threads == 1) CHECK(grid.rows * grid.columns == 1);
        // Never more than twice as long as with tiles dealt out one by one.
        const Index rounds = (grid.rows * grid.columns + threads - 1) / threads;
        const Index longest = rounds * ((m + grid.rows - 1) / grid.rows) * ((n + grid.columns - 1) / grid.columns);
        CHECK(longest <= 2 * ((m * n + threads - 1) / threads));
      }
  // 14 panels of columns, of which the last holds 16, cannot be shared by two threads; 256 panels of rows can.
  const auto two_threads = [](Index m, Index n, const GemmOperands& operands) {
    const GemmGrid grid = gemm_grid(m, 8, n, 48, n * 48 - 32, 2, operands);
    return Shape<2>{grid.rows, grid.columns};
  };
  CHECK(two_threads(256, 14, {false, false, 14}) == Shape<2>{2, 1});
  // Packed weights on the right: as many tasks as there are blocks of columns, more by rows, but of 64 rows at least,
  // then of 192 columns at least.
  CHECK(two_threads(256, 14, {false, true, 14}) == Shape<2>{32, 1});
  CHECK(two_threads(256, 27, {false, true, 7}) == Shape<2>{8, 4});
  CHECK(two_threads(32, 27, {false, true, 7}) == Shape<2>{4, 4});
  CHECK(two_threads(10, 14, {false, true, 5}) == Shape<2>{1, 4});  // 3 blocks are no share for two
  CHECK(two_threads(10, 64, {false, true, 12}) == Shape<2>{1, 12});
  // On the left: two blocks of columns at least.
  CHECK(two_threads(40, 86, {true, false, 2}) == Shape<2>{1, 16});
}

TEST_CASE_TEMPLATE("gemm: epilogues see every element once, after the last block of k", T, float, double) {
  const Index M = 19, N = 70, K = 900;
  const Product<T> p{M, N, K, false, false, false};
  const std::vector<T> plain = p.run(), row = random_values<T>(M, 4), column = random_values<T>(N, 5);
  std::vector<T> with_row = p.c, with_column = p.c;
  const LeftMatrix<T> a{p.a.data(), K};
  const RightMatrix<T> b{p.b.data(), N};
  gemm<T>(M, N, K, a, b, MatrixOut<T>{with_row.data(), N + p.gap}, false, RowBias<T>{row.data()});
  gemm<T>(M, N, K, a, b, MatrixOut<T>{with_column.data(), N + p.gap}, false, ColumnBias<T>{column.data()});
  for (Index i = 0; i < M; ++i)
    for (Index j = 0; j < N; ++j) {
      const std::size_t at = static_cast<std::size_t>(i * (N + p.gap) + j);
      CHECK(with_row[at] == plain[at] + row[static_cast<std::size_t>(i)]);
      CHECK(with_column[at] == plain[at] + column[static_cast<std::size_t>(j)]);
    }
}

TEST_CASE_TEMPLATE("gemm: a block is transposed whole and in part", T, float, double) {
  for (const Shape<2>& shape : {Shape<2>{8, 8}, Shape<2>{17, 33}, Shape<2>{1, 9}, Shape<2>{40, 3}}) {
    const Index rows = shape[0], columns = shape[1];
    const std::vector<T> from = random_values<T>(rows * columns, 6);
    std::vector<T> to(from.size());
    transpose(from.data(), columns, rows, columns, to.data(), rows);
    bool right = true;
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < columns; ++j)
        right = right && to[static_cast<std::size_t>(j * rows + i)] == from[static_cast<std::size_t>(i * columns + j)];
    CAPTURE(rows);
    CAPTURE(columns);
    CHECK(right);
  }
}
