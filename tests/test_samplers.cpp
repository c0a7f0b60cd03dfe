// Noise schedules, the forward process and the samplers: against recorded trajectories, and against their mathematics.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "inkling/core/random.hpp"
#include "inkling/diffusion/forward_process.hpp"
#include "inkling/diffusion/guidance.hpp"
#include "inkling/diffusion/sampler.hpp"
#include "inkling/diffusion/sampler_config.hpp"
#include "inkling/io/safetensors.hpp"
#include "support.hpp"

using namespace inkling;
using inkling_test::compare;
using inkling_test::golden_dir;
using inkling_test::Worst;
using nlohmann::json;

namespace {

constexpr double tolerance = 1e-4;  // of the largest magnitude: the reference trajectories were computed in float32

json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  if (!in) throw FormatError(path.string(), "a readable file", "none");
  return json::parse(in);
}

OptionValue option_value(const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) return value.get<std::vector<double>>();
  return std::monostate{};
}

// One trajectory's settings; the reason in `unsupported` when they ask for what does not exist here.
SamplerConfig config_of(const json& entry, std::string& unsupported) {
  SamplerConfig config = diffusers_defaults(entry.at("scheduler").get<std::string>());
  json options = entry.at("options");
  options.update(entry.at("step_options"));
  options["prediction_type"] = entry.at("prediction_type");
  for (const auto& [key, value] : options.items())
    if (!set_diffusers_option(config, key, option_value(value))) unsupported += " " + key + "=" + value.dump();
  return config;
}

template <class T, std::size_t N>
Tensor<T, 4> item(const Tensor<T, N>& stack, Index k, const Shape<4>& shape) {
  const auto size = static_cast<std::size_t>(checked_size(shape));
  return Tensor<T, 4>(shape, stack.span().subspan(static_cast<std::size_t>(k) * size, size));
}

struct TrajectoryErrors {
  Worst timesteps, sigmas, samples;
};

template <class T>
TrajectoryErrors run_trajectory(const SafetensorsFile& file, const json& entry, const SamplerConfig& config) {
  const auto name = entry.at("name").get<std::string>();
  const auto x_init = file.read<T, 4>("x_init");
  const auto noises = file.read<T, 5>("noise");
  const NoiseSchedule schedule(config.schedule);
  const auto sampler = make_sampler<T>(config.name, schedule, config.options, entry.at("steps").get<Index>());

  CHECK(sampler->calls() == entry.at("model_calls").get<Index>());
  CHECK(sampler->init_noise_sigma() == doctest::Approx(entry.at("init_noise_sigma").get<double>()).epsilon(1e-6));
  TrajectoryErrors errors;
  errors.timesteps = compare(sampler->timesteps(), file.read<double, 1>(name + "/timesteps"));
  if (file.contains(name + "/sigmas"))
    errors.sigmas = compare(sampler->sigmas(), file.read<double, 1>(name + "/sigmas"));

  Index noise_used = 0;
  const NoiseSource<T> next_noise = [&](const Shape<4>& shape) { return item(noises, noise_used++, shape); };
  sampler->reset();
  const T start = static_cast<T>(sampler->init_noise_sigma());
  Tensor<T, 4> x = elementwise([=](T v) { return start * v; }, x_init);
  std::vector<T> samples;
  for (Index i = 0; i < sampler->calls(); ++i) {
    const T shift = static_cast<T>(0.1 * std::sin(sampler->timesteps()[static_cast<std::size_t>(i)] / 100));
    const Tensor<T, 4> output = elementwise([=](T v) { return T(0.3) * v + shift; }, sampler->scale_model_input(x, i));
    x = sampler->step(output, i, x, next_noise).x_prev;
    samples.insert(samples.end(), x.begin(), x.end());
  }
  CHECK(noise_used == entry.at("noise_used").get<Index>());
  errors.samples = compare(samples, file.read<float, 5>(name + "/samples"));
  return errors;
}

Tensor<double, 4> randn(std::uint64_t seed, const Shape<4>& shape) { return Generator(seed).randn<double>(shape); }

// A network that knows x_0: it answers the exact noise in x_t = alpha x_0 + sigma eps.
Tensor<double, 4> exact_answer(PredictionType type, const NoiseSchedule& schedule, const Tensor<double, 4>& x0,
                               const Tensor<double, 4>& x_t, Index t) {
  if (type == PredictionType::sample) return x0;
  const double alpha = std::sqrt(schedule.alpha_bar(t)), sigma = std::sqrt(1 - schedule.alpha_bar(t));
  const auto eps = elementwise([=](double x, double p) { return (x - alpha * p) / sigma; }, x_t, x0);
  if (type == PredictionType::epsilon) return eps;
  return elementwise([=](double e, double p) { return alpha * e - sigma * p; }, eps, x0);
}

