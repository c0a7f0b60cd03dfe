// CLIP: a text encoder and an image encoder, trained so that a picture and its caption point in the same direction
// (Radford et al. 2021).
#pragma once
#include "inkling/autograd/loss_ops.hpp"
#include "inkling/models/clip_text.hpp"

namespace inkling {

// CLIP's image transformer (a ViT: Dosovitskiy et al. 2021).
struct ClipVisionConfig {
  Index image_size = 224, patch_size = 14;
  Index channels = 3;
  Index hidden_size = 1024, intermediate_size = 4096, layers = 24, heads = 16;  // ViT-L/14
  std::string activation = "quick_gelu";
  double layer_norm_eps = 1e-5;

  Index patches() const { return (image_size / patch_size) * (image_size / patch_size); }
  bool operator==(const ClipVisionConfig&) const = default;
};

template <class T>
struct ClipVisionEmbeddings {
  Parameter<T, 1> class_embedding;  // [D]: the token that will stand for the whole picture
  Conv2d<T> patch_embedding;        // kernel = stride = patch: one vector a patch
  Embedding<T> position_embedding;

  explicit ClipVisionEmbeddings(const ClipVisionConfig& c)
      : class_embedding({c.hidden_size}),
        patch_embedding(c.channels, c.hidden_size, c.patch_size, patches(c.patch_size), false),
        position_embedding(c.patches() + 1, c.hidden_size) {}
  // pixels[N, 3, S, S] -> [N, 1 + patches, D]
  Variable<T, 3> forward(const Variable<T, 4>& pixels) const {
    const Variable<T, 3> tokens = image_to_sequence(patch_embedding.forward(pixels));
    const Variable<T, 3> blank(Tensor<T, 3>({tokens.shape(0), 1, tokens.shape(2)}));
    const Variable<T, 3> x = concat(add_broadcast(blank, class_embedding.variable()), tokens, 1);
    return observed(*this, add_broadcast(x, position_embedding.weight.variable()));
  }
  template <class V>
  void visit(V&& v) {
    v("class_embedding", class_embedding);
    v("patch_embedding", patch_embedding);
    v("position_embedding", position_embedding);
  }
  void reset_parameters(Generator& g) { initialize_normal(class_embedding, 0.02, g); }

 private:
  static kernels::Conv2dOptions patches(Index size) {
    kernels::Conv2dOptions o;
    o.stride = size;
    return o;
  }
};

template <class T>
struct ClipVisionTransformer {
  using Config = ClipVisionConfig;
  ClipVisionConfig config;
  ClipVisionEmbeddings<T> embeddings;
  LayerNorm<T> pre_layrnorm;  // spelled so in every checkpoint
  ClipEncoder<T> encoder;
  LayerNorm<T> post_layernorm;

  explicit ClipVisionTransformer(const ClipVisionConfig& c)
      : config(c),
        embeddings(c),
        pre_layrnorm(c.hidden_size, c.layer_norm_eps),
        encoder(c.layers, c.hidden_size, c.intermediate_size, c.heads,
                activation_from_name(c.activation, "ClipVisionConfig.activation"), c.layer_norm_eps, false),
        post_layernorm(c.hidden_size, c.layer_norm_eps) {}

  // pixels[N, 3, S, S] -> [N, 1 + patches, D]
  Variable<T, 3> forward(const Variable<T, 4>& pixels) const {
    const Shape<4> expected{pixels.shape(0), config.channels, config.image_size, config.image_size};
    require_shape(pixels.shape(), expected, "ClipVisionTransformer");
    return encoder.forward(pre_layrnorm.forward(embeddings.forward(pixels)));
  }
  // The class token of the last layer, normed -> [N, D]
  Variable<T, 2> pooled(const Variable<T, 3>& last_hidden_state) const {
    const Variable<T, 3> first = slice(last_hidden_state, 1, 0, 1);
    return post_layernorm.forward(reshape(first, Shape<2>{first.shape(0), first.shape(2)}));
  }
  template <class V>
  void visit(V&& v) {
    v("embeddings", embeddings);
    v("pre_layrnorm", pre_layrnorm);
    v("encoder", encoder);
    v("post_layernorm", post_layernorm);
  }
};

// Each picture must find its own caption among all captions of the batch, and each caption its picture:
//   L = 1/2 CE(logits, diagonal) + 1/2 CE(logits^T, diagonal)        (Radford et al. 2021, figure 3)
// logits[N, N]
template <class T>
Variable<T, 0> contrastive_loss(const Variable<T, 2>& logits) {
  Tensor<std::int64_t, 1> own({logits.shape(0)}, uninitialized);
  for (Index n = 0; n < own.size(); ++n) own(n) = n;
  return scale(add(cross_entropy_loss(logits, own), cross_entropy_loss(permute(logits, {1, 0}), own)), T(0.5));
}

// Vision: the image encoder; a transformer, or models/conv_image_encoder.hpp for small pictures.
template <class T, class Vision = ClipVisionTransformer<T>>
struct ClipModel {
  ClipTextTransformer<T> text_model;
  Vision vision_model;
  Linear<T> visual_projection, text_projection;  // no biases
  Parameter<T, 0> logit_scale;                   // ln(1 / temperature)

  ClipModel(const ClipTextConfig& text, const typename Vision::Config& vision)
      : text_model(text),
        vision_model(vision),
        visual_projection(vision.hidden_size, text.projection_dim, false),
        text_projection(text.hidden_size, text.projection_dim, false) {}

  // pixels[N, 3, S, S] -> unit vectors [N, P]
  Variable<T, 2> image_embeds(const Variable<T, 4>& pixels) const {
    return normalize_l2(visual_projection.forward(vision_model.pooled(vision_model.forward(pixels))));
  }
  // ids[N, L] -> unit vectors [N, P]
  Variable<T, 2> text_embeds(const Tensor<std::int64_t, 2>& ids) const {
    const Variable<T, 3> states = text_model.forward(ids, 0);
    return normalize_l2(text_projection.forward(pool_at_end_token(states, ids, text_model.config.eos_token_id)));
  }
  // cosine similarity of every image with every text, times exp(logit_scale) -> [images, texts]
  Variable<T, 2> logits_per_image(const Variable<T, 2>& image, const Variable<T, 2>& text) const {
    return scale(matmul(image, text, true), activation(Activation::exp, logit_scale.variable()));
  }
  Variable<T, 0> contrastive_loss(const Variable<T, 2>& logits) const { return inkling::contrastive_loss(logits); }
  template <class V>
  void visit(V&& v) {
    v("text_model", text_model);
    v("vision_model", vision_model);
    v("visual_projection", visual_projection);
    v("text_projection", text_projection);
    v("logit_scale", logit_scale);
  }
  // 0.07: the temperature CLIP starts from
  void reset_parameters(Generator&) { initialize_constant(logit_scale, std::log(1 / 0.07)); }
};

// The text encoder of a pair by itself, as Stable Diffusion has it, and the rest: for files that hold one of them.
template <class Model>
struct ClipTextHalf {
  Model& pair;
  template <class V>
  void visit(V&& v) {
    v("text_model", pair.text_model);
  }
};
template <class Model>
struct ClipImageHalf {
  Model& pair;
  template <class V>
  void visit(V&& v) {
    v("vision_model", pair.vision_model);
    v("visual_projection", pair.visual_projection);
    v("text_projection", pair.text_projection);
    v("logit_scale", pair.logit_scale);
  }
};

}  // namespace inkling
