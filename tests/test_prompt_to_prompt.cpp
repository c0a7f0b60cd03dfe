// Attention under another prompt, and word maps step by step, on the small random model.
#include "support.hpp"

#include <doctest/doctest.h>

#include "inkling/pipelines/load.hpp"
#include "inkling/pipelines/prompt_to_prompt.hpp"
#include "small_model.hpp"

namespace {

using namespace inkling;
using namespace inkling_test;

StableDiffusion& small_model() {
  static TempDir folder;
  static StableDiffusion model = [] {
    save_small_model(folder.path());
    return load_stable_diffusion(folder.path());
  }();
  return model;
}
TextToImageOptions small_options() {
  TextToImageOptions o;
  o.steps = 4, o.guidance = 3, o.seed = 5;
  return o;
}
double difference(const Tensor<float, 4>& a, Index n, const Tensor<float, 4>& b, Index m) {
  const Index size = a.size() / a.shape(0);
  double most = 0;
  for (Index i = 0; i < size; ++i)
    most = std::max(
        most, std::abs(static_cast<double>(a.data()[n * size + i]) - static_cast<double>(b.data()[m * size + i])));
  return most;
}

}  // namespace

TEST_CASE("word swap: the first picture is what its prompt paints, the second lies between") {
  StableDiffusion& model = small_model();
  const TextToImageOptions o = small_options();
  const Tensor<float, 4> own = text_to_image_batch(model, {{"a red 7", 5}, {"a sad 7", 5}}, o);
  const Tensor<float, 4> free = swap_word(model, "a red 7", "a sad 7", o, 0);
  CHECK(difference(free, 0, own, 0) == 0);
  CHECK(difference(free, 1, own, 1) == 0);
  const Tensor<float, 4> tied = swap_word(model, "a red 7", "a sad 7", o, 1);
  CHECK(difference(tied, 0, own, 0) == 0);
  CHECK(difference(tied, 1, own, 1) > 0);  // attention is not its own
  CHECK(difference(tied, 1, own, 0) > 0);  // but the words it finds are
  const Tensor<float, 4> half = swap_word(model, "a red 7", "a sad 7", o, 0.5);
  CHECK(difference(half, 1, tied, 1) > 0);
  CHECK(difference(half, 1, own, 1) > 0);
  const Tensor<float, 4> words_only = swap_word(model, "a red 7", "a sad 7", o, 1, false);
  CHECK(difference(words_only, 1, tied, 1) > 0);
}

TEST_CASE("word swap: a prompt of another length and an absurd share are refused") {
  CHECK_THROWS_AS(swap_word(small_model(), "a red 7", "a crimson 7", small_options()), ConfigError);
  CHECK_THROWS_AS(swap_word(small_model(), "a red 7", "a sad 7", small_options(), 1.5), ConfigError);
}

TEST_CASE("attention of every step: its mean is the attention of the whole run") {
  TextToImageOptions o = small_options();
  o.prompt = "a red 7", o.attention_maps = true;
  const Tensor<float, 3> whole = text_to_image(small_model(), o).attention;
  o.attention_steps = true;
  const TextToImageResult r = text_to_image(small_model(), o);
  REQUIRE(r.attention_steps.size() == 4);
  // Shares of at most 1, summed in another order: a few roundings of 2^-24.
  constexpr double tolerance = 64 * 0x1p-24;
  double worst = 0, between = 0;
  for (Index i = 0; i < whole.size(); ++i) {
    worst =
        std::max(worst, std::abs(static_cast<double>(whole.data()[i]) - static_cast<double>(r.attention.data()[i])));
    between = std::max(between, std::abs(static_cast<double>(r.attention_steps[0].data()[i]) -
                                         static_cast<double>(r.attention_steps[3].data()[i])));
  }
  MESSAGE("worst difference ", worst, " of ", tolerance, "; first to last step ", between);
  CHECK(worst < tolerance);
  CHECK(between > tolerance);
}

TEST_CASE("word map: the tokens of a word together") {
  Tensor<float, 3> maps({4, 1, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  const Tensor<float, 2> map = word_map(maps, {"word", 1, 2});
  CHECK(map(0, 0) == 8);
  CHECK(map(0, 1) == 10);
  CHECK_THROWS_AS(word_map(maps, {"word", 3, 4}), ShapeError);
}