constexpr std::array all_types{PredictionType::epsilon, PredictionType::v_prediction, PredictionType::sample};
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "nothing thrown";
}

}  // namespace

TEST_CASE("golden: samplers") {
  const json cases = read_json(golden_dir() / "schedulers.json");
  const SafetensorsFile file(golden_dir() / "schedulers.safetensors");
  std::map<std::string, std::pair<int, Worst>> families;  // by class: how many, the worst in float
  std::string skipped;
  int ran = 0;
  for (const json& entry : cases.at("trajectories")) {
    const auto name = entry.at("name").get<std::string>();
    const auto scheduler = entry.at("scheduler").get<std::string>();
    if (sampler_name_of_class(scheduler).empty()) {
      skipped += "\n  " + name + ": no " + scheduler + " yet";
      continue;
    }
    std::string unsupported;
    const SamplerConfig config = config_of(entry, unsupported);
    if (!unsupported.empty()) {
      skipped += "\n  " + name + ": " + scheduler + " without" + unsupported;
      continue;
    }
    ++ran;
    CAPTURE(name);
    const auto in_float = run_trajectory<float>(file, entry, config);
    const auto in_double = run_trajectory<double>(file, entry, config);
    for (const auto& errors : {in_float, in_double}) {
      CHECK_MESSAGE(errors.samples.relative() <= tolerance, "samples: ", inkling_test::to_string(errors.samples));
      CHECK_MESSAGE(errors.sigmas.relative() <= tolerance, "sigmas: ", inkling_test::to_string(errors.sigmas));
      CHECK_MESSAGE(errors.timesteps.relative() <= tolerance, "timesteps: ", inkling_test::to_string(errors.timesteps));
    }
    auto& [count, worst] = families[scheduler];
    ++count;
    if (in_float.samples.relative() >= worst.relative()) worst = in_float.samples;
  }
  for (const auto& [scheduler, result] : families)
    MESSAGE(scheduler << ": " << result.first << " trajectories, worst of them " << result.second);
  // What the reference itself would not do with these settings.
  for (const json& entry : cases.value("refused", json::array()))
    skipped += "\n  refused by the reference: " + entry.dump();
  if (!skipped.empty()) MESSAGE("skipped:" << skipped);
  REQUIRE(ran > 0);
}

TEST_CASE("golden: samplers: noise schedules") {
  const SafetensorsFile file(golden_dir() / "schedulers.safetensors");
  // The ends of the betas stand in the file itself, so that another folder may have others.
  const std::map<std::string, BetaSchedule> kinds{{"linear", BetaSchedule::linear},
                                                  {"scaled_linear", BetaSchedule::scaled_linear},
                                                  {"squaredcos_cap_v2", BetaSchedule::squared_cosine}};
  constexpr std::string_view prefix = "schedule.", suffix = "/betas", zero_snr = "_zero_terminal_snr";
  int ran = 0;
  for (const TensorEntry& e : file.entries()) {
    if (!e.name.starts_with(prefix) || !e.name.ends_with(suffix)) continue;
    const std::string name = e.name.substr(0, e.name.size() - suffix.size());
    std::string kind = name.substr(prefix.size());
    NoiseScheduleOptions options;
    options.zero_terminal_snr = kind.ends_with(zero_snr);
    if (options.zero_terminal_snr) kind.resize(kind.size() - zero_snr.size());
    if (!kinds.contains(kind)) {
      MESSAGE("skipped: " << name);
      continue;
    }
    options.kind = kinds.at(kind);
    const auto betas = file.read<double, 1>(e.name);
    options.train_timesteps = betas.size();
    if (!options.zero_terminal_snr) {
      options.beta_start = betas(0);
      options.beta_end = betas(betas.size() - 1);
    }
    const NoiseSchedule schedule(options);
    const Worst beta = compare(schedule.betas(), betas);
    const Worst alpha_bar = compare(schedule.alphas_cumprod(), file.read<double, 1>(name + "/alphas_cumprod"));
    MESSAGE(name << ": betas " << beta << ", alphas_cumprod " << alpha_bar);
    CHECK(beta.relative() <= 1e-5);
    CHECK(alpha_bar.relative() <= 1e-5);
    ++ran;
  }
  REQUIRE(ran > 0);
}

