// A whole Stable Diffusion model: everything between a prompt and a picture, in one place.
#pragma once
#include <optional>
#include <string>

#include "inkling/core/compiled.hpp"
#include "inkling/diffusion/sampler_base.hpp"
#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/clip_text.hpp"
#include "inkling/models/taesd.hpp"
#include "inkling/models/unet.hpp"
#include "inkling/text/tokenizer.hpp"

namespace inkling {

struct StableDiffusion {
  std::string name;  // for the picture's notes: the file or folder the weights came from
  Tokenizer tokenizer;
  ClipTextModel<float> text_encoder;
  UNet<float> unet;
  AutoencoderKL<float> vae;
  std::optional<TaesdDecoder<float>> taesd;  // decodes instead of the vae where it is present
  NoiseScheduleOptions schedule;
  SamplerOptions sampler;
  Index default_size = 512;  // side of the pictures that the U-Net was trained on

  // How many pixels one latent pixel becomes: 8 for Stable Diffusion.
  Index pixels_per_latent() const { return taesd ? 8 : vae.config.downsampling(); }

  // ids[N, L] -> context [N, L, D]
  Tensor<float, 3> encode_text(const Tensor<std::int64_t, 2>& ids) const;
  // Latents as the U-Net sees them [N, 4, h, w] -> picture [N, 3, H, W], about [-1, 1].
  Tensor<float, 4> decode(const Tensor<float, 4>& latents) const;
};

#if INKLING_BODIES

INKLING_FUNCTION Tensor<float, 3> StableDiffusion::encode_text(const Tensor<std::int64_t, 2>& ids) const {
  NoGrad no_grad;
  return text_encoder.forward(ids).value();
}

INKLING_FUNCTION Tensor<float, 4> StableDiffusion::decode(const Tensor<float, 4>& latents) const {
  NoGrad no_grad;
  if (taesd) {  // in and out as TAESD was trained: scaled latents, picture in [0, 1]
    Tensor<float, 4> image = taesd->forward(Variable<float, 4>(latents)).value();
    for (float& v : image) v = 2 * v - 1;
    return image;
  }
  // z = z_unet / scaling_factor                                        Rombach et al. 2022, appendix G
  Tensor<float, 4> z = latents;
  for (float& v : z) v /= static_cast<float>(vae.config.scaling_factor);
  return vae.decode(Variable<float, 4>(std::move(z))).value();
}

#endif

}  // namespace inkling
