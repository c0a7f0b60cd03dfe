// TAESD with its published weights: a photograph through the encoder and back. INKLING_PICTURES=FOLDER keeps what came
// out, beside what went in.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "inkling/io/image.hpp"
#include "inkling/models/taesd.hpp"
#include "inkling/pipelines/load.hpp"
#include "support.hpp"

using namespace inkling;

namespace {

// -10 log10(mean (a - b)^2), in dB, for pictures in [0, 1]
double psnr(const Tensor<float, 4>& a, const Tensor<float, 4>& b) {
  REQUIRE(a.shape() == b.shape());
  double squares = 0;
  for (Index i = 0; i < a.size(); ++i) {
    const double d = std::clamp(static_cast<double>(a.data()[i]), 0.0, 1.0) - static_cast<double>(b.data()[i]);
    squares += d * d;
  }
  return -10 * std::log10(squares / static_cast<double>(a.size()));
}

double standard_deviation(std::span<const float> x) {
  double sum = 0, squares = 0;
  for (const float v : x) sum += static_cast<double>(v), squares += static_cast<double>(v) * static_cast<double>(v);
  const double n = static_cast<double>(x.size()), mean = sum / n;
  return std::sqrt(squares / n - mean * mean);
}

}  // namespace

TEST_CASE("data: TAESD encodes and decodes a photograph") {
  TaesdEncoder<float> encoder;
  TaesdDecoder<float> decoder;
  const auto weights = inkling_test::data_dir() / "taesd";
  load_parameters(encoder, plain_weights(weights / "taesd_encoder.safetensors"));
  load_parameters(decoder, plain_weights(weights / "taesd_decoder.safetensors"));

  const Image photo = read_image(inkling_test::data_dir() / "photos" / "astronaut.png");
  const Index factor = photo.width / 256;  // down to 256 x 256, by the mean of squares of pixels
  REQUIRE(photo.width == photo.height);
  REQUIRE(factor * 256 == photo.width);
  kernels::PoolOptions mean;
  mean.kernel = mean.stride = factor;
  const Tensor<float, 4> image = kernels::avg_pool(image_to_tensor(photo, PixelRange::zero_to_one), mean);

  NoGrad no_grad;
  const Tensor<float, 4> latents = encoder.forward(Variable<float, 4>(image)).value();
  REQUIRE(latents.shape() == Shape<4>{1, 4, 32, 32});
  const std::size_t area = 32 * 32;
  for (std::size_t c = 0; c < 4; ++c) {
    const double std = standard_deviation(latents.span().subspan(c * area, area));
    MESSAGE("latent channel ", c, ": standard deviation ", std);
    // About 1, as a U-Net sees them; Stable Diffusion's scale 0.18215 applied once more or once less would be far off.
    CHECK(std > 0.5);
    CHECK(std < 1.5);
  }
  const Tensor<float, 4> back = decoder.forward(Variable<float, 4>(latents)).value();
  MESSAGE("PSNR ", psnr(back, image), " dB");
  CHECK(psnr(back, image) >= 21.5);

  if (const char* folder = std::getenv("INKLING_PICTURES"); folder != nullptr && *folder != '\0')
    write_png(std::filesystem::path(folder) / "taesd.png",
              tensor_to_image(kernels::concat(image, back, 3), PixelRange::zero_to_one));
}

TEST_CASE("TAESD says what it cannot encode or decode") {
  TaesdEncoder<float> encoder;
  TaesdDecoder<float> decoder;
  CHECK_THROWS_AS(encoder.forward(Variable<float, 4>(Tensor<float, 4>({1, 3, 20, 16}))), ShapeError);
  CHECK_THROWS_AS(encoder.forward(Variable<float, 4>(Tensor<float, 4>({1, 4, 16, 16}))), ShapeError);
  CHECK_THROWS_AS(decoder.forward(Variable<float, 4>(Tensor<float, 4>({1, 3, 2, 2}))), ShapeError);
  CHECK_THROWS_AS(encoder.forward(Variable<float, 4>(Tensor<float, 4>({1, 3, 16, 16}))), LoadError);  // no weights
}