TEST_CASE("golden: samplers: forward process and velocity") {
  const SafetensorsFile file(golden_dir() / "schedulers.safetensors");
  const auto t = file.read<std::int64_t, 1>("add_noise/timesteps");
  const auto x0 = file.read<float, 4>("add_noise/x0"), noise = file.read<float, 4>("add_noise/noise");
  const NoiseSchedule schedule;  // Stable Diffusion's
  const Worst x_t = compare(q_sample(schedule, x0, noise, t.span()), file.read<float, 4>("add_noise/output"));
  const Worst v = compare(velocity(schedule, x0, noise, t.span()), file.read<float, 4>("add_noise/velocity"));
  MESSAGE("x_t " << x_t << "; velocity " << v);
  CHECK(x_t.relative() <= 1e-6);
  CHECK(v.relative() <= 1e-6);
}

TEST_CASE("golden: samplers: targets and weights of training") {
  const SafetensorsFile file(golden_dir() / "training_mini.safetensors");
  const NoiseSchedule schedule;
  const auto t = file.read<std::int64_t, 1>("timesteps");
  const auto x0 = file.read<float, 4>("x0"), noise = file.read<float, 4>("noise");
  CHECK(compare(q_sample(schedule, x0, noise, t.span()), file.read<float, 4>("x_t")).relative() <= 1e-6);
  CHECK(compare(training_target(PredictionType::v_prediction, schedule, x0, noise, t.span()),
                file.read<float, 4>("v_target"))
            .relative() <= 1e-6);
  const double gamma = std::stod(file.metadata("min_snr_gamma"));
  const auto weights = min_snr_weights<double>(PredictionType::epsilon, schedule, t.span(), gamma);
  const Worst worst = compare(weights, file.read<double, 1>("eps_minsnr5.weights"));
  MESSAGE("min-SNR weights " << worst);
  CHECK(worst.relative() <= 1e-5);
}

TEST_CASE("golden: samplers: times and noise levels of whole pipelines") {
  const SafetensorsFile file(golden_dir() / "sd_mini_pipeline.safetensors");
  const NoiseSchedule schedule;
  const auto steps = static_cast<Index>(std::stol(file.metadata("steps")));
  auto ddim_timesteps = json::parse(file.metadata("ddim_timesteps")).get<std::vector<double>>();
  std::reverse(ddim_timesteps.begin(), ddim_timesteps.end());
  const auto ddim = make_sampler<float>("ddim", schedule, {}, steps);
  CHECK(ddim->timesteps() == ddim_timesteps);
  const auto euler = make_sampler<float>("euler", schedule, {}, steps);
  CHECK(compare(euler->timesteps(), json::parse(file.metadata("euler_timesteps")).get<std::vector<double>>())
            .relative() <= 1e-12);
  CHECK(compare(euler->sigmas(), json::parse(file.metadata("euler_sigmas")).get<std::vector<double>>()).relative() <=
        1e-6);
  // Image to image: the noise of DDIM's t_enc-th time counted from the clean end.
  const Index t_enc = json::parse(file.metadata("img2img")).at("t_enc").get<Index>();
  const Tensor<float, 4> z =
      ddim->add_noise(file.read<float, 4>("img2img.z0"), file.read<float, 4>("noise"), steps - 1 - t_enc);
  CHECK(compare(z, file.read<float, 4>("img2img.z_noised")).relative() <= 1e-6);
}

TEST_CASE("noise schedule: alpha_bar falls from nearly 1 to nearly 0") {
  for (BetaSchedule kind : {BetaSchedule::linear, BetaSchedule::scaled_linear, BetaSchedule::squared_cosine}) {
    for (bool zero : {false, true}) {
      NoiseScheduleOptions options;
      options.kind = kind;
      if (kind == BetaSchedule::linear) options.beta_start = 1e-4, options.beta_end = 0.02;
      options.zero_terminal_snr = zero;
      const NoiseSchedule schedule(options);
      double previous = 1, product = 1;
      for (Index t = 0; t < schedule.size(); ++t) {
        REQUIRE(schedule.alpha_bar(t) < previous);
        REQUIRE(schedule.alpha_bar(t) >= 0);
        previous = schedule.alpha_bar(t);
        product *= 1 - schedule.betas()[static_cast<std::size_t>(t)];
        REQUIRE(schedule.alpha_bar(t) == doctest::Approx(product).epsilon(1e-9));
        if (schedule.alpha_bar(t) > 0)
          REQUIRE(schedule.snr(t) * schedule.sigma(t) * schedule.sigma(t) == doctest::Approx(1));
      }
      CHECK(schedule.alpha_bar(0) > 0.999);
      CHECK(previous < 0.005);
      if (zero) CHECK(previous == 0);
      if (!zero) CHECK(previous > 0);
    }
  }
  // Lin et al. 2023: the rescaled schedule leaves the first step as it was.
  NoiseScheduleOptions rescaled;
  rescaled.zero_terminal_snr = true;
  CHECK(NoiseSchedule(rescaled).alpha_bar(0) == doctest::Approx(NoiseSchedule().alpha_bar(0)).epsilon(1e-12));
}

