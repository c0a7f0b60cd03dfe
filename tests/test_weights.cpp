// Packed weights: what is stored, what is multiplied, how far it is from fp32, and that threads change no bit.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <sstream>
#include <vector>

#include "inkling/kernels/fast/linear.hpp"
#include "inkling/kernels/fast/weights.hpp"
#include "inkling/kernels/reference/weights.hpp"

using namespace inkling;
using namespace inkling::kernels;

namespace {

constexpr WeightType all_types[] = {WeightType::f32, WeightType::f16, WeightType::bf16, WeightType::q8};

// Standard normal numbers: what a layer sees after a normalisation.
template <std::size_t N>
Tensor<float, N> random_tensor(const Shape<N>& shape, unsigned seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  Tensor<float, N> x(shape);
  for (float& v : x) v = normal(generator);
  return x;
}
PackedWeight packed(const Tensor<float, 2>& w, WeightType type) {
  return {w.shape(0), w.shape(1), w.data(), type, WeightUse::linear};
}
PackedWeight packed(const Tensor<float, 4>& w, WeightType type) {
  return {w.shape(0), w.size() / w.shape(0), w.data(), type, WeightUse::convolution};
}

// How far a number may be from itself after rounding, relative to the largest of its block (q8) or to itself.
double rounding(WeightType type) {
  switch (type) {
    case WeightType::f32: return 0;
    case WeightType::f16: return 0x1p-11;
    case WeightType::bf16: return 0x1p-8;  // half a step of 8 significant bits, at the lower end of a binade
    case WeightType::q8: return 0.5 / 127 * (1 + 0x1p-7);  // half a step; the scale is rounded up to 8 bits
  }
  return 1;
}
// The same as a root mean square, for normal numbers. An error is uniform in +- half a step, its square step^2 / 12 in
// the mean. The step of bf16 is at most 2^-7 of the number, that of f16 2^-10. That of q8 is 1/127 of the largest in a
// block, and the largest of 64 normal numbers is 2.4 times their root mean square on average, hardly ever beyond 3.
double rms_bound(WeightType type) {
  switch (type) {
    case WeightType::f32: return 0;
    case WeightType::f16: return 0x1p-10 / std::sqrt(12.0);
    case WeightType::bf16: return 0x1p-7 / std::sqrt(12.0);
    case WeightType::q8: return 3.0 / 127 / std::sqrt(12.0) * (1 + 0x1p-7);
  }
  return 1;
}
bool rounds_activations(WeightType type) { return type == WeightType::bf16 || type == WeightType::q8; }

double rms_difference(const float* a, const float* b, Index n) {
  double d = 0, s = 0;
  for (Index i = 0; i < n; ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    d += difference * difference;
    s += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(d / s);
}

struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

// The largest |x| of the 64 along k that x[k] is quantised with (q8), or |x[k]| itself.
double magnitude(const float* x, Index k, Index depth, WeightType type) {
  if (type != WeightType::q8) return std::abs(static_cast<double>(x[k]));
  double most = 0;
  const Index begin = k / fast::q8_block * fast::q8_block;
  for (Index e = begin; e < std::min(depth, begin + fast::q8_block); ++e)
    most = std::max(most, std::abs(static_cast<double>(x[e])));
  return most;
}

double largest_share = 0;  // of its tolerance that any element needed

// One row of activations x [K] and the weights as stored w [K] give y: |y - sum x w| is at most the activations'
// rounding, r |x| |w| each, and the roundings of sums, K/2 epsilon sum |x w| and a handful more for the scales of q8.
void check_element(const float* x, const float* w, Index K, float bias, WeightType type, float y) {
  const double r = rounds_activations(type) ? rounding(type) : 0;
  double sum = static_cast<double>(bias), size = std::abs(sum), off = 0;
  for (Index k = 0; k < K; ++k) {
    const double product = static_cast<double>(x[k]) * static_cast<double>(w[k]);
    sum += product;
    size += std::abs(product);
    off += r * magnitude(x, k, K, type) * std::abs(static_cast<double>(w[k]));
  }
  const double epsilon = static_cast<double>(std::numeric_limits<float>::epsilon());
  const double tolerance = off + (static_cast<double>(K) / 2 + 8) * epsilon * (size + off);
  const double error = std::abs(static_cast<double>(y) - sum);
  largest_share = std::max(largest_share, error / tolerance);
  CHECK(error <= tolerance);
}

void check_linear(Index rows, Index out, Index K, WeightType type, bool with_bias) {
  INFO("linear " << to_string(type) << " " << rows << " x " << K << " -> " << out);
  const auto x = random_tensor(Shape<2>{rows, K}, 1), w = random_tensor(Shape<2>{out, K}, 2);
  const auto bias = random_tensor(Shape<1>{out}, 3);
  const PackedWeight p = packed(w, type);
  const Tensor<float, 2> stored = unpacked(p, w.shape(), WeightUse::linear, "test");
  const Tensor<float, 2> y = fast::linear(x, p, with_bias ? &bias : nullptr);
  REQUIRE(y.shape() == Shape<2>{rows, out});
  for (Index i = 0; i < rows; ++i)
    for (Index o = 0; o < out; ++o)
      check_element(x.data() + i * K, stored.data() + o * K, K, with_bias ? bias(o) : 0, type, y(i, o));
}

// conv2d as a product of panels, also where Winograd's way would be faster; test_winograd.cpp judges that.
Tensor<float, 4> convolve(const Tensor<float, 4>& x, const PackedWeight& w, const Shape<4>& w_shape,
                          const Tensor<float, 1>* bias, const Conv2dOptions& o) {
  if (o.groups != 1) return fast::conv2d(x, w, w_shape, bias, o);
  Tensor<float, 4> y(conv2d_output_shape(x.shape(), w_shape, o));
  const fast::Patches<float> P = fast::conv_patches(x, w_shape, y.shape(2), y.shape(3), o, 0);
  with_weight_type(w.type(), [&](auto type) {
    fast::packed_conv<decltype(type)::value>(P, w, {bias ? bias->data() : nullptr}, y.data());
  });
  return y;
}

void check_conv(const Shape<4>& x_shape, const Shape<4>& w_shape, const Conv2dOptions& o, WeightType type) {
  INFO("conv2d " << to_string(type) << " " << to_string(x_shape) << " with " << to_string(w_shape));
  const auto x = random_tensor(x_shape, 1), w = random_tensor(w_shape, 2);
  const auto bias = random_tensor(Shape<1>{w_shape[0]}, 3);
  const PackedWeight p = packed(w, type);
  const Tensor<float, 4> y = convolve(x, p, w_shape, &bias, o);
  const Tensor<float, 4> expected = reference::conv2d(x, p, w_shape, &bias, o);
  REQUIRE(y.shape() == expected.shape());
  if (o.groups != 1) {  // not multiplied as panels
    CHECK(rms_difference(y.data(), expected.data(), y.size()) < 1e-6);
    return;
  }
  const Tensor<float, 4> stored = unpacked(p, w_shape, WeightUse::convolution, "test");
  const auto [N, O, OH, OW] = y.shape();
  const auto [O_, C, KH, KW] = w_shape;
  const Index K = C * KH * KW;
  std::vector<float> patch(static_cast<std::size_t>(K));
  for (Index n = 0; n < N; ++n)
    for (Index i = 0; i < OH; ++i)
      for (Index j = 0; j < OW; ++j) {
        for (Index k = 0; k < K; ++k) {
          const Index h = i * o.stride - o.padding.top + k / KW % KH * o.dilation;
          const Index v = j * o.stride - o.padding.left + k % KW * o.dilation;
          const bool inside = h >= 0 && v >= 0 && h < x_shape[2] && v < x_shape[3];
          patch[static_cast<std::size_t>(k)] = inside ? x(n, k / (KH * KW), h, v) : 0;
        }
        for (Index oc = 0; oc < O; ++oc)
          check_element(patch.data(), stored.data() + oc * K, K, bias(oc), type, y(n, oc, i, j));
      }
}

}  // namespace

TEST_CASE("weights: names of the types") {
  for (WeightType type : all_types) CHECK(weight_type_from_string(to_string(type)) == type);
  CHECK(to_string(WeightType::q8) == "q8");
  CHECK_THROWS_AS(weight_type_from_string("int3"), ConfigError);
}

TEST_CASE("weights: stored numbers are as near as their type allows") {
  for (WeightUse use : {WeightUse::linear, WeightUse::convolution})
    for (const Shape<2>& shape :
         {Shape<2>{1, 1}, Shape<2>{5, 7}, Shape<2>{48, 64}, Shape<2>{53, 1601}, Shape<2>{9, 770}})
      for (WeightType type : all_types) {
        const Index out = shape[0], K = shape[1];
        INFO(to_string(type) << " " << out << " x " << K);
        const auto w = random_tensor(Shape<2>{out, K}, 5);
        const PackedWeight p(out, K, w.data(), type, use);
        CHECK(p.out() == out);
        CHECK(p.depth() == K);
        std::vector<float> stored(static_cast<std::size_t>(out * K), -1.0f);
        p.unpack(stored.data());
        bool near = true;
        for (Index i = 0; i < out * K; ++i) {
          const double size = magnitude(w.data() + i / K * K, i % K, K, type);
          const double error = std::abs(static_cast<double>(stored[static_cast<std::size_t>(i)]) -
                                        static_cast<double>(w.data()[i]));
          near = near && error <= rounding(type) * size * (1 + 1e-6) + 0x1p-25;  // f16 has no numbers below 2^-24
        }
        CHECK(near);
      }
}

TEST_CASE("weights: half and bfloat16 keep their numbers, whatever panel they lie in") {
  const Index out = 50, K = 900;
  const auto w = random_tensor(Shape<2>{out, K}, 6);
  std::vector<half> h(static_cast<std::size_t>(out * K));
  std::vector<bfloat16> b(h.size());
  to_half(w.span(), h);
  to_bfloat16(w.span(), b);
  std::vector<float> expected(h.size()), stored(h.size());
  for (WeightUse use : {WeightUse::linear, WeightUse::convolution}) {
    to_float(std::span<const half>(h), expected);
    for (WeightType type : {WeightType::f16, WeightType::f32}) {
      PackedWeight(out, K, h.data(), type, use).unpack(stored.data());
      CHECK(stored == expected);
    }
    to_float(std::span<const bfloat16>(b), expected);
    for (WeightType type : {WeightType::bf16, WeightType::f32}) {
      PackedWeight(out, K, b.data(), type, use).unpack(stored.data());
      CHECK(stored == expected);
    }
  }
}

TEST_CASE("weights: memory") {
  const Index out = 640, K = 5760;
  const auto w = random_tensor(Shape<2>{out, K}, 7);
  for (const auto& [type, most] : {std::pair{WeightType::f32, 4.0}, std::pair{WeightType::f16, 2.0},
                                   std::pair{WeightType::bf16, 2.0}, std::pair{WeightType::q8, 1.06}}) {
    const PackedWeight convolution(out, K, w.data(), type, WeightUse::convolution);
    CHECK(static_cast<double>(convolution.bytes()) <= most * static_cast<double>(out * K));
    // columns come in panels of up to 48: 640 are stored as 672
    const PackedWeight linear(out, K, w.data(), type, WeightUse::linear);
    CHECK(static_cast<double>(linear.bytes()) <= most * 1.05 * static_cast<double>(out * K));
  }
}

TEST_CASE("weights: linear layers agree with the weights as stored, at every edge of the tiles") {
  largest_share = 0;
  for (WeightType type : all_types)
    for (Index rows : {1, 3, 4, 8, 13})
      for (Index out : {1, 17, 48, 99})
        for (Index K : {1, 2, 31, 64, 65, 400}) check_linear(rows, out, K, type, rows % 2 == 1);
  for (WeightType type : all_types) {
    check_linear(11, 50, 1601, type, true);  // several blocks of k
    check_linear(77, 530, 97, type, true);   // several blocks of columns
    const Threads two(2);
    check_linear(90, 600, 800, type, false);
  }
  MESSAGE("largest share of the tolerance: " << largest_share);
}

TEST_CASE("weights: convolutions agree with the weights as stored") {
  largest_share = 0;
  Conv2dOptions same, strided, dilated, plain, grouped;
  same.padding = Padding::all(1);
  strided.stride = 2;
  strided.padding = {0, 1, 0, 1};
  dilated.dilation = 2;
  dilated.padding = Padding::all(2);
  grouped.groups = 2;
  for (WeightType type : all_types) {
    check_conv({2, 3, 7, 9}, {5, 3, 3, 3}, same, type);  // an odd number of rows of the patch matrix
    check_conv({1, 16, 16, 16}, {17, 16, 3, 3}, same, type);
    check_conv({1, 4, 5, 64}, {9, 4, 3, 3}, same, type);
    check_conv({1, 180, 8, 8}, {9, 180, 3, 3}, same, type);  // several blocks of k
    check_conv({2, 5, 9, 8}, {6, 5, 3, 3}, strided, type);
    check_conv({1, 3, 9, 10}, {4, 3, 3, 3}, dilated, type);
    check_conv({2, 33, 5, 5}, {20, 33, 1, 1}, plain, type);  // images whose end falls into a panel
    check_conv({1, 8, 6, 6}, {4, 4, 3, 3}, grouped, type);
  }
  // The image itself is the matrix: blocks of columns and of k, each packed while the one before is multiplied.
  for (WeightType type : all_types) {
    check_conv({2, 1300, 20, 17}, {17, 1300, 1, 1}, plain, type);
    check_conv({1, 30, 64, 64}, {9, 30, 1, 1}, plain, type);
  }
  MESSAGE("largest share of the tolerance: " << largest_share);
}

// At the shapes of Stable Diffusion's U-Net. The error of one layer is that of the weights and of the activations,
// which add up as squares; both are relative to numbers that are themselves multiplied with independent ones, so
// sums of any length keep the relative error of their terms.
TEST_CASE("weights: distance from fp32") {
  std::ostringstream table;
  table << "relative rms difference from fp32 (bound)";
  for (WeightType type : all_types) {
    const double once = rms_bound(type), bound = (rounds_activations(type) ? std::sqrt(2.0) : 1) * once + 1e-6;
    table << "\n  " << to_string(type) << " (" << bound << "):";
    for (const auto& [rows, K, out] : {Shape<3>{64, 320, 320}, Shape<3>{16, 1280, 320}, Shape<3>{77, 768, 64}}) {
      const auto x = random_tensor(Shape<2>{rows, K}, 8);
      const auto w = random_tensor(Shape<2>{out, K}, 9, 0.02f);
      const auto exact = fast::linear(x, w, nullptr), y = fast::linear(x, packed(w, type), nullptr);
      const double error = rms_difference(y.data(), exact.data(), y.size());
      table << "  linear " << rows << "x" << K << "->" << out << " " << error;
      CHECK(error <= bound);
    }
    Conv2dOptions same;
    same.padding = Padding::all(1);
    const auto x = random_tensor(Shape<4>{1, 320, 12, 16}, 10);
    const auto w = random_tensor(Shape<4>{64, 320, 3, 3}, 11, 0.02f);
    const auto exact = convolve(x, packed(w, WeightType::f32), w.shape(), nullptr, same);
    const auto y = convolve(x, packed(w, type), w.shape(), nullptr, same);
    const double error = rms_difference(y.data(), exact.data(), y.size());
    table << "  conv 320@12x16->64 " << error;
    CHECK(error <= bound);
  }
  MESSAGE(table.str());
}

TEST_CASE("weights: the same bytes with any number of threads") {
  const auto x = random_tensor(Shape<3>{2, 75, 500}, 12);
  const auto w = random_tensor(Shape<2>{700, 500}, 13);
  const auto image = random_tensor(Shape<4>{2, 40, 24, 20}, 14);
  const auto kernel = random_tensor(Shape<4>{70, 40, 3, 3}, 15);
  const auto channels = random_tensor(Shape<4>{2, 650, 24, 20}, 16);
  const auto mixing = random_tensor(Shape<4>{70, 650, 1, 1}, 17);
  Conv2dOptions same;
  same.padding = Padding::all(1);
  for (WeightType type : all_types) {
    INFO(to_string(type));
    std::vector<std::vector<float>> first;
    for (int threads : {1, 2, 3}) {
      const Threads t(threads);
      const auto y = fast::linear(x, packed(w, type), nullptr);  // packed with as many threads
      const auto z = convolve(image, packed(kernel, type), kernel.shape(), nullptr, same);
      const auto mixed = convolve(channels, packed(mixing, type), mixing.shape(), nullptr, {});
      const std::vector<std::vector<float>> bytes = {
          {y.begin(), y.end()}, {z.begin(), z.end()}, {mixed.begin(), mixed.end()}};
      if (threads == 1) first = bytes;
      CHECK(bytes == first);
    }
  }
}

TEST_CASE("weights: infinity and NaN are not lost") {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (WeightType type : all_types)
    for (float bad : {infinity, nan}) {
      INFO(to_string(type) << " " << bad);
      const double near = type == WeightType::q8 ? 0.01 : 1e-5;  // the scale of a block is rounded up by up to 2^-7
      const auto ones = Tensor<float, 2>(Shape<2>{9, 130}, 1.0f), w = Tensor<float, 2>(Shape<2>{50, 130}, 1.0f);
      Tensor<float, 2> x = ones, v = w;
      x(3, 70) = bad;
      const auto y = fast::linear(x, packed(w, type), nullptr);
      CHECK(!std::isfinite(y(3, 20)));
      CHECK(y(4, 20) == doctest::Approx(130).epsilon(near));
      v(20, 70) = bad;
      const auto z = fast::linear(ones, packed(v, type), nullptr);
      CHECK(!std::isfinite(z(3, 20)));
      CHECK(z(3, 21) == doctest::Approx(130).epsilon(near));
      Tensor<float, 4> image(Shape<4>{1, 130, 1, 50}, 1.0f);
      image(0, 70, 0, 30) = bad;
      const auto c = fast::conv2d(image, packed(Tensor<float, 4>(Shape<4>{9, 130, 1, 1}, 1.0f), type),
                                  Shape<4>{9, 130, 1, 1}, nullptr, {});
      CHECK(!std::isfinite(c(0, 3, 0, 30)));
      CHECK(c(0, 3, 0, 31) == doctest::Approx(130).epsilon(near));
    }
}

TEST_CASE("weights: zeros and very small numbers") {
  for (WeightType type : {WeightType::f32, WeightType::bf16, WeightType::q8}) {
    INFO(to_string(type));
    Tensor<float, 2> w(Shape<2>{3, 100}), x(Shape<2>{5, 100}, 2.0f);
    const auto zero = fast::linear(x, packed(w, type), nullptr);
    for (float v : zero) CHECK(v == 0);
    for (float& v : w) v = 1e-20f;
    for (float v : fast::linear(x, packed(w, type), nullptr)) CHECK(v == doctest::Approx(2e-18).epsilon(0.02));
  }
}

TEST_CASE("weights: what does not fit is refused") {
  const auto w = random_tensor(Shape<2>{6, 9}, 16);
  const Tensor<float, 2> x(Shape<2>{4, 9});
  const Tensor<float, 4> image(Shape<4>{1, 1, 5, 5});
  const PackedWeight p = packed(w, WeightType::bf16);
  const PackedWeight q(6, 9, w.data(), WeightType::bf16, WeightUse::convolution);
  CHECK_THROWS_AS(fast::linear(x, q, nullptr), ConfigError);
  CHECK_THROWS_AS(fast::conv2d(image, p, Shape<4>{6, 1, 3, 3}, nullptr, {}), ConfigError);
  CHECK_THROWS_AS(fast::linear(Tensor<float, 2>(Shape<2>{4, 8}), p, nullptr), ShapeError);
  CHECK_THROWS_AS(fast::conv2d(image, q, Shape<4>{5, 1, 3, 3}, nullptr, {}), ShapeError);
  CHECK_THROWS_AS(fast::conv2d(image, q, Shape<4>{6, 1, 3, 2}, nullptr, {}), ShapeError);
  const Tensor<float, 1> bias(Shape<1>{5});
  CHECK_THROWS_AS(fast::linear(x, p, &bias), ShapeError);
  CHECK_THROWS_AS(fast::linear(Tensor<float, 2>(Shape<2>{4, 9}), PackedWeight(), nullptr), ShapeError);
  // empty operands are none of this
  CHECK(fast::linear(Tensor<float, 2>(Shape<2>{0, 9}), p, nullptr).size() == 0);
  const PackedWeight nothing(4, 0, w.data(), WeightType::q8, WeightUse::linear);
  for (float v : fast::linear(Tensor<float, 2>(Shape<2>{3, 0}), nothing, nullptr)) CHECK(v == 0);
}
