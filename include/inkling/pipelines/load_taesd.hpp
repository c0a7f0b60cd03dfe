// TAESD from its folder: pictures to latents and back, without a whole Stable Diffusion around it.
#pragma once
#include <filesystem>

#include "inkling/io/load_parameters.hpp"
#include "inkling/io/model_files.hpp"
#include "inkling/models/taesd.hpp"

namespace inkling {

struct Taesd {
  TaesdEncoder<float> encoder;
  TaesdDecoder<float> decoder;

  // picture[N, 3, H, W] in [0, 1] -> latents [N, 4, H/8, W/8]
  Tensor<float, 4> encode(const Tensor<float, 4>& picture) const {
    const NoGrad no_grad;
    return encoder.forward(Variable<float, 4>(picture)).value();
  }
  // and back
  Tensor<float, 4> decode(const Tensor<float, 4>& latents) const {
    const NoGrad no_grad;
    return decoder.forward(Variable<float, 4>(latents)).value();
  }
};

// The folder holds taesd_encoder.safetensors and taesd_decoder.safetensors.
inline Taesd load_taesd(const std::filesystem::path& folder) {
  Taesd taesd;
  load_parameters(taesd.encoder, plain_weights(folder / "taesd_encoder.safetensors"));
  load_parameters(taesd.decoder, plain_weights(folder / "taesd_decoder.safetensors"));
  return taesd;
}

}  // namespace inkling
