// Which kernels a model calls, at which shapes, how often, and how much work that is: read off the model itself.
//
// A model is built without weights (that allocates nothing) and visit() walks it. The path of a module tells its
// place, the place tells the side of its image: "down_blocks.2" halves it twice.
#pragma once
#include <algorithm>
#include <array>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "inkling/models/autoencoder_kl.hpp"
#include "inkling/models/clip_text.hpp"
#include "inkling/models/unet.hpp"

namespace inkling_bench {

using inkling::Index;

// size:             0        1        2         3        4        5
enum class Kind {
  conv,         //   images   in       out       side     kernel   stride    side of the input, square
  linear,       //   rows     in       out
  attention,    //   batch    queries  keys      heads    width              of one head
  group_norm,   //   images   channels side      groups
  norm_silu,    //   images   channels side      groups                      group norm and SiLU in one operation
  layer_norm,   //   rows     width
  silu,         //   images   channels side
  gelu,         //   rows     width                                          or CLIP's quick_gelu
  geglu,        //   rows     width                                          of the result; reads twice as much
  softmax,      //   rows     width
  upsample,     //   images   channels side                                  of the input; factor 2
  add,          //   images   channels side
};
inline const char* name_of(Kind kind) {
  constexpr std::array names{"conv", "linear", "attention", "group_norm", "norm_silu", "layer_norm",
                             "silu", "gelu",   "geglu",     "softmax",    "upsample",  "add"};
  return names[static_cast<std::size_t>(kind)];
}

struct Work {
  Kind kind{};
  std::array<Index, 6> size{};
  Index count = 1;        // calls in one forward of the model
  std::string path = {};  // of the first of them

  bool same_as(const Work& o) const { return kind == o.kind && size == o.size; }
  Index output_side() const { return (size[3] - 1) / size[5] + 1; }  // of a convolution

  // Two operations a multiply-add. What is not a sum of products (norms, exponentials) counts nothing: it is bounded
  // by memory, see bytes().
  double flops() const {
    const auto [a, b, c, d, e, f] = as_doubles();
    const double side = static_cast<double>(kind == Kind::conv ? output_side() : 0);
    if (kind == Kind::conv) return 2 * a * b * c * e * e * side * side;
    if (kind == Kind::linear) return 2 * a * b * c;
    if (kind == Kind::attention) return 4 * a * b * c * d * e;  // q k^T and p v
    return 0;
  }
  // The least that must pass between memory and processor: every input read once, the output written once. `weight`:
  // bytes of one weight; everything else is float.
  double bytes(double weight = 4) const {
    const auto [a, b, c, d, e, f] = as_doubles();
    switch (kind) {
      case Kind::conv: {
        const double side = static_cast<double>(output_side());
        return 4 * a * (b * d * d + c * side * side) + weight * b * c * e * e;
      }
      case Kind::linear: return 4 * a * (b + c) + weight * b * c;
      case Kind::attention: return 4 * a * d * e * 2 * (b + c);
      case Kind::group_norm:
      case Kind::norm_silu:
      case Kind::silu: return 4 * 2 * a * b * c * c;
      case Kind::layer_norm:
      case Kind::gelu:
      case Kind::softmax: return 4 * 2 * a * b;
      case Kind::geglu: return 4 * 3 * a * b;
      case Kind::upsample: return 4 * 5 * a * b * c * c;
      case Kind::add: return 4 * 3 * a * b * c * c;
    }
    return 0;
  }
  // "conv 1x320->320 64x64 k3"
  std::string text() const {
    const auto n = [&](int i) { return std::to_string(size[static_cast<std::size_t>(i)]); };
    switch (kind) {
      case Kind::conv:
        return "conv " + n(0) + "x" + n(1) + "->" + n(2) + " " + n(3) + "x" + n(3) + " k" + n(4) +
               (size[5] == 1 ? "" : " s" + n(5));
      case Kind::linear: return "linear " + n(0) + " rows " + n(1) + "->" + n(2);
      case Kind::attention: return "attention " + n(0) + "x" + n(3) + "h " + n(1) + "x" + n(2) + "x" + n(4);
      case Kind::group_norm:
      case Kind::norm_silu:
      case Kind::silu:
      case Kind::upsample:
      case Kind::add: return std::string(name_of(kind)) + " " + n(0) + "x" + n(1) + " " + n(2) + "x" + n(2);
      default: return std::string(name_of(kind)) + " " + n(0) + "x" + n(1);
    }
  }

