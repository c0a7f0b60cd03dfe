// Trains inkling-mini, the small Stable Diffusion that this project ships: tokenizer, judge, text encoder with image
// encoder (a small CLIP), autoencoder, U-Net. Every stage can be stopped (Ctrl-C) and goes on where it was.
#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <fstream>
#include <iostream>

#include "console.hpp"
#include "inkling/io/config_files.hpp"
#include "inkling/io/image.hpp"
#include "inkling/io/model_files.hpp"
#include "inkling/io/load_parameters.hpp"
#include "inkling/models/clip.hpp"
#include "inkling/models/digit_classifier.hpp"
#include "inkling/pipelines/text_to_image.hpp"
#include "inkling/plot/image_grid.hpp"
#include "inkling/plot/line_plot.hpp"
#include "inkling/text/bpe_training.hpp"
#include "inkling/text/tokenizer_io.hpp"
#include "inkling/train/image_measure.hpp"
#include "inkling/train/ink_digits.hpp"
#include "inkling/train/ink_measure.hpp"
#include "inkling/train/objectives.hpp"
#include "inkling/train/trainer.hpp"

namespace fs = std::filesystem;
using namespace inkling;

namespace {

struct Settings {
  fs::path data = "../shared/data/mnist", out = "models/mini", work = "build/train_mini.work";
  std::string stage = "all";
  std::uint64_t seed = 1;
  Index judge_steps = 2800, judge_batch = 128;
  Index clip_steps = 2400, clip_batch = 192;
  Index clip_alike = 12;  // so many samples in a row share their colours: the text encoder has to learn the digits
  Index vae_steps = 1300, vae_batch = 32, decoder_steps = 700;
  Index unet_steps = 10000, unet_batch = 64;
  Index latents = 120000;  // pictures encoded once for the U-Net: two variants of every scan
  Index vocabulary = 704;  // 512 bytes, 2 special tokens, the rest merges: every word of the captions is one token
};

// ---- The configs of the small models: the same classes as the full-size ones, fewer of everything. ----

constexpr Index context_length = 32;  // the longest caption has about 20 tokens

ClipTextConfig text_config(const Tokenizer& tokenizer) {
  ClipTextConfig c;
  c.vocab_size = tokenizer.vocab_size();
  c.hidden_size = 128, c.intermediate_size = 512, c.layers = 3, c.heads = 4;
  c.max_positions = context_length;
  c.bos_token_id = tokenizer.start_id(), c.eos_token_id = tokenizer.end_id(), c.pad_token_id = tokenizer.pad_id();
  c.projection_dim = 64;
  return c;
}
ClipVisionConfig vision_config() {
  ClipVisionConfig c;
  c.image_size = 32, c.patch_size = 8, c.hidden_size = 128, c.intermediate_size = 512, c.layers = 3, c.heads = 4;
  return c;
}
AutoencoderKLConfig vae_config() {
  AutoencoderKLConfig c;
  c.block_out_channels = {32, 64, 64};  // 32x32 -> 16x16 -> 8x8
  c.layers_per_block = 1;
  c.norm_groups = 16;
  c.scaling_factor = 1;  // measured after training
  return c;
}
UNetConfig unet_config() {
  UNetConfig c;
  c.block_out_channels = {64, 112};  // 8x8 -> 4x4; 112 and not 128, so that the whole model stays below 12 MB
  c.layers_per_block = 1;
  c.attention_levels = {true, true};
  c.heads = 4;
  c.cross_attention_dim = 128;
  c.norm_groups = 16;
  c.sample_size = 8;
  return c;
}

// ---- What all stages share ----

class Run {
 public:
  explicit Run(Settings s) : settings(std::move(s)) {
    fs::create_directories(settings.work);
    fs::create_directories(settings.out);
  }