TEST_CASE("noise schedule: bad settings") {
  const auto with = [](auto change) {
    NoiseScheduleOptions options;
    change(options);
    return NoiseSchedule(options);
  };
  CHECK_THROWS_AS(with([](auto& o) { o.train_timesteps = 0; }), ConfigError);
  CHECK_THROWS_AS(with([](auto& o) { o.train_timesteps = -5; }), ConfigError);
  CHECK_THROWS_AS(with([](auto& o) { o.train_timesteps = Index{1} << 60; }), ConfigError);
  CHECK_THROWS_AS(with([](auto& o) { o.beta_start = not_a_number; }), ConfigError);
  CHECK_THROWS_AS(with([](auto& o) { o.beta_start = -0.1; }), ConfigError);
  CHECK_THROWS_AS(with([](auto& o) { o.beta_end = 1.5; }), ConfigError);
  CHECK_THROWS_AS(with([](auto& o) { o.betas = {0.1, 1.0, 0.1}; }), ConfigError);
  CHECK_THROWS_AS(with([](auto& o) { o.betas = {0.1}, o.zero_terminal_snr = true; }), ConfigError);
  CHECK(with([](auto& o) { o.betas = {0.1, 0.2}; }).alpha_bar(1) == doctest::Approx(0.72));
  CHECK_THROWS_AS(NoiseSchedule().alpha_bar(1000), ConfigError);
  CHECK_THROWS_AS(NoiseSchedule().alpha_bar(-1), ConfigError);
}

TEST_CASE("forward process: x_t keeps variance 1, predictions give x_0 and eps back") {
  const NoiseSchedule schedule;
  const Shape<4> shape{3, 4, 16, 16};
  const auto x0 = randn(1, shape), eps = randn(2, shape);
  const std::vector<std::int64_t> t{1, 400, 999};
  const auto x_t = q_sample(schedule, x0, eps, t);
  double squares = 0;
  for (double v : x_t) squares += v * v;
  CHECK(squares / static_cast<double>(x_t.size()) == doctest::Approx(1).epsilon(0.1));
  for (PredictionType type : all_types) {
    const auto target = training_target(type, schedule, x0, eps, t);
    for (Index n = 0; n < 3; ++n) {
      const Shape<4> one{1, 4, 16, 16};
      const double alpha_bar = schedule.alpha_bar(static_cast<Index>(t[static_cast<std::size_t>(n)]));
      CHECK(compare(predicted_x0(type, item(target, n, one), item(x_t, n, one), alpha_bar), item(x0, n, one)).error <
            1e-12);
      CHECK(compare(predicted_eps(type, item(target, n, one), item(x_t, n, one), alpha_bar), item(eps, n, one)).error <
            1e-12);
    }
  }
  CHECK_THROWS_AS(q_sample(schedule, x0, eps, std::vector<std::int64_t>{1, 2}), ShapeError);
  CHECK_THROWS_AS(q_sample(schedule, x0, eps, std::vector<std::int64_t>{1, 2, 1000}), ConfigError);
  CHECK_THROWS_AS(q_sample(schedule, x0, randn(2, {3, 4, 16, 15}), t), ShapeError);
}

