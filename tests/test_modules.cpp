// Every module: its backward against slopes measured in double, on the reference and on the fast kernels.
#include <doctest/doctest.h>

#include "inkling/autograd/gradient_check.hpp"
#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/clip.hpp"
#include "inkling/models/digit_classifier.hpp"
#include "inkling/models/taesd.hpp"
#include "inkling/models/unet.hpp"

using namespace inkling;

namespace {

// L = sum_i c_i y_i with fixed random c: a scalar that depends on every output differently.
template <std::size_t N>
Variable<double, 0> random_projection(const Variable<double, N>& y) {
  Generator g(99);
  Variable<double, N> c(g.randn<double>(y.shape()));
  return scale(mean(mul(y, c)), static_cast<double>(y.value().size()));
}

// Checks dL/d(parameter) for every parameter of the module and dL/d(input).
template <class Module, std::size_t N, class Forward>
void check_module(const std::string& name, Module& module, Shape<N> input_shape, Forward&& forward, double tolerance = 1e-6) {
  for (const bool reference : {true, false}) {
    CAPTURE(name);
    CAPTURE(reference);
    std::optional<kernels::UseReference> use;
    if (reference) use.emplace();
    Generator g(7);
    initialize(module, g);
    // Biases and gains away from 0 and 1, so that no gradient vanishes by accident.
    for_each_parameter(module, [&](const std::string&, auto& p) {
      if constexpr (std::remove_cvref_t<decltype(p)>::rank == 1)
        for (double& v : p.value()) v += 0.2 * g.normal();
      p.set_trainable(true);
    });
    Variable<double, N> x(g.randn<double>(input_shape));
    auto loss = [&] { return random_projection(forward(module, x)); };
    GradientCheck check;
    check_gradient(check, "input", x, loss, 6);
    for_each_parameter(module, [&](const std::string& path, auto& p) {
      check_gradient(check, path, p.variable(), loss, 2);
    });
    INFO(check.where);
    MESSAGE(name, std::string(reference ? " (reference)" : " (fast)"), ": worst relative difference ", check.worst, " over ",
            check.compared, " elements");
    CHECK(check.compared > 0);
    CHECK(check.worst < tolerance);
  }
}

UNetConfig small_unet() {
  UNetConfig c;
  c.block_out_channels = {8, 16};
  c.attention_levels = {true, false};
  c.layers_per_block = 1;
  c.heads = 2;
  c.cross_attention_dim = 6;
  c.norm_groups = 4;
  return c;
}

}  // namespace

TEST_CASE("modules: layers pass the gradient check") {
  Linear<double> linear_layer(5, 3);
  check_module("Linear", linear_layer, Shape<2>{4, 5}, [](auto& m, auto& x) { return m.forward(x); });
  Conv2d<double> conv(4, 6, 3, same_padding(3, 2));
  check_module("Conv2d", conv, Shape<4>{2, 4, 5, 6}, [](auto& m, auto& x) { return m.forward(x); });
  GroupNorm<double> group(8, 4, 1e-5);
  check_module("GroupNorm", group, Shape<4>{2, 8, 3, 3}, [](auto& m, auto& x) { return m.forward(x); });
  LayerNorm<double> layer(6);
  check_module("LayerNorm", layer, Shape<3>{2, 3, 6}, [](auto& m, auto& x) { return m.forward(x); });
  Attention<double> self(8, 8, 2);
  check_module("Attention (self)", self, Shape<3>{2, 5, 8}, [](auto& m, auto& x) { return m.forward(x, x); });
  Attention<double> cross(8, 6, 4);
  Generator g(3);
  const Variable<double, 3> context(g.randn<double>(Shape<3>{2, 7, 6}));
  check_module("Attention (cross)", cross, Shape<3>{2, 5, 8}, [&](auto& m, auto& x) { return m.forward(x, context); });
}

TEST_CASE("modules: embedding passes the gradient check") {
  Embedding<double> table(5, 4);
  const Tensor<std::int64_t, 2> ids({2, 3}, {0, 4, 4, 1, 0, 2});
  check_module("Embedding", table, Shape<3>{2, 3, 4},
               [&](auto& m, auto& x) { return mul(m.forward(ids), x); });
}

TEST_CASE("modules: blocks pass the gradient check") {
  Generator g(4);
  const Variable<double, 2> time(g.randn<double>(Shape<2>{2, 12}));
  ResnetBlock2D<double> resnet(8, 4, 12, 4, 1e-5);
  check_module("ResnetBlock2D", resnet, Shape<4>{2, 8, 4, 4}, [&](auto& m, auto& x) { return m.forward(x, time); });
  Downsample2D<double> down_unet(4, false), down_vae(4, true);
  check_module("Downsample2D", down_unet, Shape<4>{1, 4, 5, 6}, [](auto& m, auto& x) { return m.forward(x); });
  check_module("Downsample2D (asymmetric)", down_vae, Shape<4>{1, 4, 6, 6}, [](auto& m, auto& x) { return m.forward(x); });
  Upsample2D<double> up(4);
  check_module("Upsample2D (cut)", up, Shape<4>{1, 4, 3, 3}, [](auto& m, auto& x) { return m.forward(x, 5, 6); });
  for (const bool linear_projection : {false, true}) {
    UNetConfig c = small_unet();
    c.linear_projection = linear_projection;
    Transformer2D<double> transformer(8, c);
    const Variable<double, 3> context(g.randn<double>(Shape<3>{2, 5, 6}));
    check_module("Transformer2D", transformer, Shape<4>{2, 8, 3, 2},
                 [&](auto& m, auto& x) { return m.forward(x, context); });
  }
  SpatialSelfAttention<double> spatial(8, 4, 1e-6);
  check_module("SpatialSelfAttention", spatial, Shape<4>{1, 8, 3, 3}, [](auto& m, auto& x) { return m.forward(x); });
}

