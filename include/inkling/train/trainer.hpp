// The training loop: loss, gradient, clipping, AdamW, moving average, a log, and a checkpoint from which it goes on as
// if nothing had happened.
#pragma once
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "inkling/core/progress.hpp"
#include "inkling/io/safetensors.hpp"
#include "inkling/io/safetensors_writer.hpp"
#include "inkling/kernels/compute_type.hpp"
#include "inkling/nn/module.hpp"
#include "inkling/train/ema.hpp"
#include "inkling/train/learning_rate.hpp"
#include "inkling/train/optimizer.hpp"

namespace inkling {

// The module's parameters as an optimiser wants them: those that are trained, with the gradients of this step.
template <class Module>
std::vector<ParameterView<float>> parameter_views(Module& module) {
  std::vector<ParameterView<float>> views;
  for_each_parameter(module, [&](const std::string& path, auto& p) {
    if (!p.trainable()) return;
    ParameterView<float> view{path, p.value().span(), {}};
    if (p.variable().has_grad()) view.grad = p.variable().grad().span();
    views.push_back(std::move(view));
  });
  return views;
}

struct TrainOptions {
  std::string name;              // of the checkpoint and the log: "unet"
  std::filesystem::path folder;  // where they are kept
  Index steps = 1000;
  double learning_rate = 1e-3;
  Index warmup_steps = 100;  // the rate climbs from 0, then falls along a cosine to 0
  double weight_decay = 0.01;
  double max_norm = 1.0;     // gradients longer than this are shortened to it
  double ema_decay = 0.999;  // of the moving average of the weights, which is what one keeps (Ho et al. 2020, app. B)
  double checkpoint_seconds = 60;
  // bf16: convolutions, linear layers and attention (forwards) of loss and gradient multiply bfloat16 where that is
  // faster (on processors that can: docs/performance.md). Weights, gradients, moments, average and checkpoints stay
  // float, so a run may change from one to the other when taken up.
  ComputeType compute = ComputeType::f32;
};

struct TrainStep {
  Index step, steps;  // 1..steps
  double loss, average_loss, learning_rate, gradient_norm, seconds_per_step;
};

template <class Module>
class Trainer {
 public:
  // Takes up the checkpoint in the folder where there is one. The module must have weights (initialize()).
  Trainer(Module& module, TrainOptions options) : module_(module), options_(std::move(options)) {
    if (options_.steps < 1) throw ConfigError("TrainOptions.steps", "at least 1", std::to_string(options_.steps));
    set_trainable(module_, true);
    AdamWOptions adam;
    adam.weight_decay = options_.weight_decay;
    optimizer_.emplace(adam);
    for_each_parameter(module_, [&](const std::string& path, auto& p) {
      average_.emplace_back(path, std::vector<float>(p.value().begin(), p.value().end()));
    });
    if (std::filesystem::exists(checkpoint_path())) resume();
  }

  Index done() const { return step_; }
  bool finished() const { return step_ >= options_.steps; }
  const std::vector<float>& losses() const { return losses_; }  // of every step so far

  // loss(step) computes the loss of one batch, which must depend on nothing but the step: then a run that was stopped
  // and taken up again makes the same batches. after(info) may return false to stop; the checkpoint is saved first.
  void run(const std::function<Variable<float, 0>(Index)>& loss, const std::function<bool(const TrainStep&)>& after) {
    using Clock = std::chrono::steady_clock;
    auto last_checkpoint = Clock::now();
    const Index first = step_;
    const auto start = Clock::now();
    while (!finished()) {
      std::optional<kernels::ComputeIn> compute(options_.compute);
      const Variable<float, 0> value = loss(step_);
      if (!std::isfinite(value.value()()))
        throw Error(options_.name + ": step " + std::to_string(step_), "a finite loss", std::to_string(value.value()()),
                    "a smaller learning rate; the last checkpoint is kept");
      backward(value);
      compute.reset();  // what after() does is none of its business
      auto parameters = parameter_views(module_);
      const double norm = clip_gradient_norm(parameters, options_.max_norm);
      const double rate = options_.learning_rate * cosine_with_warmup(step_, options_.warmup_steps, options_.steps);
      optimizer_->step(parameters, rate);
      zero_grad(module_);
      ++step_;
      update_average();
      losses_.push_back(value.value()());
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      const TrainStep info{step_, options_.steps, losses_.back(), average_loss(), rate, norm,
                           seconds / static_cast<double>(step_ - first)};
      const bool go_on = !after || after(info);
      const bool due = std::chrono::duration<double>(Clock::now() - last_checkpoint).count() >
                       options_.checkpoint_seconds;
      if (due || !go_on || finished()) {
        save();
        last_checkpoint = Clock::now();
      }
      if (!go_on) throw Stopped(options_.name);
    }
  }