TEST_CASE("min-SNR weights: losses of eps, v and x_0 become one and the same") {
  // |x_0 - x_0'|^2 min(SNR, gamma) = |eps - eps'|^2 w_eps = |v - v'|^2 w_v, because the three differences are
  // proportional: d eps = d x_0 alpha / sigma, d v = d x_0 / sigma.
  const NoiseSchedule schedule;
  const std::vector<std::int64_t> t{0, 10, 300, 700, 999};
  const auto x = min_snr_weights<double>(PredictionType::sample, schedule, t, 5);
  const auto eps = min_snr_weights<double>(PredictionType::epsilon, schedule, t, 5);
  const auto v = min_snr_weights<double>(PredictionType::v_prediction, schedule, t, 5);
  for (Index n = 0; n < 5; ++n) {
    const double a = schedule.alpha_bar(static_cast<Index>(t[static_cast<std::size_t>(n)]));
    CHECK(eps(n) * a / (1 - a) == doctest::Approx(x(n)));
    CHECK(v(n) / (1 - a) == doctest::Approx(x(n)));
    CHECK(x(n) <= 5);
  }
  CHECK(eps(4) == 1);
  NoiseScheduleOptions zero;
  zero.zero_terminal_snr = true;
  CHECK_THROWS_AS(min_snr_weights<double>(PredictionType::epsilon, NoiseSchedule(zero), t, 5), ConfigError);
  CHECK(min_snr_weights<double>(PredictionType::v_prediction, NoiseSchedule(zero), t, 5)(4) == 0);
  CHECK_THROWS_AS(min_snr_weights<double>(PredictionType::epsilon, schedule, t, not_a_number), ConfigError);
}

TEST_CASE("samplers: a network that knows x_0 is led to x_0") {
  // With exact answers DDIM and Euler stand on the line between x_0 and eps at every step, however few steps there are
  // (Song et al. 2020, equation (9)); the last step removes what noise is left.
  const NoiseSchedule schedule;
  const Shape<4> shape{1, 4, 8, 8};
  const auto x0 = randn(1, shape), eps = randn(2, shape);
  for (PredictionType type : all_types) {
    for (Index steps : {1, 2, 7, 50}) {
      SamplerOptions options;
      options.prediction = type;
      options.set_alpha_to_one = true;
      options.spacing = TimestepSpacing::trailing;  // so that one step starts at the noisiest end
      const auto ddim = make_sampler<double>("ddim", schedule, options, steps);
      auto x = ddim->add_noise(x0, eps, 0);
      for (Index i = 0; i < ddim->calls(); ++i) {
        const auto t = static_cast<Index>(ddim->timesteps()[static_cast<std::size_t>(i)]);
        const auto result = ddim->step(exact_answer(type, schedule, x0, x, t), i, x, {});
        CHECK(compare(result.x0, x0).error < 1e-9);
        x = result.x_prev;
      }
      CHECK(compare(x, x0).error < 1e-9);

      const auto euler = make_sampler<double>("euler", schedule, options, steps);
      x = euler->add_noise(x0, eps, 0);
      for (Index i = 0; i < euler->calls(); ++i) {
        const auto t = static_cast<Index>(euler->timesteps()[static_cast<std::size_t>(i)]);
        const auto result = euler->step(exact_answer(type, schedule, x0, euler->scale_model_input(x, i), t), i, x, {});
        CHECK(compare(result.x0, x0).error < 1e-9);
        x = result.x_prev;
        if (i + 1 < euler->calls()) CHECK(compare(x, euler->add_noise(x0, eps, i + 1)).error < 1e-8);
      }
      CHECK(compare(x, x0).error < 1e-9);
    }
  }
}

TEST_CASE("samplers: DDIM with eta 1 takes DDPM's steps") {
  // Song et al. 2020, section 4.1: eta = 1 makes the process DDPM. Same mean and same variance: with the same noise z,
  // the same x_prev.
  NoiseScheduleOptions schedule_options;
  const NoiseSchedule schedule(schedule_options);
  SamplerOptions options;
  options.set_alpha_to_one = true;
  options.eta = 1;
  const auto ddim = make_sampler<double>("ddim", schedule, options, 20);
  const auto ddpm = make_sampler<double>("ddpm", schedule, options, 20);
  const Shape<4> shape{1, 4, 8, 8};
  const auto x = randn(1, shape), output = randn(2, shape);
  const NoiseSource<double> z = [](const Shape<4>& s) { return randn(3, s); };
  REQUIRE(ddim->timesteps() == ddpm->timesteps());
  for (Index i = 0; i < 20; ++i) {
    const Worst worst = compare(ddim->step(output, i, x, z).x_prev, ddpm->step(output, i, x, z).x_prev);
    CHECK_MESSAGE(worst.error < 1e-12, "call ", i, ": ", inkling_test::to_string(worst));
  }
  const DdimSampler<double> half(
      schedule,
      [&] {
        auto o = options;
        o.eta = 0.5;
        return o;
      }(),
      20);
  const DdimSampler<double> whole(schedule, options, 20);
  CHECK(half.sigma(4) == doctest::Approx(0.5 * whole.sigma(4)));
}

