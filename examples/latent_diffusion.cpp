// The same denoiser on pixels and on latents: time, memory, quality. And what the full-size model saves by working on
// 64x64x4 numbers instead of 512x512x3. --train yes trains both denoisers again (15 minutes of one core),
// --train pixels or --train latents one of the two.
// test: --out pictures/latent_diffusion
#include <inkling/core/stopwatch.hpp>
#include <inkling/diffusion/sampler.hpp>
#include <inkling/pipelines/denoise.hpp>
#include <inkling/pipelines/load.hpp>
#include <inkling/pipelines/load_taesd.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/masks.hpp>
#include <inkling/train/image_measure.hpp>
#include <inkling/train/ink_denoiser.hpp>
#include <inkling/train/ink_judge.hpp>
#include <inkling/train/load_or_train.hpp>

#include <map>

#include "example.hpp"

using namespace inkling;

namespace {

// One space to work in: 32x32x3 pixels, or the 8x8x4 latents of the small model's autoencoder.
struct Space {
  std::string name;
  Index channels, side;
  Index steps, batch;  // of training, for about the same time
};
struct Result {
  double seconds, megabytes, right;
};

// 48 times fewer numbers, shown with modules of full size: they know their shapes before they have memory.
void full_size(const Example& example) {
  const AutoencoderKLConfig vae = AutoencoderKLConfig::sd15();
  UNet<float> unet(UNetConfig::sd15());
  AutoencoderKL<float> autoencoder(vae);
  const Index pixels = 512 * 512 * vae.in_channels, side = 512 / vae.downsampling(),
              latents = side * side * vae.latent_channels;
  std::printf("Stable Diffusion 1.5: %td numbers a picture, %td a latent: %td times fewer\n", pixels, latents,
              pixels / latents);
  std::printf("  paid for once, by an autoencoder of %td parameters; the U-Net of %td works 25 times on the latent\n",
              count_parameters(autoencoder), count_parameters(unet));
  std::printf(
      "  every convolution at %tdx fewer places; attention at full size compares %.1f million pairs, not %.0f\n",
      512 * 512 / (side * side), std::pow(side, 4) / 1e6, std::pow(512.0, 4) / 1e6);
  example.claim(pixels == 48 * latents, "512x512x3 numbers become 64x64x4, 48 times fewer");
}

// TAESD, an autoencoder for the same latents small enough to run anywhere, on a photograph of 512x512.
void photograph(const Example& example, const std::filesystem::path& out) {
  const Taesd taesd = load_taesd(example.file("--taesd", "taesd"));
  const Tensor<float, 4> photo =
      image_to_tensor(read_image(example.file("--photo", "photos/astronaut.png")), PixelRange::zero_to_one);
  Tensor<float, 4> z, back;
  const double down = seconds_of([&] { z = taesd.encode(photo); }), up = seconds_of([&] { back = taesd.decode(z); });
  const double decibels = psnr(back, photo, 0.0f, 1.0f);
  std::printf("TAESD: %td numbers to %td in %.2f s, back in %.2f s, %.1f dB\n", photo.size(), z.size(), down, up,
              decibels);
  example.claim(decibels > 20, "a 48th of the numbers is enough to tell the photograph by");

  const auto half_size = [](const Tensor<float, 4>& x) {
    return tensor_to_image(kernels::avg_pool(x, kernels::PoolOptions{2, 2}), PixelRange::zero_to_one);
  };
  std::vector<Image> pictures{half_size(photo), half_size(back)};
  std::vector<std::string> captions{"photograph: " + std::to_string(photo.size()) + " numbers", "from the latents"};
  for (const Image& channel : plot::channel_images(picture(z, 0), plot::ColorMap::grays, -3, 3)) {
    pictures.push_back(plot::resize_nearest(channel, pictures[0].width / channel.width));
    captions.push_back("channel " + std::to_string(pictures.size() - 2) + " of the latents: " +
                       std::to_string(channel.width * channel.height));
  }
  write_png(out / "photograph.png", plot::image_grid(pictures, 3, captions, {.scale = 1}));
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(
      argc, argv,
      "latent_diffusion [--train yes|pixels|latents] [--steps N] [--mnist FOLDER] [--photo FILE] [--taesd FOLDER] "
      "[--out FOLDER]: pixels against latents");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/latent_diffusion");
    full_size(example);
    photograph(example, out);

    StableDiffusion model = load_stable_diffusion(example.models() / "mini");
    InkWords words(model.tokenizer, model.text_encoder);
    const NoiseSchedule schedule(model.schedule);
    const std::vector<Space> spaces{{"pixels", 3, 32, 1000, 32}, {"latents", 4, 8, 5000, 64}};

    // What is asked of both: every digit six times, in colours that training may never have shown together.
    constexpr Index count = 60;
    const std::vector<InkDigit> asked = digits_to_ask(count, 900, Combinations::all);
    std::vector<std::string> texts(count, "");
    for (const InkDigit& digit : asked) texts.push_back(canonical_prompt(digit));
    DigitClassifier<float> judge;
    load_parameters(judge, plain_weights(example.models() / "mini" / "judge" / "model.safetensors"));

    std::map<std::string, Result> results;
    plot::ImageRows grid;
    for (const Space& space : spaces) {
      UNet<float> unet(ink_denoiser_config(space.channels, space.side));
      const std::string train = example.option("--train", "no");
      TrainOptions training;
      training.name = space.name, training.folder = out / "training", training.learning_rate = 2e-3;
      training.steps = std::stol(example.option("--steps", std::to_string(space.steps)));
      load_or_train(unet, example.models() / "latent_diffusion" / (space.name + ".safetensors"),
                    train == "yes" || train == space.name, training.folder, [&] {
                      static const InkDigits digits(read_mnist(example.file("--mnist", "mnist"), "train"));
                      const auto* vae = space.name == "latents" ? &model.vae : nullptr;
                      train_ink_denoiser(unet, ink_samples(digits, vae, 1, 20000), words, schedule, training,
                                         space.batch, 1, example.progress("train " + space.name));
                    });
      SamplerOptions options = model.sampler;
      options.x0_limits.clip = space.name == "pixels";  // the range of pixels is known, that of latents is not
      const auto sampler = make_sampler<float>("ddim", schedule, options, 20);
      Tensor<float, 4> x = Generator(5).randn<float>(Shape<4>{count, space.channels, space.side, space.side});
      const Index numbers = x.size() / count;
      const Tensor<float, 3> context = words(texts);
      std::size_t memory = 0;  // of denoising: pictures are decoded one by one, if need be
      const double seconds = seconds_of([&] {
        memory = memory_of([&] { x = denoise(unet, *sampler, x, context, 3); });
        if (space.name == "latents") x = model.decode(x);
      });
      const InkTally tally = tally_of(asked, judge_pictures(judge, x));
      const Result& result = results[space.name] = {seconds, static_cast<double>(memory) / 1e6,
                                                    tally.percent(&InkTally::all)};
      std::printf(
          "%-8s %td parameters, %4td numbers a picture: %6.1f ms a picture (20 steps), %5.1f MB for %td at once\n",
          space.name.c_str(), count_parameters(unet), numbers, 1000 * seconds / count, result.megabytes, count);
      std::printf("         right: digit %.0f %%, ink %.0f %%, paper %.0f %%, all three %.0f %%\n",
                  tally.percent(&InkTally::digit), tally.percent(&InkTally::ink), tally.percent(&InkTally::background),
                  tally.percent(&InkTally::all));
      grid.add("on " + space.name, tensor_to_images(x, PixelRange::minus_one_to_one, 0, 10));
    }
    const Result &pixels = results.at("pixels"), &latents = results.at("latents");
    std::printf("on latents: %.1f times as fast, %.1f times less memory\n", pixels.seconds / latents.seconds,
                pixels.megabytes / latents.megabytes);
    example.claim(latents.seconds < 0.5 * pixels.seconds, "the same denoiser is more than twice as fast on latents");
    example.claim(latents.megabytes < 0.5 * pixels.megabytes, "and takes less than half the memory");
    example.claim(latents.right > pixels.right, "and trained for the same time paints what it is asked for more often");
    for (std::size_t n = 0; n < 10; ++n) grid.look.column_headings.push_back(brief(asked[n]));
    write_png(out / "digits.png", grid.grid());
  });
}
