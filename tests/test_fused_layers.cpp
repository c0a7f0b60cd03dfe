// Layers with packed weights that do what follows them, too: the same numbers as one step after another.
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "inkling/models/blocks.hpp"
#include "inkling/models/clip_encoder.hpp"
#include "inkling/models/transformer_2d.hpp"
#include "support.hpp"

using namespace inkling;
using namespace inkling::kernels;
using namespace inkling_test;

namespace {

std::mt19937 generator;

template <std::size_t N>
Tensor<float, N> random(const Shape<N>& shape, float size = 1) {
  std::uniform_real_distribution<float> uniform(-size, size);
  Tensor<float, N> x(shape);
  for (float& v : x) v = uniform(generator);
  return x;
}
template <std::size_t N>
bool same_bytes(const Tensor<float, N>& a, const Tensor<float, N>& b) {
  return a.shape() == b.shape() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) == 0;
}
constexpr WeightType all_types[] = {WeightType::f32, WeightType::f16, WeightType::bf16, WeightType::q8};
constexpr Activation some_functions[] = {Activation::silu, Activation::gelu, Activation::quick_gelu, Activation::relu};

// Two ways to add the same K + 2 numbers of about this size in fp32, each sum off by at most half an epsilon of itself;
// what follows has a slope of at most 1.13 (GELU), or is a product of two such sums.
double tolerance(Index K, double size) {
  return (static_cast<double>(K) / 8 + 16) * static_cast<double>(std::numeric_limits<float>::epsilon()) * size;
}
template <std::size_t N>
void agree(const char* name, const Tensor<float, N>& got, const Tensor<float, N>& expected, Index K) {
  REQUIRE(to_string(got.shape()) == to_string(expected.shape()));
  const Worst w = compare(got, expected);
  CHECK_MESSAGE(w.error <= tolerance(K, w.scale + 1), name << ": " << w << ", tolerance " << tolerance(K, w.scale + 1));
}
// Activations are rounded to what bf16 and 8 bits hold, which the formulas do not do: those weights are compared with
// the fast kernels one after another only.
bool rounds_activations(WeightType type) { return type == WeightType::bf16 || type == WeightType::q8; }

struct LinearCase {
  Index rows, in, out;
};
// One row, rows that fill no tile, the tokens of a text; K of one block and of several (also in bf16), odd; outputs
// that fill no panel.
const LinearCase linear_cases[] = {{1, 40, 96}, {5, 33, 10}, {77, 96, 160}, {13, 900, 100}, {24, 1700, 48}, {3, 8, 2}};

struct ConvCase {
  Shape<4> x;
  Index out, kernel, stride;
};
// Winograd, with slices of channels; direct; 1x1; two images; a stride
const ConvCase conv_cases[] = {{{1, 32, 16, 16}, 40, 3, 1}, {{1, 520, 16, 16}, 8, 3, 1}, {{2, 24, 9, 7}, 17, 1, 1},
                               {{1, 16, 8, 8}, 5, 3, 2},    {{1, 500, 8, 8}, 24, 1, 1},  {{2, 32, 13, 18}, 16, 3, 1}};

}  // namespace