TEST_CASE("samplers: DDPM over every timestep keeps the forward process's distribution") {
  // Where x_0 is standard normal, so is every x_t, and the best guess is E[x_0 | x_t] = sqrt(alpha_bar) x_t. DDPM's
  // variance of x_prev is then mean's + added: (from_x0 sqrt(alpha_bar) + from_x_t)^2 + sigma^2. fixed_large is exact
  // for such data (Ho et al. 2020, section 3.2): x_prev is standard normal again.
  const NoiseSchedule schedule;
  SamplerOptions options;
  options.steps_offset = 0;
  options.variance = VarianceType::fixed_large;
  options.prediction = PredictionType::sample;
  const auto ddpm = make_sampler<double>("ddpm", schedule, options, 1000);
  const Shape<4> one{1, 1, 1, 1};
  for (Index i : {0, 100, 500, 900, 998}) {
    const double alpha_bar = schedule.alpha_bar(999 - i);
    const Tensor<double, 4> x(one, 1.0), x0(one, std::sqrt(alpha_bar));
    const auto silent = [](const Shape<4>& s) { return Tensor<double, 4>(s, 0.0); };
    const auto loud = [](const Shape<4>& s) { return Tensor<double, 4>(s, 1.0); };
    const double mean = ddpm->step(x0, i, x, silent).x_prev(0, 0, 0, 0);
    const double sigma = ddpm->step(x0, i, x, loud).x_prev(0, 0, 0, 0) - mean;
    CHECK(mean * mean + sigma * sigma == doctest::Approx(1).epsilon(1e-12));
  }
}

TEST_CASE("samplers: Euler's churn adds as much noise as it says") {
  const NoiseSchedule schedule;
  SamplerOptions options;
  options.churn = 4;
  const auto euler = make_sampler<double>("euler", schedule, options, 10);
  const double sigma = euler->sigmas()[3], sigma_next = euler->sigmas()[4], sigma_hat = sigma * 1.4;
  const Shape<4> one{1, 1, 1, 1};
  const auto z = [](const Shape<4>& s) { return Tensor<double, 4>(s, 1.0); };
  // eps = 0: x_0 = x^ and the step changes nothing, so only the churn is seen.
  const Tensor<double, 4> x(one, 2.0), none(one, 0.0), some(one, 0.5);
  const double x_hat = 2 + std::sqrt(sigma_hat * sigma_hat - sigma * sigma);
  CHECK(euler->step(none, 3, x, z).x_prev(0, 0, 0, 0) == doctest::Approx(x_hat).epsilon(1e-12));
  CHECK(euler->step(some, 3, x, z).x_prev(0, 0, 0, 0) ==
        doctest::Approx(x_hat + 0.5 * (sigma_next - sigma_hat)).epsilon(1e-12));
  CHECK_THROWS_AS(euler->step(none, 3, x, {}), ConfigError);  // no source of noise
  options.churn_max = sigma / 2;
  CHECK(make_sampler<double>("euler", schedule, options, 10)->step(none, 3, x, {}).x_prev(0, 0, 0, 0) == 2.0);
}

TEST_CASE("samplers: noise levels") {
  const NoiseSchedule schedule;
  for (auto spacing : {TimestepSpacing::leading, TimestepSpacing::linspace, TimestepSpacing::trailing}) {
    for (auto sigmas : {SigmaSpacing::by_timestep, SigmaSpacing::karras, SigmaSpacing::exponential}) {
      SamplerOptions options;
      options.spacing = spacing;
      options.sigma_spacing = sigmas;
      const auto euler = make_sampler<float>("euler", schedule, options, 30);
      const auto levels = euler->sigmas();
      REQUIRE(levels.size() == 31);
      CHECK(levels.back() == 0);
      for (std::size_t i = 0; i < 30; ++i) {
        REQUIRE(levels[i] > levels[i + 1]);
        const double t = euler->timesteps()[i];
        if (i > 0) REQUIRE(t < euler->timesteps()[i - 1]);
        if (t == std::floor(t))
          CHECK(schedule.sigma(static_cast<Index>(t)) == doctest::Approx(levels[i]).epsilon(1e-9));
      }
    }
  }
  const auto table = sigma_table(schedule);
  for (Index t : {0, 1, 500, 998, 999})
    CHECK(timestep_of_sigma(table, schedule.sigma(t)) == doctest::Approx(static_cast<double>(t)));
  CHECK(timestep_of_sigma(table, 1e-9) == 0);
  CHECK(timestep_of_sigma(table, 1e9) == 999);
}

