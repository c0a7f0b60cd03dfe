// inkling evaluate: does the small model paint what it is asked for? Prompts of which half name combinations that
// training never showed, judged by a digit classifier trained on its own and by measuring the colours.
#pragma once
#include <array>
#include <cmath>
#include <sstream>

#include "inkling/train/ink_digits.hpp"
#include "inkling/train/ink_judge.hpp"
#include "txt2img.hpp"

namespace app {

struct AskedFor {
  InkDigit attributes;
  bool seen = true, canonical = true;  // a combination of the training set; the plain form of the prompt
  std::string prompt;
};
using Judged = InkJudgement;
using Tally = InkTally;

// Digits evenly spread; every second prompt a combination never seen in training; half of each in the plain form,
// half in other words from the grammar of captions. All of them name digit, ink and background.
inline AskedFor ask(std::uint64_t seed, Index i) {
  SampleRandom random(seed, static_cast<std::uint64_t>(i));
  AskedFor a;
  a.seen = i % 2 == 0;
  a.canonical = i / 2 % 2 == 0;
  const int digit = static_cast<int>(i / 4 % 10);
  a.attributes = random_attributes(digit, random, a.seen ? Combinations::training : Combinations::held_out);
  CaptionOptions words;
  words.digit = words.ink = words.background = 1;
  a.prompt = a.canonical ? canonical_prompt(a.attributes) : caption(a.attributes, random, words);
  return a;
}

// One thing to reach, and what was measured.
struct Aim {
  std::string name, unit;
  double wanted, measured;
  bool at_least = true;  // else at most
  bool met() const { return at_least ? measured >= wanted : measured <= wanted; }
};

inline std::string fixed(double v, int digits = 1) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, v);
  return text;
}

struct EvaluationReport {
  std::vector<std::pair<std::string, Tally>> rows;
  std::vector<Aim> aims;
  std::vector<std::string> notes;

  bool met() const {
    return std::all_of(aims.begin(), aims.end(), [](const Aim& a) { return a.met(); });
  }
  std::string markdown() const {
    std::ostringstream out;
    out << "| prompts | count | digit | ink | background | all three |\n| --- | ---: | ---: | ---: | ---: | ---: |\n";
    for (const auto& [name, t] : rows)
      out << "| " << name << " | " << t.count << " | " << fixed(t.percent(&Tally::digit)) << " % | "
          << fixed(t.percent(&Tally::ink)) << " % | " << fixed(t.percent(&Tally::background)) << " % | "
          << fixed(t.percent(&Tally::all)) << " % |\n";
    out << "\n| aim | wanted | measured | |\n| --- | ---: | ---: | --- |\n";
    for (const Aim& a : aims)
      out << "| " << a.name << " | " << (a.at_least ? "at least " : "at most ") << fixed(a.wanted) << " " << a.unit
          << " | " << fixed(a.measured, 2) << " " << a.unit << " | " << (a.met() ? "reached" : "missed") << " |\n";
    out << "\n";
    for (const std::string& note : notes) out << "- " << note << "\n";
    return out.str();
  }
};

inline DigitClassifier<float> load_judge(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error))
    throw LoadError(path.string(), "the weights of the digit classifier", "nothing of that name",
                    "--judge names them; scripts/train_mini.sh trains them");
  DigitClassifier<float> judge;
  load_parameters(judge, plain_weights(path));
  return judge;
}

// The autoencoder's reconstruction of digits that no training saw, in decibels; and the judge on true pictures, which
// no painted ones can be expected to surpass.
inline void measure_on_data(const LabelledImages& data, const StableDiffusion& model,
                            const DigitClassifier<float>& judge, std::uint64_t seed, EvaluationReport& report) {
  NoGrad no_grad;
  const InkDigits digits(data, console::progress("prepare digits"));
  double square = 0, values = 0;
  Tally true_pictures;
  for (Index b = 0; b < 10; ++b) {
    const InkBatch batch = digits.batch(seed, b * 100, 100, Combinations::all);
    const std::vector<Judged> judged = judge_pictures(judge, batch.images);
    for (std::size_t n = 0; n < judged.size(); ++n) true_pictures.add(batch.attributes[n], judged[n]);
    if (!model.taesd) {
      const Variable<float, 4> z = model.vae.encode(Variable<float, 4>(batch.images)).mean();
      const Tensor<float, 4> back = model.vae.decode(z).value();
      for (Index i = 0; i < back.size(); ++i) {
        const double d = std::clamp(back.data()[i], -1.0f, 1.0f) - batch.images.data()[i];
        square += d * d;
      }
      values += static_cast<double>(back.size());
    }
    if (console::interrupted()) throw Stopped("evaluate");
  }
  report.rows.emplace_back("(true pictures, not painted)", true_pictures);
  // PSNR = 10 log10(peak^2 / MSE), peak 2 for values in [-1, 1]
  if (values > 0)
    report.aims.push_back({"autoencoder, held-out pictures", "dB", 27, 10 * std::log10(4 * values / square)});
}

inline std::string said(const Judged& j) {
  return std::string(name(j.ink)) + " " + std::string(digit_word(j.digit)) + " on " + std::string(name(j.background));
}

