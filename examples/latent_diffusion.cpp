// The same denoiser on pixels and on latents: time, memory, quality. And what the full-size model saves by working on
// 64x64x4 numbers instead of 512x512x3. --train trains both denoisers again (about 15 minutes of one core).
// test: --out pictures/latent_diffusion
#include <inkling/diffusion/sampler.hpp>
#include <inkling/pipelines/denoise.hpp>
#include <inkling/pipelines/load.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/train/image_measure.hpp>
#include <inkling/train/ink_denoiser.hpp>
#include <inkling/train/ink_judge.hpp>

#include <chrono>
#include <map>

#include "example.hpp"

using namespace inkling;

namespace {

// One space to work in: 32x32x3 pixels, or the 8x8x4 latents of the small model's autoencoder.
struct Space {
  std::string name;
  Shape<4> shape;
  Index steps, batch;  // of training, for about the same time
};
UNetConfig denoiser_config(const Space& space) {
  UNetConfig c;
  c.in_channels = c.out_channels = space.shape[1];
  c.block_out_channels = {24, 32, 32};
  c.layers_per_block = 1, c.heads = 4, c.cross_attention_dim = 128, c.norm_groups = 8;
  c.attention_levels = {false, true, true};
  c.sample_size = space.shape[2];
  return c;
}
double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}
double megabytes(std::size_t bytes) { return static_cast<double>(bytes) / 1e6; }

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
  const std::filesystem::path folder = example.file("--taesd", "taesd");
  TaesdEncoder<float> encoder;
  TaesdDecoder<float> decoder;
  load_parameters(encoder, plain_weights(folder / "taesd_encoder.safetensors"));
  load_parameters(decoder, plain_weights(folder / "taesd_decoder.safetensors"));
  const Tensor<float, 4> photo =
      image_to_tensor(read_image(example.file("--photo", "photos/astronaut.png")), PixelRange::zero_to_one);
  const NoGrad no_grad;
  Tensor<float, 4> z, back;
  const double down = seconds_of([&] { z = encoder.forward(Variable<float, 4>(photo)).value(); });
  const double up = seconds_of([&] { back = decoder.forward(Variable<float, 4>(z)).value(); });
  const double decibels = psnr(back, photo, 0.0f, 1.0f);
  std::printf("TAESD: %td numbers to %td in %.2f s, back in %.2f s, %.1f dB\n", photo.size(), z.size(), down, up,
              decibels);
  example.claim(decibels > 20, "a 48th of the numbers is enough to tell the photograph by");

  const auto half_size = [](const Tensor<float, 4>& x) {
    return tensor_to_image(kernels::avg_pool(x, kernels::PoolOptions{2, 2}), PixelRange::zero_to_one);
  };
  std::vector<Image> pictures{half_size(photo), half_size(back)};
  std::vector<std::string> captions{"photograph: " + std::to_string(photo.size()) + " numbers", "from the latents"};
  for (Index c = 0; c < z.shape(1); ++c) {  // -3 black, 3 white
    Image gray = tensor_to_image(elementwise([](float v) { return v / 3; }, kernels::slice(z, 1, c, c + 1)));
    Image color(gray.width, gray.height);
    for (std::size_t i = 0; i < color.pixels.size(); ++i) color.pixels[i] = gray.pixels[i / 3];
    pictures.push_back(plot::resize_nearest(color, pictures[0].width / gray.width));
    captions.push_back("channel " + std::to_string(c + 1) + " of the latents: " + std::to_string(gray.pixels.size()));
  }
  plot::GridOptions grid;
  grid.scale = 1;
  write_png(out / "photograph.png", plot::image_grid(pictures, 3, captions, grid));
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(
      argc, argv,
      "latent_diffusion [--train yes|pixels|latents] [--mnist FOLDER] [--photo FILE] [--taesd FOLDER] [--out FOLDER]: "
      "pixels against latents");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/latent_diffusion");
    full_size(example);
    photograph(example, out);

    StableDiffusion model = load_stable_diffusion(example.models() / "mini");
    InkWords words(model.tokenizer, model.text_encoder);
    const NoiseSchedule schedule(model.schedule);
    const std::vector<Space> spaces{{"pixels", {1, 3, 32, 32}, 1000, 32}, {"latents", {1, 4, 8, 8}, 5000, 64}};

    // What is asked of both: every digit six times, in colours that training may never have shown together.
    constexpr Index count = 60;
    std::vector<InkDigit> asked;
    std::vector<std::string> texts(count, "");
    for (Index i = 0; i < count; ++i) {
      SampleRandom random(900, static_cast<std::uint64_t>(i));
      asked.push_back(random_attributes(static_cast<int>(i % 10), random, Combinations::all));
      texts.push_back(canonical_prompt(asked.back()));
    }
    DigitClassifier<float> judge;
    load_parameters(judge, plain_weights(example.models() / "mini" / "judge" / "model.safetensors"));

    struct Result {
      double seconds, memory, right;
    };
    std::map<std::string, Result> results;
    std::vector<Image> pictures;
    plot::GridOptions grid;
    for (const Space& space : spaces) {
      UNet<float> unet(denoiser_config(space));
      const std::filesystem::path weights = example.models() / "latent_diffusion" / (space.name + ".safetensors");
      if (const std::string train = example.option("--train", "no"); train == "yes" || train == space.name) {
        static const InkDigits digits(read_mnist(example.file("--mnist", "mnist"), "train"));
        TrainOptions options;
        options.name = space.name, options.folder = out / "training";
        options.steps = space.steps, options.learning_rate = 2e-3;
        std::filesystem::create_directories(options.folder);
        const InkSamples samples = ink_samples(digits, space.name == "latents" ? &model.vae : nullptr, 1, 20000);
        train_ink_denoiser(unet, samples, words, schedule, options, space.batch, 1,
                           example.progress("train " + space.name));
        std::filesystem::create_directories(weights.parent_path());
        save_parameters(unet, weights, DType::f16);
      }
      load_parameters(unet, plain_weights(weights));
      SamplerOptions options = model.sampler;
      options.x0_limits.clip = space.name == "pixels";  // the range of pixels is known, that of latents is not
      const auto sampler = make_sampler<float>("ddim", schedule, options, 20);
      const Tensor<float, 4> noise =
          Generator(5).randn<float>(Shape<4>{count, space.shape[1], space.shape[2], space.shape[3]});
      const Tensor<float, 3> context = words(texts);
      MemoryPool::instance().release();
      const std::size_t before = MemoryPool::instance().most_used();
      Tensor<float, 4> x;
      double memory = 0;
      const double seconds = seconds_of([&] {
        x = denoise(unet, *sampler, noise, context, 3);
        memory = megabytes(MemoryPool::instance().most_used() - before);  // pictures are decoded one by one, if need be
        if (space.name == "latents") x = model.decode(x);
      });
      InkTally tally;
      const std::vector<InkJudgement> judged = judge_pictures(judge, x);
      for (std::size_t i = 0; i < judged.size(); ++i) tally.add(asked[i], judged[i]);
      std::printf(
          "%-8s %td parameters, %4td numbers a picture: %6.1f ms a picture (20 steps), %5.1f MB for %td at once\n",
          space.name.c_str(), count_parameters(unet), noise.size() / count, 1000 * seconds / count, memory, count);
      std::printf("         right: digit %.0f %%, ink %.0f %%, paper %.0f %%, all three %.0f %%\n",
                  tally.percent(&InkTally::digit), tally.percent(&InkTally::ink), tally.percent(&InkTally::background),
                  tally.percent(&InkTally::all));
      results[space.name] = {seconds, memory, tally.percent(&InkTally::all)};
      grid.row_headings.push_back("on " + space.name);
      for (Index n = 0; n < 10; ++n) pictures.push_back(tensor_to_image(x, PixelRange::minus_one_to_one, n));
    }
    const Result &pixels = results.at("pixels"), &latents = results.at("latents");
    std::printf("on latents: %.1f times as fast, %.1f times less memory\n", pixels.seconds / latents.seconds,
                pixels.memory / latents.memory);
    example.claim(latents.seconds < 0.5 * pixels.seconds, "the same denoiser is more than twice as fast on latents");
    example.claim(latents.memory < 0.5 * pixels.memory, "and takes less than half the memory");
    example.claim(latents.right > pixels.right,
                  "and after the same time of training paints what it is asked for more often");
    for (Index n = 0; n < 10; ++n)
      grid.column_headings.push_back(std::string(name(asked[static_cast<std::size_t>(n)].ink)) + " " +
                                     std::string(digit_word(static_cast<int>(n))) + " on " +
                                     std::string(name(asked[static_cast<std::size_t>(n)].background)));
    write_png(out / "digits.png", plot::image_grid(pictures, 10, {}, grid));
  });
}