TEST_CASE("samplers: limits on x_0") {
  Tensor<double, 4> x0(Shape<4>{2, 1, 1, 4}, {-3, -1, 0, 2, 0.5, -0.5, 0.25, 0});
  X0Limits clip;
  clip.clip = true;
  CHECK(compare(limited_x0(x0, clip), std::vector<double>{-1, -1, 0, 1, 0.5, -0.5, 0.25, 0}).error == 0);
  X0Limits dynamic;
  dynamic.dynamic = true;
  dynamic.dynamic_ratio = 0.5;  // the median of 0, 1, 2, 3 is 1.5; of the second item below 1, which counts as 1
  dynamic.dynamic_most = 10;
  CHECK(compare(limited_x0(x0, dynamic), std::vector<double>{-1, -2 / 3.0, 0, 1, 0.5, -0.5, 0.25, 0}).error < 1e-15);
  dynamic.dynamic_most = 1;
  CHECK(compare(limited_x0(x0, dynamic), std::vector<double>{-1, -1, 0, 1, 0.5, -0.5, 0.25, 0}).error == 0);
}

TEST_CASE("guidance: 0 forgets the prompt, 1 is the prompt, 7.5 goes beyond it") {
  const Shape<4> shape{1, 4, 4, 4};
  const auto uncond = randn(1, shape), cond = randn(2, shape);
  CHECK(compare(classifier_free_guidance(uncond, cond, 0), uncond).error == 0);
  CHECK(compare(classifier_free_guidance(uncond, cond, 1), cond).error < 1e-15);
  const auto guided = classifier_free_guidance(uncond, cond, 7.5);
  CHECK(guided(0, 1, 2, 3) == doctest::Approx(7.5 * cond(0, 1, 2, 3) - 6.5 * uncond(0, 1, 2, 3)));
  Tensor<double, 4> both(Shape<4>{2, 4, 4, 4});
  std::copy(uncond.begin(), uncond.end(), both.begin());
  std::copy(cond.begin(), cond.end(), both.begin() + 64);
  CHECK(compare(classifier_free_guidance(both, 7.5), guided).error == 0);
  CHECK_THROWS_AS(classifier_free_guidance(uncond, cond, not_a_number), ConfigError);
  CHECK_THROWS_AS(classifier_free_guidance(both, std::numeric_limits<double>::infinity()), ConfigError);
  CHECK_THROWS_AS(classifier_free_guidance(uncond, randn(2, {1, 4, 4, 5}), 1), ShapeError);
  CHECK_THROWS_AS(classifier_free_guidance(randn(2, {3, 4, 4, 5}), 1), ShapeError);
}

TEST_CASE("samplers: bad settings get one clear line") {
  const NoiseSchedule schedule;
  for (const std::string& name : sampler_names()) {
    CAPTURE(name);
    for (Index steps :
         {Index{0}, Index{-1}, Index{1001}, std::numeric_limits<Index>::max(), std::numeric_limits<Index>::min()})
      CHECK_THROWS_AS(make_sampler<float>(name, schedule, {}, steps), ConfigError);
    const auto sampler = make_sampler<float>(name, schedule, {}, 10);
    CHECK(sampler->name() == name);
    const Tensor<float, 4> x(Shape<4>{1, 4, 8, 8}), narrow(Shape<4>{1, 4, 8, 7});
    const NoiseSource<float> zeros = [](const Shape<4>& s) { return Tensor<float, 4>(s); };
    CHECK_THROWS_AS(sampler->step(x, 10, x, zeros), ConfigError);
    CHECK_THROWS_AS(sampler->step(x, -1, x, zeros), ConfigError);
    CHECK_THROWS_AS(sampler->scale_model_input(x, 10), ConfigError);
    CHECK_THROWS_AS(sampler->step(narrow, 0, x, zeros), ShapeError);
    CHECK_THROWS_AS(sampler->add_noise(x, narrow, 0), ShapeError);
  }
  for (double eta : {not_a_number, -0.1, 1.1, std::numeric_limits<double>::infinity()}) {
    SamplerOptions options;
    options.eta = eta;
    CHECK_THROWS_AS(make_sampler<float>("ddim", schedule, options, 10), ConfigError);
  }
  SamplerOptions churn;
  churn.churn = not_a_number;
  CHECK_THROWS_AS(make_sampler<float>("euler", schedule, churn, 10), ConfigError);
  SamplerOptions limits;
  limits.x0_limits.clip_range = not_a_number;
  CHECK_THROWS_AS(make_sampler<float>("ddpm", schedule, limits, 10), ConfigError);

  const std::string unknown = message_of([&] { make_sampler<float>("eulr", schedule, {}, 10); });
  CHECK(unknown == "sampler: expected one of ddpm, ddim, euler, got \"eulr\"; hint: did you mean \"euler\"?");
  CHECK_THROWS_AS(make_sampler<float>("", schedule, {}, 10), ConfigError);

  // 1000 leading steps moved up by 1 would ask for timestep 1000.
  const std::string beyond = message_of([&] { make_sampler<float>("ddim", schedule, {}, 1000); });
  CHECK(beyond.find("timesteps from 0 to 999") != std::string::npos);
  CHECK(beyond.find("steps_offset") != std::string::npos);

  // A stochastic step without a source of noise, or with one of another shape.
  const Tensor<float, 4> x(Shape<4>{1, 4, 8, 8});
  const auto ddpm = make_sampler<float>("ddpm", schedule, {}, 10);
  CHECK_THROWS_AS(ddpm->step(x, 0, x, {}), ConfigError);
  CHECK_THROWS_AS(ddpm->step(x, 0, x,
                             [](const Shape<4>&) {
                               return Tensor<float, 4>(Shape<4>{1, 1, 1, 1});
                             }),
                  ShapeError);
}

