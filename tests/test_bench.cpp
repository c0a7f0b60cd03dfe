// What the benchmarks count with: the shapes they read off a model are those that a running model really sees.
#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "../bench/shapes.hpp"

namespace {

using namespace inkling;
using inkling_bench::Kind;
using inkling_bench::Work;

// Shapes of the outputs of all modules of a model while it runs.
template <class Module, class Run>
std::map<std::string, std::vector<Index>> seen_while(Module& module, const Run& run) {
  Generator generator(1);
  initialize(module, generator);
  std::map<std::string, std::vector<Index>> seen;
  Observer<float> observer;
  observer.on_output = [&](const std::string& path, std::span<const Index> shape, std::span<const float>) {
    seen[path].assign(shape.begin(), shape.end());
  };
  observer.watch(module);
  const Observation<float> observation(observer);
  const NoGrad no_grad;
  run();
  return seen;
}

// Every convolution, linear map, norm, attention and upsampling of the walk against what ran under its path.
void compare(const std::vector<Work>& walked, const std::map<std::string, std::vector<Index>>& seen) {
  std::map<Kind, int> compared;
  for (const Work& w : walked) {
    if (w.kind == Kind::gelu || w.kind == Kind::upsample) continue;  // no module of their own
    CAPTURE(w.path);
    CAPTURE(w.text());
    REQUIRE(seen.count(w.path) == 1);
    const std::vector<Index>& shape = seen.at(w.path);
    const auto& s = w.size;
    std::vector<Index> rows_and_width{1, shape.back()};
    for (std::size_t d = 0; d + 1 < shape.size(); ++d) rows_and_width[0] *= shape[d];
    switch (w.kind) {
      case Kind::conv: CHECK(shape == std::vector<Index>{s[0], s[2], w.output_side(), w.output_side()}); break;
      case Kind::linear: CHECK(rows_and_width == std::vector<Index>{s[0], s[2]}); break;
      case Kind::attention:
        if (shape.size() == 4)  // the autoencoder's: its image-shaped wrapper has the same path
          CHECK(shape[2] * shape[3] == s[1]);
        else
          CHECK(shape == std::vector<Index>{s[0], s[1], s[3] * s[4]});
        break;
      case Kind::layer_norm:
      case Kind::geglu: CHECK(rows_and_width == std::vector<Index>{s[0], s[1]}); break;
      default: CHECK(shape == std::vector<Index>{s[0], s[1], s[2], s[2]});  // norms, add
    }
    ++compared[w.kind];
  }
  MESSAGE(walked.size() << " calls, " << seen.size() << " modules");
  CHECK(compared[Kind::layer_norm] + compared[Kind::norm_silu] > 0);
  CHECK(compared[Kind::attention] > 0);
}

UNetConfig small_unet() {
  UNetConfig c;
  c.block_out_channels = {8, 16, 24};
  c.attention_levels = {true, true, false};
  c.heads = 2;
  c.cross_attention_dim = 12;
  c.norm_groups = 4;
  return c;
}

TEST_CASE("The shapes of the U-Net that are measured are those it runs with") {
  UNet<float> unet(small_unet());
  const auto seen = seen_while(unet, [&] {
    unet.forward(Variable<float, 4>(Tensor<float, 4>({2, 4, 16, 16})), Tensor<float, 1>({2}),
                 Variable<float, 3>(Tensor<float, 3>({2, 5, 12})));
  });
  compare(inkling_bench::unet_work(small_unet(), 2, 16, 5), seen);
}

TEST_CASE("The shapes of the autoencoder that are measured are those it runs with") {
  AutoencoderKLConfig c;
  c.block_out_channels = {8, 16, 16};
  c.norm_groups = 4;
  AutoencoderEncoder<float> encoder(c);
  compare(inkling_bench::encoder_work(c, 1, 4), seen_while(encoder, [&] {
            encoder.forward(Variable<float, 4>(Tensor<float, 4>({1, 3, 16, 16})));
          }));
  AutoencoderDecoder<float> decoder(c);
  compare(inkling_bench::decoder_work(c, 2, 4), seen_while(decoder, [&] {
            decoder.forward(Variable<float, 4>(Tensor<float, 4>({2, 4, 4, 4})));
          }));
}

TEST_CASE("The shapes of the text model that are measured are those it runs with") {
  ClipTextConfig c;
  c.vocab_size = 50, c.hidden_size = 8, c.intermediate_size = 32, c.layers = 2, c.heads = 2, c.max_positions = 7;
  c.bos_token_id = 48, c.eos_token_id = c.pad_token_id = 49;
  ClipTextModel<float> text(c);
  Tensor<std::int64_t, 2> ids({3, 7});
  ids.fill(49);
  compare(inkling_bench::text_work(c, 3), seen_while(text, [&] { text.forward(ids); }));
}

TEST_CASE("Operations and bytes of a call") {
  const Work conv{Kind::conv, {2, 3, 5, 7, 3, 2}};
  CHECK(conv.output_side() == 4);
  CHECK(conv.flops() == 2.0 * (2 * 5 * 4 * 4) * (3 * 3 * 3));
  CHECK(conv.bytes(2) == 4.0 * (2 * 3 * 7 * 7) + 4.0 * (2 * 5 * 4 * 4) + 2.0 * (5 * 3 * 3 * 3));
  const Work linear{Kind::linear, {2, 3, 5}};
  CHECK(linear.flops() == 2.0 * 2 * 3 * 5);
  CHECK(linear.bytes() == 4.0 * (2 * 3 + 3 * 5 + 2 * 5));
  const Work attention{Kind::attention, {2, 3, 5, 7, 11}};
  CHECK(attention.flops() == 2.0 * (2 * 7) * (3 * 5 * 11) * 2);
  CHECK(attention.bytes() == 4.0 * (2 * 7 * 11) * (3 + 5 + 5 + 3));
  CHECK(Work{Kind::geglu, {2, 3}}.bytes() == 4.0 * (2 * 3 * 3));
  CHECK(Work{Kind::upsample, {2, 3, 4}}.bytes() == 4.0 * (2 * 3 * 4 * 4) * (1 + 4));
}

TEST_CASE("Equal calls are joined, and their work stays") {
  const auto all = inkling_bench::unet_work(small_unet(), 1, 16, 5);
  const auto groups = inkling_bench::grouped(all);
  CHECK(groups.size() < all.size());
  CHECK(inkling_bench::total_flops(groups) == doctest::Approx(inkling_bench::total_flops(all)));
  const auto first = inkling_bench::heaviest(all, Kind::conv, 2);
  REQUIRE(first.size() == 2);
  CHECK(static_cast<double>(first[0].count) * first[0].flops() >= static_cast<double>(first[1].count) * first[1].flops());
}

// GFLOP of one call at 512 x 512, counted by hooks on PyTorch's modules when this project was planned.
TEST_CASE("The work of Stable Diffusion 1.5") {
  using namespace inkling_bench;
  const auto unet = unet_work(UNetConfig::sd15(), 1, 64);
  double conv3 = 0, conv1 = 0, linear = 0, attention = 0;
  for (const Work& w : unet) {
    if (w.kind == Kind::conv) (w.size[4] == 3 ? conv3 : conv1) += 1e-9 * w.flops();
    if (w.kind == Kind::linear) linear += 1e-9 * w.flops();
    if (w.kind == Kind::attention) attention += 1e-9 * w.flops();
  }
  MESSAGE("3x3 " << conv3 << ", 1x1 " << conv1 << ", linear " << linear << ", attention " << attention);
  CHECK(1e-9 * total_flops(unet) == doctest::Approx(803).epsilon(0.002));
  CHECK(1e-9 * total_flops(decoder_work(AutoencoderKLConfig::sd15(), 1, 64)) == doctest::Approx(2515).epsilon(0.002));
  CHECK(1e-9 * total_flops(encoder_work(AutoencoderKLConfig::sd15(), 1, 64)) == doctest::Approx(1117).epsilon(0.002));
  CHECK(1e-9 * total_flops(text_work(ClipTextConfig::sd15(), 1)) == doctest::Approx(13).epsilon(0.05));
  CHECK(conv3 == doctest::Approx(400).epsilon(0.01));
  CHECK(linear == doctest::Approx(233).epsilon(0.01));
  CHECK(attention == doctest::Approx(126).epsilon(0.01));
  CHECK(conv1 == doctest::Approx(44).epsilon(0.02));
}

}  // namespace