int evaluate(const Evaluate& s) {
  const std::uint64_t seed = seed_from(s.seed);
  use_threads(s.threads);
  if (s.count < 1 || s.count > 1'000'000)
    throw ConfigError("count", "from 1 to 1000000 prompts", std::to_string(s.count));
  if (s.batch < 1 || s.batch > 1000) throw ConfigError("batch", "from 1 to 1000 prompts", std::to_string(s.batch));
  check_guidance_scale(s.guidance);
  make_sampler<float>(s.sampler, NoiseSchedule(), {}, s.steps);
  const fs::path folder(s.out);
  require_writable_folder(folder);
  std::optional<LabelledImages> data;
  if (!s.data.empty()) data = read_mnist(s.data, "t10k");  // first, as painting takes minutes
  std::cout << machine_line() << std::endl;
  warn_of_slow_build();
  StableDiffusion model = load_model(s.model);
  const DigitClassifier<float> judge =
      load_judge(s.judge.empty() ? fs::path(s.model.path) / "judge" / "model.safetensors" : fs::path(s.judge));

  TextToImageOptions options;
  options.steps = s.steps, options.guidance = s.guidance, options.sampler = s.sampler;

  std::array<Tally, 2> by_seen, by_form;  // [training, never seen], [plain, other words]
  Tally total;
  std::vector<Image> samples, failures;
  std::vector<std::string> sample_captions, failure_captions;
  console::ProgressBar bar("evaluate");
  inkling::Stopwatch watch;
  for (Index first = 0; first < s.count; first += s.batch) {
    std::vector<AskedFor> asked;
    std::vector<PromptAndSeed> prompts;
    for (Index i = first; i < std::min(first + s.batch, s.count); ++i) {
      asked.push_back(ask(seed, i));
      prompts.push_back({asked.back().prompt, seed + static_cast<std::uint64_t>(i)});
    }
    const Tensor<float, 4> images = text_to_image_batch(
        model, prompts, options, [](const DenoisingStep&) { return !console::interrupted(); });
    const std::vector<Judged> judged = judge_pictures(judge, images);
    for (std::size_t n = 0; n < asked.size(); ++n) {
      const AskedFor& a = asked[n];
      for (Tally* t : {&total, &by_seen[a.seen ? 0 : 1], &by_form[a.canonical ? 0 : 1]}) t->add(a.attributes, judged[n]);
      const InkDigit& d = a.attributes;
      const bool right = d.digit == judged[n].digit && d.ink == judged[n].ink && d.background == judged[n].background;
      if (samples.size() < 40) {
        samples.push_back(tensor_to_image(images, PixelRange::minus_one_to_one, static_cast<Index>(n)));
        sample_captions.push_back((a.seen ? "" : "(never seen) ") + a.prompt);
      }
      if (!right && failures.size() < 40) {
        failures.push_back(tensor_to_image(images, PixelRange::minus_one_to_one, static_cast<Index>(n)));
        failure_captions.push_back(a.prompt + " -> " + said(judged[n]));
      }
    }
    bar.update(std::min(first + s.batch, s.count), s.count, fixed(total.percent(&Tally::all)) + " % all right");
  }
  bar.finish();
  const double each = watch.lap() / static_cast<double>(s.count);

  double alone = 1e30;  // one prompt by itself: the best of three, as other programs only ever take time away
  options.prompt = ask(seed, 0).prompt;
  for (int k = 0; k < 3; ++k) {
    watch.lap();
    text_to_image(model, options);
    alone = std::min(alone, watch.lap());
  }

  EvaluationReport report;
  report.rows = {{"combinations of the training set", by_seen[0]},
                 {"combinations never seen", by_seen[1]},
                 {"the plain form", by_form[0]},
                 {"in other words", by_form[1]},
                 {"all", total}};
  report.aims = {{"digit right", "%", 95, total.percent(&Tally::digit)},
                 {"ink right", "%", 97, total.percent(&Tally::ink)},
                 {"background right", "%", 97, total.percent(&Tally::background)}};
  if (s.count > 1)
    for (const auto& [what, right] : {std::pair("digit", &Tally::digit), std::pair("ink", &Tally::ink),
                                      std::pair("background", &Tally::background)})
      report.aims.push_back({std::string("seen minus never seen, ") + what, "points", 3,
                             by_seen[0].percent(right) - by_seen[1].percent(right), false});
  report.aims.push_back({"one prompt by itself", "s", 1.5, alone, false});
  if (data) measure_on_data(*data, model, judge, seed, report);
  report.notes = {std::to_string(s.count) + " prompts, " + s.sampler + ", " + std::to_string(s.steps) +
                      " steps, guidance " + inkling::detail::number_text(s.guidance) + ", seed " + std::to_string(seed),
                  fixed(each, 3) + " s a prompt in batches of " + std::to_string(s.batch) + ", " +
                      std::to_string(num_threads()) + " threads"};

  const std::string text = report.markdown();
  fs::create_directories(folder);
  write_png(folder / "samples.png", plot::image_grid(samples, 8, sample_captions));
  if (!failures.empty()) write_png(folder / "failures.png", plot::image_grid(failures, 8, failure_captions));
  write_file(folder / "report.md", "# Does " + model.name + " paint what it is asked for?\n\n" + text +
                                       "\n![samples](samples.png)\n" +
                                       (failures.empty() ? "" : "\n![failures](failures.png)\n"));
  std::cout << text << (folder / "report.md").string() << std::endl;
  return s.check && !report.met() ? 3 : 0;
}

}  // namespace app
