// TAESD: a tiny autoencoder for Stable Diffusion's latents (O. B. Bohan, madebyollin/taesd): 64 channels everywhere, no
// normalisation, no attention. Pictures in [0, 1]; latents already scaled to about unit variance, as the U-Net sees
// them. Its layers are numbered as in the published nn.Sequential.
#pragma once
#include <optional>
#include <utility>
#include <vector>

#include "inkling/nn/layers.hpp"

namespace inkling {

// relu(conv(relu(conv(relu(conv(x))))) + x)
template <class T>
struct TaesdBlock {
  Conv2d<T> conv_0, conv_2, conv_4;

  explicit TaesdBlock(Index width)
      : conv_0(width, width, 3, same_padding(3)),
        conv_2(width, width, 3, same_padding(3)),
        conv_4(width, width, 3, same_padding(3)) {}
  // [N, 64, H, W] -> [N, 64, H, W]
  Variable<T, 4> forward(const Variable<T, 4>& x) const {
    return relu(add(conv_4.forward(relu(conv_2.forward(relu(conv_0.forward(x))))), x));
  }
  template <class V>
  void visit(V&& v) {
    v("conv.0", conv_0);
    v("conv.2", conv_2);
    v("conv.4", conv_4);
  }
};

// Blocks with one convolution before each group; a level changes the side by a factor of 2.
template <class T>
struct TaesdStage {
  Index conv_index;  // the number of `conv` in the nn.Sequential; the blocks follow it
  Conv2d<T> conv;
  Index first_block_index;
  std::vector<TaesdBlock<T>> blocks;

  TaesdStage(Index at, Conv2d<T> c, Index first_block, Index count)
      : conv_index(at), conv(std::move(c)), first_block_index(first_block) {
    for (Index i = 0; i < count; ++i) blocks.emplace_back(64);
  }
  template <class V>
  void visit(V&& v) {
    v(std::to_string(conv_index), conv);
    for (std::size_t i = 0; i < blocks.size(); ++i)
      v(std::to_string(first_block_index + static_cast<Index>(i)), blocks[i]);
  }
};

// image[N, 3, H, W] in [0, 1] -> scaled latents [N, 4, H/8, W/8]
template <class T>
struct TaesdEncoder {
  std::vector<TaesdStage<T>> stages;
  Conv2d<T> conv_out;

  TaesdEncoder() : conv_out(64, 4, 3, same_padding(3)) {
    stages.emplace_back(0, Conv2d<T>(3, 64, 3, same_padding(3)), 1, 1);
    for (Index at : {2, 6, 10}) stages.emplace_back(at, Conv2d<T>(64, 64, 3, same_padding(3, 2), false), at + 1, 3);
  }
  Variable<T, 4> forward(const Variable<T, 4>& image) const {
    if (image.shape(1) != 3 || image.shape(2) % 8 || image.shape(3) % 8 || image.value().empty())
      throw ShapeError("TaesdEncoder", "(N, 3, H, W) with sides divisible by 8", to_string(image.shape()));
    Variable<T, 4> h = image;
    for (const auto& stage : stages) {
      h = stage.conv.forward(h);
      for (const auto& block : stage.blocks) h = block.forward(h);
    }
    return conv_out.forward(h);
  }
  template <class V>
  void visit(V&& v) {
    for (auto& stage : stages) v("", stage);
    v("14", conv_out);
  }
};

// scaled latents [N, 4, h, w] -> image [N, 3, 8h, 8w], about [0, 1]
template <class T>
struct TaesdDecoder {
  Conv2d<T> conv_in;
  std::vector<TaesdBlock<T>> first_blocks;
  std::vector<TaesdStage<T>> stages;
  Conv2d<T> conv_out;

  TaesdDecoder() : conv_in(4, 64, 3, same_padding(3)), conv_out(64, 3, 3, same_padding(3)) {
    for (int i = 0; i < 3; ++i) first_blocks.emplace_back(64);
    for (Index at : {7, 12, 17})  // the last stage has a single block
      stages.emplace_back(at, Conv2d<T>(64, 64, 3, same_padding(3), false), at + 1, at == 17 ? 1 : 3);
  }
  Variable<T, 4> forward(const Variable<T, 4>& latent) const {
    if (latent.shape(1) != 4) throw ShapeError("TaesdDecoder", "4 channels", to_string(latent.shape()));
    // Extreme latents are squeezed softly into [-3, 3]: 3 tanh(z / 3)
    Variable<T, 4> h = scale(activation(Activation::tanh, scale(latent, T(1) / T(3))), T(3));
    h = relu(conv_in.forward(h));
    for (const auto& block : first_blocks) h = block.forward(h);
    for (const auto& stage : stages) {
      h = stage.conv.forward(upsample_nearest(h, 2));
      for (const auto& block : stage.blocks) h = block.forward(h);
    }
    return conv_out.forward(h);
  }
  template <class V>
  void visit(V&& v) {
    v("1", conv_in);
    for (std::size_t i = 0; i < first_blocks.size(); ++i) v(std::to_string(3 + i), first_blocks[i]);
    for (auto& stage : stages) v("", stage);
    v("19", conv_out);
  }
};

}  // namespace inkling