  // Puts the moving average into the module: what is used from now on.
  void use_average() {
    copy_average(module_);
    set_trainable(module_, false);
  }
  // Puts it into another module of the same kind, to look at while training goes on.
  void copy_average(Module& other) const {
    std::size_t i = 0;
    for_each_parameter(other, [&](const std::string& path, auto& p) {
      if (i == average_.size() || average_[i].first != path || static_cast<Index>(average_[i].second.size()) != p.size())
        throw ConfigError("Trainer::copy_average", "a module of the same kind", "another parameter \"" + path + "\"");
      std::copy(average_[i].second.begin(), average_[i].second.end(), p.value().begin());
      ++i;
    });
  }

  std::filesystem::path checkpoint_path() const { return options_.folder / (options_.name + ".checkpoint.safetensors"); }

 private:
  double average_loss() const {
    const std::size_t window = std::min<std::size_t>(100, losses_.size());
    double sum = 0;
    for (std::size_t i = losses_.size() - window; i < losses_.size(); ++i) sum += losses_[i];
    return sum / static_cast<double>(window);
  }
  void update_average() {
    std::vector<AveragedView<float>> views;
    for_each_parameter(module_, [&](const std::string&, auto& p) {
      views.push_back({average_[views.size()].second, std::as_const(p.value()).span()});
    });
    ema_update(views, ema_warm_decay(options_.ema_decay, step_));
  }

  // Everything that decides what comes next, in one file that appears whole or not at all.
  void save() {
    std::vector<TensorToWrite> tensors;
    std::vector<Tensor<float, 1>> flat;  // what the writer reads from
    flat.reserve(2 * average_.size() + optimizer_->state().size() + 1);
    const auto add = [&](const std::string& name, std::span<const float> values) {
      flat.emplace_back(Shape<1>{static_cast<Index>(values.size())}, values);
      tensors.push_back({name, flat.back()});
    };
    for_each_parameter(module_, [&](const std::string& path, auto& p) {
      add("weight." + path, std::as_const(p.value()).span());
    });
    for (const auto& [path, values] : average_) add("average." + path, values);
    for (const auto& [name, values] : optimizer_->state()) add("optimizer." + name, values);
    add("losses", losses_);
    write_safetensors(checkpoint_path(), tensors, {{"step", std::to_string(step_)}});
  }
  void resume() {
    const SafetensorsFile file(checkpoint_path());
    const auto read = [&](const std::string& name, std::span<float> out) { file.read(name, out); };
    for_each_parameter(module_, [&](const std::string& path, auto& p) { read("weight." + path, p.value().span()); });
    for (auto& [path, values] : average_) read("average." + path, values);
    constexpr std::string_view prefix = "optimizer.";
    for (const TensorEntry& e : file.entries()) {
      if (!e.name.starts_with(prefix)) continue;
      auto& values = optimizer_->state()[e.name.substr(prefix.size())];
      values.resize(static_cast<std::size_t>(e.size()));
      read(e.name, values);
    }
    losses_.resize(static_cast<std::size_t>(file.entry("losses").size()));
    read("losses", losses_);
    step_ = static_cast<Index>(losses_.size());
    if (file.metadata("step") != std::to_string(step_))
      throw FormatError(checkpoint_path().string(), "one loss for each step", std::to_string(step_) + " losses");
  }

  Module& module_;
  TrainOptions options_;
  std::optional<AdamW<float>> optimizer_;
  std::vector<std::pair<std::string, std::vector<float>>> average_;
  std::vector<float> losses_;
  Index step_ = 0;
};

}  // namespace inkling