TEST_CASE("samplers: zero terminal SNR needs a prediction that survives pure noise") {
  NoiseScheduleOptions zero;
  zero.zero_terminal_snr = true;
  const NoiseSchedule schedule(zero);
  SamplerOptions options;
  options.spacing = TimestepSpacing::trailing;  // starts at t = 999, where nothing of the picture is left
  const Shape<4> shape{1, 1, 2, 2};
  const auto x = randn(1, shape), output = randn(2, shape);
  for (const char* name : {"ddpm", "ddim"}) {
    CAPTURE(name);
    options.prediction = PredictionType::epsilon;
    CHECK_THROWS_AS(make_sampler<double>(name, schedule, options, 10), ConfigError);
    options.prediction = PredictionType::v_prediction;
    const auto sampler = make_sampler<double>(name, schedule, options, 10);
    const auto result = sampler->step(output, 0, x, [](const Shape<4>& s) { return randn(3, s); });
    for (double v : result.x_prev) CHECK(std::isfinite(v));
    // sigma = 1, alpha = 0: v = -x_0
    CHECK(compare(result.x0, elementwise([](double v) { return -v; }, output)).error < 1e-15);
  }
  CHECK(make_sampler<double>("euler", schedule, options, 10)->sigmas()[0] == doctest::Approx(4096).epsilon(1e-6));
}

TEST_CASE("sampler config: diffusers' names") {
  CHECK_THROWS_AS(diffusers_defaults("DDIMSchedular"), ConfigError);
  SamplerConfig config = diffusers_defaults("DDIMScheduler");
  CHECK(config.name == "ddim");
  CHECK(config.options.x0_limits.clip);
  CHECK(set_diffusers_option(config, "clip_sample", false));
  CHECK_FALSE(config.options.x0_limits.clip);
  CHECK(set_diffusers_option(config, "beta_schedule", std::string("squaredcos_cap_v2")));
  CHECK(config.schedule.kind == BetaSchedule::squared_cosine);
  CHECK_FALSE(set_diffusers_option(config, "beta_schedule", std::string("sigmoid")));
  CHECK_FALSE(set_diffusers_option(config, "s_churn", 1.0));  // Euler's, not DDIM's
  CHECK_FALSE(set_diffusers_option(config, "no_such_option", true));
  CHECK_THROWS_AS(set_diffusers_option(config, "clip_sample", 1.0), ConfigError);
  CHECK_THROWS_AS(set_diffusers_option(config, "steps_offset", 0.5), ConfigError);
  CHECK_THROWS_AS(set_diffusers_option(config, "steps_offset", not_a_number), ConfigError);
  CHECK_THROWS_AS(set_diffusers_option(config, "num_train_timesteps", 1e30), ConfigError);
  CHECK_THROWS_AS(set_diffusers_option(config, "beta_start", std::string("0.1")), ConfigError);
  CHECK_THROWS_AS(set_diffusers_option(config, "trained_betas", true), ConfigError);
  CHECK(set_diffusers_option(config, "trained_betas", std::monostate{}));
}