TEST_CASE("linear layers with a residual, an activation or the gate of GEGLU are what their parts compute") {
  generator.seed(1);
  for (const WeightType type : all_types)
    for (const LinearCase& c : linear_cases)
      for (const bool with_bias : {false, true}) {
        CAPTURE(to_string(type));
        CAPTURE(to_string(Shape<3>{c.rows, c.in, c.out}));
        const auto w = random(Shape<2>{c.out, c.in}, 1 / std::sqrt(static_cast<float>(c.in)));
        const auto x = random(Shape<3>{1, c.rows, c.in}), residual = random(Shape<3>{1, c.rows, c.out});
        const auto numbers = random(Shape<1>{c.out});
        const Tensor<float, 1>* bias = with_bias ? &numbers : nullptr;
        const PackedWeight packed(c.out, c.in, w.data(), type, WeightUse::linear);
        const PackedWeight gated(c.out, c.in, w.data(), type, WeightUse::gated);
        const auto plain = fast::linear(x, packed, bias);
        const auto sum = fast::linear_add(x, packed, bias, residual);
        agree("residual", sum, fast::binary(Binary::add, residual, plain), c.in);
        Tensor<float, 3> given = residual;
        const float* place = given.data();
        const auto over = fast::linear_add(x, packed, bias, std::move(given));
        CHECK(over.data() == place);
        CHECK(same_bytes(over, sum));
        for (const Activation f : some_functions)
          agree("activation", fast::linear_activation(x, packed, bias, f), fast::activation(f, plain), c.in);
        const auto geglu = fast::linear_geglu(x, gated, bias);
        agree("GEGLU", geglu, fast::geglu(plain), c.in);
        agree("GEGLU, not interleaved", fast::linear_geglu(x, packed, bias), fast::geglu(plain), c.in);
        // A gated weight holds the same numbers in another order, and can do all that any other can.
        const auto w0 = unpacked(packed, w.shape(), WeightUse::linear, "test");
        CHECK(same_bytes(unpacked(gated, w.shape(), WeightUse::gated, "test"), w0));
        if (rounds_activations(type)) continue;
        agree("gated, as a plain layer", fast::linear(x, gated, bias), plain, c.in);
        agree("gated, residual", fast::linear_add(x, gated, bias, residual), sum, c.in);
        agree("residual, by the formula", sum, reference::linear_add(x, packed, bias, residual), c.in);
        agree("GEGLU, by the formula", geglu, reference::linear_geglu(x, gated, bias), c.in);
        agree("activation, by the formula", fast::linear_activation(x, packed, bias, Activation::quick_gelu),
              reference::linear_activation(x, packed, bias, Activation::quick_gelu), c.in);
      }
}

TEST_CASE("convolutions with a residual or an activation are what their parts compute") {
  generator.seed(2);
  for (const WeightType type : all_types)
    for (const ConvCase& c : conv_cases) {
      CAPTURE(to_string(type));
      CAPTURE(to_string(c.x));
      const auto o = same_padding(c.kernel, c.stride);
      const Shape<4> w_shape{c.out, c.x[1], c.kernel, c.kernel};
      const Index K = c.x[1] * c.kernel * c.kernel;
      const auto w = random(w_shape, 1 / std::sqrt(static_cast<float>(K)));
      const auto x = random(c.x), residual = random(conv2d_output_shape(c.x, w_shape, o));
      const auto bias = random(Shape<1>{c.out});
      const PackedWeight packed(c.out, K, w.data(), type, WeightUse::convolution);
      const auto plain = fast::conv2d(x, packed, w_shape, &bias, o);
      const auto sum = fast::conv2d_add(x, packed, w_shape, &bias, o, residual);
      agree("residual", sum, fast::binary(Binary::add, residual, plain), K);
      CHECK(same_bytes(fast::conv2d_add(x, packed, w_shape, &bias, o, Tensor<float, 4>(residual)), sum));
      for (const Activation f : some_functions)
        agree("activation", fast::conv2d_activation(x, packed, w_shape, &bias, o, f), fast::activation(f, plain), K);
      if (rounds_activations(type)) continue;
      // Winograd's errors: kernels/fast/winograd.hpp
      agree("residual, by the formula", sum, reference::conv2d_add(x, packed, w_shape, &bias, o, residual), 4 * K);
    }
}

TEST_CASE("fused layers give the same bytes with 1, 2 and 3 threads") {
  const int before = num_threads();
  generator.seed(3);
  const auto x = random(Shape<3>{1, 77, 800}), residual = random(Shape<3>{1, 77, 1000});
  const auto image = random(Shape<4>{1, 64, 32, 32}), image_residual = random(Shape<4>{1, 48, 32, 32});
  const auto w = random(Shape<2>{1000, 800}, 0.03F);
  const auto filters = random(Shape<4>{48, 64, 3, 3}, 0.04F);
  const auto bias = random(Shape<1>{1000}), image_bias = random(Shape<1>{48});
  for (const WeightType type : all_types) {
    const PackedWeight packed(1000, 800, w.data(), type, WeightUse::linear);
    const PackedWeight gated(1000, 800, w.data(), type, WeightUse::gated);
    const PackedWeight conv(48, 576, filters.data(), type, WeightUse::convolution);
    const auto run = [&](int threads) {
      set_num_threads(threads);
      return std::tuple(fast::linear_add(x, packed, &bias, residual),
                        fast::linear_activation(x, packed, &bias, Activation::gelu),
                        fast::linear_geglu(x, gated, &bias),
                        fast::conv2d_add(image, conv, filters.shape(), &image_bias, same_padding(3), image_residual));
    };
    const auto one = run(1);
    for (const int threads : {2, 3}) {
      const auto many = run(threads);
      CHECK(same_bytes(std::get<0>(one), std::get<0>(many)));
      CHECK(same_bytes(std::get<1>(one), std::get<1>(many)));
      CHECK(same_bytes(std::get<2>(one), std::get<2>(many)));
      CHECK(same_bytes(std::get<3>(one), std::get<3>(many)));
    }
  }
  set_num_threads(before);
}