 private:
  std::array<double, 6> as_doubles() const {
    std::array<double, 6> d{};
    std::transform(size.begin(), size.end(), d.begin(), [](Index i) { return static_cast<double>(i); });
    return d;
  }
};

namespace detail {

// The number behind "name." in a path, or -1.
inline Index number_after(const std::string& path, const std::string& name) {
  const std::size_t at = path.find(name + ".");
  return at == std::string::npos ? -1 : std::stol(path.substr(at + name.size() + 1));
}
inline bool contains(const std::string& path, const char* part) { return path.find(part) != std::string::npos; }
inline bool ends_with(const std::string& path, const std::string& end) {
  return path.size() >= end.size() && path.compare(path.size() - end.size(), end.size(), end) == 0;
}

// Walks a module; side(path) is the side of the image that the module at `path` reads.
template <class Module, class Side>
std::vector<Work> walk(Module& module, Index images, Index context_tokens, const Side& side) {
  using namespace inkling;
  std::vector<Work> all;
  for_each_module(module, [&](const std::string& path, auto& m) {
    using M = std::remove_cvref_t<decltype(m)>;
    const auto found = [&](Kind kind, std::array<Index, 6> size) { all.push_back({kind, size, 1, path}); };
    const Index s = side(path), pixels = s * s;
    if constexpr (std::is_same_v<M, Conv2d<float>>) {
      const auto w = m.weight.shape();
      found(Kind::conv, {images, w[1], w[0], s, w[2], m.options.stride});
    } else if constexpr (std::is_same_v<M, Linear<float>>) {
      const bool of_time = contains(path, "time_emb");
      const bool of_context = ends_with(path, "attn2.to_k") || ends_with(path, "attn2.to_v");
      const auto w = m.weight.shape();
      found(Kind::linear, {images * (of_time ? 1 : of_context ? context_tokens : pixels), w[1], w[0]});
    } else if constexpr (std::is_same_v<M, GroupNorm<float>>) {
      const bool with_silu = contains(path, "resnets") || ends_with(path, "conv_norm_out");
      found(with_silu ? Kind::norm_silu : Kind::group_norm, {images, m.weight.shape()[0], s, m.groups});
    } else if constexpr (std::is_same_v<M, LayerNorm<float>>) {
      found(Kind::layer_norm, {images * pixels, m.weight.shape()[0]});
    } else if constexpr (std::is_same_v<M, Attention<float>>) {
      const Index keys = ends_with(path, "attn2") ? context_tokens : pixels, width = m.to_q.weight.shape()[0];
      found(Kind::attention, {images, pixels, keys, m.options.heads, width / m.options.heads});
    } else if constexpr (std::is_same_v<M, ResnetBlock2D<float>>) {
      found(Kind::add, {images, m.conv2.weight.shape()[0], s});
    } else if constexpr (std::is_same_v<M, Transformer2D<float>>) {
      found(Kind::add, {images, m.norm.weight.shape()[0], s});
    } else if constexpr (std::is_same_v<M, SpatialSelfAttention<float>>) {
      found(Kind::add, {images, m.group_norm.weight.shape()[0], s});
    } else if constexpr (std::is_same_v<M, GegluProjection<float>>) {
      found(Kind::geglu, {images * pixels, m.proj.weight.shape()[0] / 2});
    } else if constexpr (std::is_same_v<M, Upsample2D<float>>) {
      found(Kind::upsample, {images, m.conv.weight.shape()[0], s / 2});  // s: what its convolution reads
    }
  });
  return all;
}

}  // namespace detail

// One call of the U-Net with latents of side x side. Every call stands for itself; see grouped().
inline std::vector<Work> unet_work(const inkling::UNetConfig& config, Index images, Index side,
                                   Index context_tokens = 77) {
  inkling::UNet<float> unet(config);
  const Index last = config.levels() - 1;
  return detail::walk(unet, images, context_tokens, [&](const std::string& path) {
    if (const Index level = detail::number_after(path, "down_blocks"); level >= 0) return side >> level;
    if (const Index level = detail::number_after(path, "up_blocks"); level >= 0)
      return side >> (last - level - (detail::contains(path, "upsamplers") ? 1 : 0));
    return detail::contains(path, "mid_block") ? side >> last : side;
  });
}
// Latents of side x side to a picture.
inline std::vector<Work> decoder_work(const inkling::AutoencoderKLConfig& config, Index images, Index side) {
  inkling::AutoencoderDecoder<float> decoder(config);
  const Index last = config.levels() - 1;
  return detail::walk(decoder, images, 0, [&](const std::string& path) {
    if (const Index level = detail::number_after(path, "up_blocks"); level >= 0)
      return side << (level + (detail::contains(path, "upsamplers") ? 1 : 0));
    return path == "conv_norm_out" || path == "conv_out" ? side << last : side;
  });
}
// A picture to latents of side x side.
inline std::vector<Work> encoder_work(const inkling::AutoencoderKLConfig& config, Index images, Index side) {
  inkling::AutoencoderEncoder<float> encoder(config);
  const Index last = config.levels() - 1;
  return detail::walk(encoder, images, 0, [&](const std::string& path) {
    if (const Index level = detail::number_after(path, "down_blocks"); level >= 0) return side << (last - level);
    return path == "conv_in" ? side << last : side;
  });
}
inline std::vector<Work> text_work(const inkling::ClipTextConfig& config, Index texts) {
  using namespace inkling;
  ClipTextModel<float> text(config);
  const Index tokens = config.max_positions, rows = texts * tokens;
  std::vector<Work> all;
  for_each_module(text, [&](const std::string& path, auto& m) {
    using M = std::remove_cvref_t<decltype(m)>;
    if constexpr (std::is_same_v<M, Linear<float>>)
      all.push_back({Kind::linear, {rows, m.weight.shape()[1], m.weight.shape()[0]}, 1, path});
    else if constexpr (std::is_same_v<M, LayerNorm<float>>)
      all.push_back({Kind::layer_norm, {rows, m.weight.shape()[0]}, 1, path});
    else if constexpr (std::is_same_v<M, ClipAttention<float>>)
      all.push_back({Kind::attention,
                     {texts, tokens, tokens, config.heads, config.hidden_size / config.heads}, 1, path});
    else if constexpr (std::is_same_v<M, ClipMlp<float>>)
      all.push_back({Kind::gelu, {rows, config.intermediate_size}, 1, path});
  });
  return all;
}

inline double total_flops(const std::vector<Work>& all) {
  double sum = 0;
  for (const Work& w : all) sum += static_cast<double>(w.count) * w.flops();
  return sum;
}

// Equal calls joined, in the order of their first.
inline std::vector<Work> grouped(const std::vector<Work>& all) {
  std::vector<Work> groups;
  for (const Work& w : all) {
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const Work& g) { return g.same_as(w); });
    if (same == groups.end())
      groups.push_back(w);
    else
      same->count += w.count;
  }
  return groups;
}

// Those of one kind that do most of the work, the largest share first.
inline std::vector<Work> heaviest(std::vector<Work> all, Kind kind, std::size_t most) {
  all = grouped(all);
  std::erase_if(all, [&](const Work& w) { return w.kind != kind; });
  const auto cost = [](const Work& w) { return static_cast<double>(w.count) * (w.flops() > 0 ? w.flops() : w.bytes()); };
  std::sort(all.begin(), all.end(), [&](const Work& a, const Work& b) {
    return cost(a) != cost(b) ? cost(a) > cost(b) : a.text() < b.text();
  });
  if (all.size() > most) all.resize(most);
  return all;
}

}  // namespace inkling_bench