  const InkDigits& digits() {
    if (!digits_) digits_.emplace(read_mnist(settings.data, "train"), console::progress("prepare digits"));
    return *digits_;
  }
  const InkDigits& held_out_digits() {
    if (!held_out_) held_out_.emplace(read_mnist(settings.data, "t10k"), console::progress("prepare test digits"));
    return *held_out_;
  }
  Tokenizer tokenizer() const { return Tokenizer::from_folder(settings.out / "tokenizer"); }
  bool finished(const std::string& stage) const { return fs::exists(settings.work / (stage + ".done")); }
  void finish(const std::string& stage, const std::string& report) const {
    write_file(settings.work / (stage + ".done"), report + "\n");
    log(stage + ": " + report);
  }
  void log(const std::string& line) const {
    std::ofstream(settings.work / "log.txt", std::ios::app) << line << "\n";
    console::line(line);
  }
  TrainOptions options(const std::string& name, Index steps, double rate) const {
    TrainOptions o;
    o.name = name, o.folder = settings.work, o.steps = steps, o.learning_rate = rate;
    return o;
  }
  // Trains to the end, with a log line every 100 steps and a loss curve at the end.
  template <class Module>
  void train(Trainer<Module>& trainer, const std::string& name, const std::function<Variable<float, 0>(Index)>& loss,
             const std::function<void(Index)>& now_and_then = {}) {
    console::ProgressBar bar(name);
    trainer.run(loss, [&](const TrainStep& s) {
      char text[160];
      std::snprintf(text, sizeof text, "loss %.4f  rate %.1e  %.3f s/step", s.average_loss, s.learning_rate,
                    s.seconds_per_step);
      bar.update(s.step, s.steps, text);
      if (s.step % 100 == 0 || s.step == s.steps) {
        std::ofstream(settings.work / (name + ".log"), std::ios::app)
            << s.step << " " << s.average_loss << " " << s.learning_rate << " " << s.gradient_norm << " "
            << s.seconds_per_step << "\n";
        if (now_and_then) now_and_then(s.step);
      }
      return !console::interrupted();
    });
    bar.finish();
    plot::LinePlotOptions look;
    look.title = "loss of " + name, look.x_label = "step", look.y_label = "loss", look.log_y = true;
    write_png(settings.work / (name + "_loss.png"), plot::line_plot({smoothed(name, trainer.losses())}, look));
  }
  Settings settings;