TEST_CASE("fused layers refuse what does not fit") {
  const auto w = random(Shape<2>{6, 4});
  const PackedWeight linear(6, 4, w.data(), WeightType::f32, WeightUse::linear);
  const PackedWeight convolution(6, 4, w.data(), WeightType::f32, WeightUse::convolution);
  const Tensor<float, 2> x(Shape<2>{3, 4}), wrong(Shape<2>{3, 5});
  const Tensor<float, 4> image(Shape<4>{1, 4, 2, 2});
  const Shape<4> w_shape{6, 4, 1, 1};
  CHECK_THROWS_AS(fast::linear_add(x, linear, nullptr, wrong), ShapeError);
  CHECK_THROWS_AS(fast::linear_add(x, linear, nullptr, Tensor<float, 2>(wrong)), ShapeError);
  CHECK_THROWS_AS(fast::linear_add(x, convolution, nullptr, Tensor<float, 2>(Shape<2>{3, 6})), ConfigError);
  CHECK_THROWS_AS(fast::linear_geglu(x, convolution, nullptr), ConfigError);
  CHECK_THROWS_AS(fast::conv2d_add(image, convolution, w_shape, nullptr, {}, image), ShapeError);
  CHECK_THROWS_AS(fast::conv2d_add(image, linear, w_shape, nullptr, {}, image), ConfigError);
  CHECK_THROWS_AS(PackedWeight(5, 4, w.data(), WeightType::f32, WeightUse::gated), ShapeError);
}

TEST_CASE("gradients of fused layers are those of their parts") {
  generator.seed(4);
  const auto leaf = [](const auto& values) {
    return Variable<float, std::decay_t<decltype(values.shape())>().size()>(values, true);
  };
  const auto w = random(Shape<2>{12, 20}, 0.2F);
  const auto filters = random(Shape<4>{6, 4, 3, 3}, 0.2F);
  const Variable<float, 2> plain_w(w);
  const Variable<float, 4> plain_filters(filters);
  const PackedWeight packed(12, 20, w.data(), WeightType::f32, WeightUse::linear);
  const PackedWeight gated(12, 20, w.data(), WeightType::f32, WeightUse::gated);
  const PackedWeight conv(6, 36, filters.data(), WeightType::f32, WeightUse::convolution);
  const auto x0 = random(Shape<2>{7, 20}), r0 = random(Shape<2>{7, 12});
  const auto b0 = random(Shape<1>{12}), c0 = random(Shape<1>{6});
  const auto i0 = random(Shape<4>{2, 4, 5, 5}), q0 = random(Shape<4>{2, 6, 5, 5});
  // fused(x, bias, residual) and parts(...) must hand the same gradients to all three.
  const auto check = [&](const auto& x_values, const auto& bias_values, const auto& r_values, const auto& fused,
                         const auto& parts) {
    const auto x = leaf(x_values), x2 = leaf(x_values), r = leaf(r_values), r2 = leaf(r_values);
    const auto b = leaf(bias_values), b2 = leaf(bias_values);
    const auto y = fused(x, b, r), y2 = parts(x2, b2, r2);
    agree("y", y.value(), y2.value(), 40);
    const auto seed = random(y.shape());
    backward(y, seed);
    backward(y2, seed);
    agree("dx", x.grad(), x2.grad(), 40);
    agree("dbias", b.grad(), b2.grad(), 60);
    CHECK(r.has_grad() == r2.has_grad());
    if (r2.has_grad()) agree("dresidual", r.grad(), r2.grad(), 1);
    agree("the residual stays", r.value(), r_values, 0);
  };
  const auto o = same_padding(3);
  check(x0, b0, r0, [&](auto& x, auto& b, auto& r) { return linear_add(x, packed, b, r); },
        [&](auto& x, auto& b, auto& r) { return add(r, linear(x, plain_w, b)); });
  check(x0, b0, r0, [&](auto& x, auto& b, auto&) { return linear_activation(x, packed, b, Activation::gelu); },
        [&](auto& x, auto& b, auto&) { return activation(Activation::gelu, linear(x, plain_w, b)); });
  check(x0, b0, r0, [&](auto& x, auto& b, auto&) { return linear_geglu(x, gated, b); },
        [&](auto& x, auto& b, auto&) { return geglu(linear(x, plain_w, b)); });
  check(i0, c0, q0, [&](auto& x, auto& b, auto& r) { return conv2d_add(x, conv, filters.shape(), b, o, r); },
        [&](auto& x, auto& b, auto& r) { return add(r, conv2d(x, plain_filters, b, o)); });
  check(i0, c0, q0,
        [&](auto& x, auto& b, auto&) { return conv2d_activation(x, conv, filters.shape(), b, o, Activation::silu); },
        [&](auto& x, auto& b, auto&) { return activation(Activation::silu, conv2d(x, plain_filters, b, o)); });
}