TEST_CASE("modules: whole models pass the gradient check") {
  Generator g(5);
  UNet<double> unet(small_unet());
  const Variable<double, 3> context(g.randn<double>(Shape<3>{2, 5, 6}));
  const Tensor<double, 1> t({2}, {981.0, 17.0});
  check_module("UNet", unet, Shape<4>{2, 4, 4, 6}, [&](auto& m, auto& x) { return m.forward(x, t, context); });

  AutoencoderKLConfig c;
  c.block_out_channels = {4, 8};
  c.layers_per_block = 1;
  c.norm_groups = 4;
  AutoencoderKL<double> vae(c);
  const Tensor<double, 4> eps = g.randn<double>(Shape<4>{2, 4, 3, 2});
  check_module("AutoencoderKL (encode, sample, decode)", vae, Shape<4>{2, 3, 6, 4},
               [&](auto& m, auto& x) { return m.decode(m.encode(x).sample(eps)); });

  TaesdEncoder<double> encoder;
  check_module("TaesdEncoder", encoder, Shape<4>{1, 3, 8, 8}, [](auto& m, auto& x) { return m.forward(x); });

  ClipTextConfig text;
  text.vocab_size = 20, text.hidden_size = 8, text.intermediate_size = 16, text.layers = 2, text.heads = 2;
  text.max_positions = 6, text.projection_dim = 5, text.eos_token_id = 19;
  ClipVisionConfig vision;
  vision.image_size = 8, vision.patch_size = 4, vision.hidden_size = 8, vision.intermediate_size = 16;
  vision.layers = 1, vision.heads = 2;
  ClipModel<double> clip(text, vision);
  const Tensor<std::int64_t, 2> ids({3, 6}, {18, 3, 4, 19, 19, 19, 18, 19, 19, 19, 19, 19, 18, 7, 7, 2, 1, 19});
  check_module("ClipModel (contrastive loss)", clip, Shape<4>{3, 3, 8, 8}, [&](auto& m, auto& x) {
    return m.contrastive_loss(m.logits_per_image(m.image_embeds(x), m.text_embeds(ids)));
  });
}

TEST_CASE("modules: a shared input receives the sum of its gradients") {
  Variable<double, 1> x(Tensor<double, 1>({2}, {3.0, -2.0}), true);
  backward(mean(add(mul(x, x), x)));  // L = (x^2 + x) averaged over 2: dL/dx = (2x + 1) / 2
  CHECK(x.grad()(0) == doctest::Approx(3.5));
  CHECK(x.grad()(1) == doctest::Approx(-1.5));
}

TEST_CASE("modules: under NoGrad nothing is recorded, and backward says so") {
  Variable<double, 1> x(Tensor<double, 1>({2}, {3.0, -2.0}), true);
  {
    NoGrad no_grad;
    const auto y = mean(mul(x, x));
    CHECK_FALSE(y.requires_grad());
    CHECK_THROWS_AS(backward(y), Error);
  }
  CHECK(mean(mul(x, x)).requires_grad());
}

TEST_CASE("modules: a model of any size is counted without storage") {
  UNet<float> unet(UNetConfig::sd15());
  AutoencoderKL<float> vae(AutoencoderKLConfig::sd15());
  ClipTextModel<float> text(ClipTextConfig::sd15());
  CHECK(count_parameters(unet) == 859520964);  // CompVis' v1-inference.yaml models, counted in the public checkpoint
  CHECK(count_parameters(vae) == 83653863);
  CHECK(count_parameters(text) == 123060480);
  for_each_parameter(unet, [](const std::string&, auto& p) { CHECK_FALSE(p.allocated()); });
}

TEST_CASE("modules: a forward without weights says what to do") {
  UNet<float> unet(small_unet());
  const Tensor<float, 1> t({1}, {5.0f});
  const Variable<float, 3> context(Tensor<float, 3>({1, 5, 6}));
  CHECK_THROWS_WITH_AS(unet.forward(Variable<float, 4>(Tensor<float, 4>({1, 4, 4, 4})), t, context),
                       doctest::Contains("load a checkpoint"), LoadError);
  CHECK_THROWS_WITH_AS(unet.forward(Variable<float, 4>(Tensor<float, 4>({1, 9, 4, 4})), t, context),
                       doctest::Contains("expected 4 channels"), ShapeError);
  CHECK_THROWS_AS(unet.forward(Variable<float, 4>(Tensor<float, 4>({1, 4, 4, 4})), t,
                               Variable<float, 3>(Tensor<float, 3>({1, 5, 7}))),
                  ShapeError);
}