 private:
  // About 200 points, each the mean of the steps between.
  static plot::Series smoothed(const std::string& name, const std::vector<float>& losses) {
    plot::Series curve;
    curve.name = name;
    const std::size_t window = std::max<std::size_t>(1, losses.size() / 200);
    for (std::size_t i = 0; i + window <= losses.size(); i += window) {
      double sum = 0;
      for (std::size_t j = i; j < i + window; ++j) sum += losses[j];
      curve.x.push_back(static_cast<double>(i + window));
      curve.y.push_back(sum / static_cast<double>(window));
    }
    return curve;
  }
  std::optional<InkDigits> digits_, held_out_;
};

Tensor<std::int64_t, 2> tokenize(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  Tensor<std::int64_t, 2> ids({static_cast<Index>(texts.size()), context_length}, uninitialized);
  parallel_for(ids.shape(0), 20000, [&](Index n) {
    const Encoded row = tokenizer.encode_padded(texts[static_cast<std::size_t>(n)], context_length);
    std::copy(row.ids.begin(), row.ids.end(), &ids(n, 0));
  });
  return ids;
}

Tensor<float, 3> item(const Tensor<float, 4>& images, Index n) {
  const Index size = images.size() / images.shape(0);
  Tensor<float, 3> out({images.shape(1), images.shape(2), images.shape(3)}, uninitialized);
  std::copy_n(images.data() + n * size, size, out.data());
  return out;
}

// ---- Stages ----

void train_tokenizer(Run& run) {
  // The captions of the first 40,000 samples; every word that occurs becomes a token of its own.
  WordCounts counts;
  SampleRandom random(run.settings.seed, 0);
  for (Index i = 0; i < 40000; ++i)
    count_words(caption(random_attributes(static_cast<int>(i % 10), random, Combinations::all), random), counts);
  const Tokenizer tokenizer(train_bpe(counts, run.settings.vocabulary));
  save_tokenizer(tokenizer, run.settings.out / "tokenizer", context_length);
  run.finish("tokenizer", std::to_string(counts.size()) + " words, " + std::to_string(tokenizer.vocab_size()) + " tokens");
}

double judge_accuracy(const DigitClassifier<float>& judge, const LabelledImages& set) {
  NoGrad no_grad;
  Index right = 0;
  constexpr Index batch = 500;
  for (Index first = 0; first < set.images.shape(0); first += batch) {
    const Index count = std::min(batch, set.images.shape(0) - first);
    Tensor<float, 4> x({count, 1, 28, 28}, uninitialized);
    for (Index i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(set.images.data()[first * 784 + i]) / 255.0f;
    const Tensor<float, 2> logits = judge.forward(Variable<float, 4>(std::move(x))).value();
    for (Index n = 0; n < count; ++n)
      right += std::max_element(&logits(n, 0), &logits(n, 0) + 10) - &logits(n, 0) == set.labels(first + n);
  }
  return static_cast<double>(right) / static_cast<double>(set.images.shape(0));
}

// Half of each batch are scans as they are, moved by up to two pixels; half are pictures of the data set turned back
// into gray digits the way paintings will be: bold, thin and slanted ones.
void train_judge(Run& run) {
  const LabelledImages scans = read_mnist(run.settings.data, "train");
  const InkDigits& digits = run.digits();
  DigitClassifier<float> judge;
  Generator generator(run.settings.seed);
  initialize(judge, generator);
  Trainer<DigitClassifier<float>> trainer(judge, run.options("judge", run.settings.judge_steps, 2e-3));
  run.train(trainer, "judge", [&](Index step) {
    const Index batch = run.settings.judge_batch, half_batch = batch / 2;
    Tensor<float, 4> x({batch, 1, 28, 28});
    Tensor<std::int64_t, 1> labels({batch});
    const InkBatch ink = digits.batch(run.settings.seed + 100, step * half_batch, half_batch, Combinations::all);
    parallel_for(batch, 20000, [&](Index n) {
      if (n < half_batch) {
        const Tensor<float, 2> gray = to_gray_digit(item(ink.images, n));
        std::copy(gray.begin(), gray.end(), &x(n, 0, 0, 0));
        labels(n) = ink.attributes[static_cast<std::size_t>(n)].digit;
      } else {
        SampleRandom random(run.settings.seed + 101, static_cast<std::uint64_t>(step * half_batch + n - half_batch));
        const Index scan = random.below(scans.images.shape(0)), dy = random.below(5) - 2, dx = random.below(5) - 2;
        for (Index i = 0; i < 28; ++i)
          for (Index j = 0; j < 28; ++j)
            if (i + dy >= 0 && i + dy < 28 && j + dx >= 0 && j + dx < 28)
              x(n, 0, i, j) = static_cast<float>(scans.images(scan, i + dy, j + dx)) / 255.0f;
        labels(n) = scans.labels(scan);
      }
    });
    return cross_entropy_loss(judge.forward(Variable<float, 4>(std::move(x))), labels);
  });
  trainer.use_average();
  const double accuracy = judge_accuracy(judge, read_mnist(run.settings.data, "t10k"));
  fs::create_directories(run.settings.out / "judge");
  save_parameters(judge, run.settings.out / "judge" / "model.safetensors", DType::f16);
  run.finish("judge", "accuracy on the MNIST test set " + std::to_string(100 * accuracy) + " %");
}

void train_clip(Run& run) {
  const Tokenizer tokenizer = run.tokenizer();
  const InkDigits& digits = run.digits();
  ClipModel<float> clip(text_config(tokenizer), vision_config());
  Generator generator(run.settings.seed + 1);
  initialize(clip, generator);
  Trainer<ClipModel<float>> trainer(clip, run.options("clip", run.settings.clip_steps, 1e-3));
  const auto similarity = [&](const InkBatch& batch) {
    return clip.logits_per_image(clip.image_embeds(Variable<float, 4>(batch.images)),
                                 clip.text_embeds(tokenize(tokenizer, batch.captions)));
  };
  run.train(trainer, "clip", [&](Index step) {
    const InkBatch batch = digits.batch(run.settings.seed + 200, step * run.settings.clip_batch, run.settings.clip_batch,
                                        Combinations::training, run.settings.clip_alike);
    return clip.contrastive_loss(similarity(batch));
  });
  trainer.use_average();
  // Of 100 captions, how often is the picture's own the nearest? (Captions that leave attributes out can tie.)
  NoGrad no_grad;
  Index right = 0, total = 0;
  for (Index b = 0; b < 10; ++b) {
    const Tensor<float, 2> logits =
        similarity(run.held_out_digits().batch(run.settings.seed + 201, b * 100, 100, Combinations::held_out)).value();
    for (Index n = 0; n < 100; ++n, ++total)
      right += std::max_element(&logits(n, 0), &logits(n, 0) + 100) - &logits(n, 0) == n;
  }
  const fs::path folder = run.settings.out / "text_encoder";
  fs::create_directories(folder);
  ClipTextConfig config = clip.text_model.config;
  config.projection_dim = 0;  // the U-Net listens to the states before the projection
  save_config(folder / "config.json", config);
  ClipTextModel<float> text(config);
  text.text_model = clip.text_model;
  text.text_model.config = config;
  save_parameters(text, folder / "model.safetensors", DType::f16);
  save_parameters(clip, run.settings.work / "clip.safetensors", DType::f16);
  run.finish("clip", "own caption nearest of 100, unseen digits and combinations: " +
                         std::to_string(100.0 * static_cast<double>(right) / static_cast<double>(total)) + " %");
}

// Measures the autoencoder on digits and combinations it has not seen, sets the scaling factor, saves it.
void finish_vae(Run& run, const std::string& stage, AutoencoderKL<float>& vae) {
  NoGrad no_grad;
  double decibels = 0, sum = 0, squares = 0, count = 0;
  std::vector<Image> pictures;
  for (Index b = 0; b < 10; ++b) {
    const InkBatch batch = run.held_out_digits().batch(run.settings.seed + 302, b * 100, 100, Combinations::all);
    const Tensor<float, 4> z = vae.encode(Variable<float, 4>(batch.images)).mean().value();
    const Tensor<float, 4> back = vae.decode(Variable<float, 4>(z)).value();
    decibels += psnr(back, batch.images) / 10;
    for (float v : z) sum += v, squares += static_cast<double>(v) * v, count += 1;
    for (Index n = 0; b == 0 && n < 16; ++n) {
      pictures.push_back(tensor_to_image(batch.images, PixelRange::minus_one_to_one, n));
      pictures.push_back(tensor_to_image(back, PixelRange::minus_one_to_one, n));
    }
  }
  // Rombach et al. 2022, appendix G: scale the latents to unit standard deviation.
  vae.config.scaling_factor = 1 / std::sqrt(squares / count - (sum / count) * (sum / count));
  write_png(run.settings.work / (stage + ".png"), plot::image_grid(pictures, 8, {}, {}));
  const fs::path folder = run.settings.out / "vae";
  fs::create_directories(folder);
  save_config(folder / "config.json", vae.config);
  save_parameters(vae, folder / "diffusion_pytorch_model.safetensors", DType::f16);
  run.finish(stage, "reconstruction of unseen digits " + std::to_string(decibels) + " dB, scaling factor " +
                        std::to_string(vae.config.scaling_factor));
}

void train_vae(Run& run) {
  const InkDigits& digits = run.digits();
  AutoencoderKL<float> vae(vae_config());
  Generator generator(run.settings.seed + 2);
  initialize(vae, generator);
  Trainer<AutoencoderKL<float>> trainer(vae, run.options("vae", run.settings.vae_steps, 1.5e-3));
  const Index size = run.settings.vae_batch;
  run.train(trainer, "vae", [&](Index step) {
    const InkBatch batch = digits.batch(run.settings.seed + 300, step * size, size);
    Generator noise = Generator(run.settings.seed + 301).child(static_cast<std::uint64_t>(step));
    return autoencoder_loss(vae, batch.images, noise.randn<float>(Shape<4>{size, 4, 8, 8}), 1e-6f);
  });
  trainer.use_average();
  finish_vae(run, "vae", vae);
}

template <class Module, class Config>
Module load_part(const ModelFiles& files, const std::string& part, const Config& config) {
  Module module(config);
  load_parameters(module, files.weights(part));
  return module;
}

// The decoder and nothing else, for the optimiser.
struct DecoderOnly {
  AutoencoderKL<float>& vae;
  template <class V>
  void visit(V&& v) {
    v("decoder", vae.decoder);
    v("post_quant_conv", vae.post_quant_conv);
  }
};

// More steps for the decoder alone, on the latents' means. The encoder stays as it is, and with it the latents that the
// U-Net learns: the two can be trained in any order.
void train_decoder(Run& run) {
  const ModelFiles files(run.settings.out);
  AutoencoderKL<float> vae = load_part<AutoencoderKL<float>>(files, "vae", files.vae_config());
  DecoderOnly decoder{vae};
  Trainer<DecoderOnly> trainer(decoder, run.options("decoder", run.settings.decoder_steps, 1e-3));
  const InkDigits& digits = run.digits();
  const Index size = run.settings.vae_batch;
  run.train(trainer, "decoder", [&](Index step) {
    const InkBatch batch = digits.batch(run.settings.seed + 350, step * size, size);
    return mse_loss(vae.decode(vae.encode(Variable<float, 4>(batch.images)).mean()), batch.images);
  });
  trainer.use_average();
  finish_vae(run, "decoder", vae);
}

// Every picture of the U-Net's training as latents, made once and kept in a file. The captions are drawn anew each time
// a picture is used.
struct LatentSet {
  Tensor<half, 4> latents;              // [count, 4, 8, 8], times the scaling factor
  Tensor<std::uint8_t, 2> attributes;  // [count, 5]: digit, ink, background, stroke, lean

  InkDigit attributes_of(Index i) const {
    return {attributes(i, 0), static_cast<Ink>(attributes(i, 1)), static_cast<Ink>(attributes(i, 2)),
            static_cast<Stroke>(attributes(i, 3)), static_cast<Lean>(attributes(i, 4))};
  }
};
LatentSet encode_training_set(Run& run, const AutoencoderKL<float>& vae) {
  const fs::path file = run.settings.work / "latents.safetensors";
  const Index count = run.settings.latents;
  if (fs::exists(file)) {
    const SafetensorsFile kept(file);
    LatentSet set{kept.read<half, 4>("latents"), kept.read<std::uint8_t, 2>("attributes")};
    if (set.latents.shape(0) == count) return set;
  }
  NoGrad no_grad;
  LatentSet set{Tensor<half, 4>({count, 4, 8, 8}, uninitialized), Tensor<std::uint8_t, 2>({count, 5}, uninitialized)};
  console::ProgressBar bar("encode pictures");
  constexpr Index batch_size = 250;
  for (Index first = 0; first < count; first += batch_size) {
    const Index size = std::min(batch_size, count - first);
    const InkBatch batch = run.digits().batch(run.settings.seed + 400, first, size);
    const Tensor<float, 4> z = vae.encode(Variable<float, 4>(batch.images)).mean().value();
    for (Index i = 0; i < z.size(); ++i)
      set.latents.data()[first * 256 + i] = static_cast<half>(z.data()[i] * static_cast<float>(vae.config.scaling_factor));
    for (Index n = 0; n < size; ++n) {
      const InkDigit& a = batch.attributes[static_cast<std::size_t>(n)];
      const int values[] = {a.digit, static_cast<int>(a.ink), static_cast<int>(a.background), static_cast<int>(a.stroke),
                            static_cast<int>(a.lean)};
      for (Index j = 0; j < 5; ++j) set.attributes(first + n, j) = static_cast<std::uint8_t>(values[j]);
    }
    bar.update(first + size, count, "");
    if (console::interrupted()) throw Stopped("encode pictures");
  }
  bar.finish();
  write_safetensors(file, {{"latents", set.latents}, {"attributes", set.attributes}});
  return set;
}

void train_unet(Run& run) {
  const Tokenizer tokenizer = run.tokenizer();
  const fs::path out = run.settings.out;
  const ModelFiles files(out);
  StableDiffusion model{"inkling-mini",
                        tokenizer,
                        load_part<ClipTextModel<float>>(files, "text_encoder", files.text_config()),
                        UNet<float>(unet_config()),
                        load_part<AutoencoderKL<float>>(files, "vae", files.vae_config()),
                        {}, {}, {}, 32};
  Generator generator(run.settings.seed + 3);
  initialize(model.unet, generator);
  start_as_identity(model.unet);
  TrainOptions options = run.options("unet", run.settings.unet_steps, 1.5e-3);
  options.warmup_steps = 300;
  Trainer<UNet<float>> trainer(model.unet, options);
  if (!trainer.finished()) {
    const LatentSet set = encode_training_set(run, model.vae);
    NoisePredictionLoss objective{NoiseSchedule(model.schedule)};
    objective.min_snr_gamma = 5;  // the nearly clean pictures must not drown the noisy ones, where the digit is decided
    const Index batch = run.settings.unet_batch;
    run.train(
        trainer, "unet",
        [&](Index step) {
          Generator g = Generator(run.settings.seed + 500).child(static_cast<std::uint64_t>(step));
          Tensor<float, 4> x0({batch, 4, 8, 8}, uninitialized);
          std::vector<std::string> captions;
          for (Index n = 0; n < batch; ++n) {
            const Index i = g.integer(run.settings.latents);
            for (Index j = 0; j < 256; ++j) x0.data()[n * 256 + j] = static_cast<float>(set.latents.data()[i * 256 + j]);
            SampleRandom words(g.random64(), 0);
            // One caption in ten is left empty: guidance needs a model that can also paint unasked (Ho & Salimans 2022)
            captions.push_back(g.uniform<double>() < 0.1 ? "" : caption(set.attributes_of(i), words));
          }
          const Variable<float, 3> context(model.encode_text(tokenize(tokenizer, captions)));
          const auto timesteps = spread_timesteps(batch, objective.schedule.size(), g);
          return objective(model.unet, x0, context, g.randn<float>(Shape<4>{batch, 4, 8, 8}), timesteps);
        },
        [&](Index step) {
          if (step % 500 != 0 && step != run.settings.unet_steps) return;
          std::vector<Image> pictures;
          std::vector<std::string> captions;
          for (std::uint64_t i = 0; i < 10; ++i) {
            SampleRandom random(run.settings.seed + 600, i);
            TextToImageOptions o;
            o.prompt = canonical_prompt(random_attributes(static_cast<int>(i), random, Combinations::held_out));
            o.seed = i, o.guidance = 3;
            pictures.push_back(tensor_to_image(text_to_image(model, o).image));
            captions.push_back(o.prompt);
          }
          write_png(run.settings.work / ("unet_" + std::to_string(step) + ".png"),
                    plot::image_grid(pictures, 5, captions, {}));
        });
  }
  trainer.use_average();
  fs::create_directories(out / "unet");
  save_config(out / "unet" / "config.json", model.unet.config);
  save_parameters(model.unet, out / "unet" / "diffusion_pytorch_model.safetensors", DType::f16);
  fs::create_directories(out / "scheduler");
  save_config(out / "scheduler" / "scheduler_config.json", SchedulerConfig{});
  save_model_index(out);
  run.finish("unet", std::to_string(count_parameters(model.unet)) + " parameters");
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app("Trains inkling-mini from the MNIST digits. Stages that are done are skipped; a stopped one goes on.");
  app.add_option("--data", s.data, "folder with the four MNIST files")->capture_default_str();
  app.add_option("--out", s.out, "where the model goes (diffusers folder layout)")->capture_default_str();
  app.add_option("--work", s.work, "checkpoints, logs, loss curves and sample pictures")->capture_default_str();
  app.add_option("--stage", s.stage, "one stage only")
      ->check(CLI::IsMember({"all", "tokenizer", "judge", "clip", "vae", "decoder", "unet"}))
      ->capture_default_str();
  app.add_option("--seed", s.seed)->capture_default_str();
  for (auto& [name, value] : std::initializer_list<std::pair<const char*, Index*>>{{"--judge-steps", &s.judge_steps},
                                                                                   {"--clip-steps", &s.clip_steps},
                                                                                   {"--vae-steps", &s.vae_steps},
                                                                                   {"--decoder-steps", &s.decoder_steps},
                                                                                   {"--unet-steps", &s.unet_steps},
                                                                                   {"--unet-batch", &s.unet_batch},
                                                                                   {"--latents", &s.latents}})
    app.add_option(name, *value)->check(CLI::PositiveNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return console::run([&] {
    Run run(s);
    const std::vector<std::pair<std::string, void (*)(Run&)>> stages{{"tokenizer", train_tokenizer},
                                                                     {"judge", train_judge},
                                                                     {"clip", train_clip},
                                                                     {"vae", train_vae},
                                                                     {"decoder", train_decoder},
                                                                     {"unet", train_unet}};
    for (const auto& [name, stage] : stages)
      if ((s.stage == "all" || s.stage == name) && !run.finished(name)) stage(run);
    return 0;
  });
}