namespace {

// Packed and fused, packed but watched (so one step after another), and as tensors: the same results.
template <class Module, class Call>
void three_ways(const char* name, Module& module, const std::vector<std::string>& seen, const Call& call) {
  Generator numbers(5);
  initialize(module, numbers);
  NoGrad no_grad;
  const auto plain = call();
  pack_parameters(module, WeightType::f32);
  const auto fused = call();
  agree(name, fused, plain, 400);
  Observer<float> observer;
  observer.watch(module);
  std::vector<std::string> paths;
  observer.on_output = [&](const std::string& path, auto, auto) { paths.push_back(path); };
  const Observation<float> watching(observer);
  agree(name, call(), plain, 400);
  for (const std::string& path : seen) CHECK_MESSAGE(std::count(paths.begin(), paths.end(), path) == 1, path);
}

}  // namespace

TEST_CASE("blocks give the same with packed weights in one pass, watched, and with tensors") {
  generator.seed(6);
  const Variable<float, 4> image(random(Shape<4>{2, 32, 12, 12}));
  const Variable<float, 3> tokens(random(Shape<3>{2, 9, 64})), context(random(Shape<3>{2, 5, 24}));
  const Variable<float, 2> time(random(Shape<2>{2, 20}));
  const Tensor<float, 4> image0 = image.value();
  const Tensor<float, 3> tokens0 = tokens.value();
  ResnetBlock2D<float> same(32, 32, 20, 8, 1e-5), wider(32, 48, 0, 8, 1e-5);
  three_ways("residual block", same, {"conv1", "conv2"}, [&] { return same.forward(image, time).value(); });
  three_ways("with a shortcut", wider, {"conv2", "conv_shortcut"}, [&] { return wider.forward(image).value(); });
  BasicTransformerBlock<float> block(64, 4, 24);
  three_ways("transformer block", block, {"attn1", "attn1.to_out.0", "attn2", "ff", "ff.net.0", "ff.net.0.proj"},
             [&] { return block.forward(tokens, context).value(); });
  ClipEncoderLayer<float> layer(64, 100, 4, Activation::quick_gelu, 1e-5, true);
  three_ways("layer of CLIP", layer, {"self_attn", "mlp", "mlp.fc1", "mlp.fc2"},
             [&] { return layer.forward(tokens).value(); });
  UNetConfig config;
  config.norm_groups = 8, config.cross_attention_dim = 24, config.heads = 4;
  for (const bool linear_projection : {false, true}) {
    config.linear_projection = linear_projection;
    Transformer2D<float> transformer(32, config);
    three_ways("transformer", transformer, {"proj_in", "proj_out"},
               [&] { return transformer.forward(image, context).value(); });
  }
  CHECK(same_bytes(image.value(), image0));  // nothing was written over what others see
  CHECK(same_bytes(tokens.value(), tokens0));
}
