// The loop that all pipelines share: from noise, or from a noised picture, to clean latents.
#pragma once
#include <cmath>
#include <functional>
#include <string>
#include <utility>

#include "inkling/core/compiled.hpp"
#include "inkling/diffusion/guidance.hpp"
#include "inkling/diffusion/sampler_base.hpp"
#include "inkling/models/unet.hpp"

namespace inkling {

// What a callback sees after each step. The tensors live until it returns.
struct DenoisingStep {
  Index step, steps;            // 1..steps
  double t;                     // the timestep just left
  const Tensor<float, 4>& x_t;  // latents now
  const Tensor<float, 4>& x0;   // the clean latents that the network expects in the end
};
// Returning false stops the work, which then throws Stopped.
using StepCallback = std::function<bool(const DenoisingStep&)>;

// x [N, 4, h, w]: latents as call `first_call` of the sampler expects them. context [2N, L, D]: N rows to move away
// from (the negative prompts), then N to move to. Returns x after the last call.
INKLING_FUNCTION Tensor<float, 4> denoise(const UNet<float>& unet, Sampler<float>& sampler, Tensor<float, 4> x,
                                          const Tensor<float, 3>& context, double guidance,
                                          const NoiseSource<float>& noise = {}, const StepCallback& callback = {},
                                          Index first_call = 0);

#if INKLING_BODIES

INKLING_FUNCTION Tensor<float, 4> denoise(const UNet<float>& unet, Sampler<float>& sampler, Tensor<float, 4> x,
                                          const Tensor<float, 3>& context, double guidance,
                                          const NoiseSource<float>& noise, const StepCallback& callback,
                                          Index first_call) {
  const Index count = x.shape(0);
  require_shape(context.shape(), Shape<3>{2 * count, context.shape(1), context.shape(2)}, "denoise context",
                "one row to move away from and one to move to for each picture");
  check_guidance_scale(guidance);
  NoGrad no_grad;
  // eps(z) + 1 (eps(z, c) - eps(z)) = eps(z, c): the half to move away from is not needed then.
  const bool guided = guidance != 1.0;
  const Variable<float, 3> text(guided ? context : kernels::slice(context, 0, count, 2 * count));
  for (Index i = first_call; i < sampler.calls(); ++i) {
    const double t = sampler.timesteps()[static_cast<std::size_t>(i)];
    const Tensor<float, 4> input = sampler.scale_model_input(x, i);
    // The same latents twice, once for each half of the context: [2N, 4, h, w]
    const Variable<float, 4> batch(guided ? kernels::concat(input, input, 0) : input);
    const Tensor<float, 1> times({batch.shape(0)}, static_cast<float>(t));
    Tensor<float, 4> prediction = unet.forward(batch, times, text).value();
    if (guided) prediction = classifier_free_guidance(prediction, guidance);
    StepResult<float> step = sampler.step(prediction, i, x, noise);
    x = std::move(step.x_prev);
    for (const float v : x)
      if (!std::isfinite(v))
        throw Error("denoising step " + std::to_string(i + 1), "finite latents", "infinities or NaN",
                    "broken weights, or a guidance scale far too large");
    if (callback && !callback({i + 1 - first_call, sampler.calls() - first_call, t, x, step.x0}))
      throw Stopped("denoise");
  }
  return x;
}

#endif

}  // namespace inkling
