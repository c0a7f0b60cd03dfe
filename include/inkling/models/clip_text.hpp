// CLIP's text model: token ids to one vector per token, the context that the U-Net listens to.
#pragma once
#include "inkling/models/clip_encoder.hpp"
#include "inkling/models/config.hpp"

namespace inkling {

template <class T>
struct ClipTextEmbeddings {
  Embedding<T> token_embedding, position_embedding;

  ClipTextEmbeddings(Index vocab, Index positions, Index width)
      : token_embedding(vocab, width), position_embedding(positions, width) {}
  // ids[N, L] -> token vector + position vector [N, L, D]
  Variable<T, 3> forward(const Tensor<std::int64_t, 2>& ids) const {
    const Index length = ids.shape(1), positions = position_embedding.weight.shape()[0];
    if (length > positions)
      throw ShapeError("CLIP text ids", "at most " + std::to_string(positions) + " tokens", to_string(ids.shape()));
    const Variable<T, 2> places = slice(position_embedding.weight.variable(), 0, 0, length);  // [L, D]
    return observed(*this, add_broadcast(token_embedding.forward(ids), places));
  }
  template <class V>
  void visit(V&& v) {
    v("token_embedding", token_embedding);
    v("position_embedding", position_embedding);
  }
};

template <class T>
struct ClipTextTransformer {
  ClipTextConfig config;
  ClipTextEmbeddings<T> embeddings;
  ClipEncoder<T> encoder;
  LayerNorm<T> final_layer_norm;

  explicit ClipTextTransformer(const ClipTextConfig& c)
      : config(c),
        embeddings(c.vocab_size, c.max_positions, c.hidden_size),
        encoder(c.layers, c.hidden_size, c.intermediate_size, c.heads,
                activation_from_name(c.activation, "ClipTextConfig.activation"), c.layer_norm_eps, true),
        final_layer_norm(c.hidden_size, c.layer_norm_eps) {}

  // ids[N, L] -> [N, L, D], after the final layer norm, leaving out the last `skip` layers ("clip skip")
  Variable<T, 3> forward(const Tensor<std::int64_t, 2>& ids, Index skip) const {
    return final_layer_norm.forward(encoder.forward(embeddings.forward(ids), skip));
  }
  Variable<T, 3> forward(const Tensor<std::int64_t, 2>& ids) const { return forward(ids, config.skip_last_layers); }

  template <class V>
  void visit(V&& v) {
    v("embeddings", embeddings);
    v("encoder", encoder);
    v("final_layer_norm", final_layer_norm);
  }
};

// As stored in a diffusers folder under text_encoder/.
template <class T>
struct ClipTextModel {
  ClipTextTransformer<T> text_model;

  explicit ClipTextModel(const ClipTextConfig& c) : text_model(c) {}
  const ClipTextConfig& config() const { return text_model.config; }
  // ids[N, L] -> context [N, L, D]
  Variable<T, 3> forward(const Tensor<std::int64_t, 2>& ids) const { return text_model.forward(ids); }
  template <class V>
  void visit(V&& v) {
    v("text_model", text_model);
  }
};

// The vector at the first end token stands for the whole text: under the causal mask it is the only one that has seen
// every word. x[N, L, D], ids[N, L] -> [N, D]
template <class T>
Variable<T, 2> pool_at_end_token(const Variable<T, 3>& x, const Tensor<std::int64_t, 2>& ids, std::int64_t end_token) {
  const Index batch = x.shape(0), length = x.shape(1), width = x.shape(2);
  std::vector<Index> rows;
  Tensor<T, 2> y({batch, width}, uninitialized);
  for (Index n = 0; n < batch; ++n) {
    const std::int64_t* row = &ids(n, 0);
    const Index at = std::find(row, row + length, end_token) - row;
    if (at == length) throw ShapeError("CLIP text ids", "an end token in every row", "none in row " + std::to_string(n));
    rows.push_back(n * length + at);
    std::copy_n(x.value().data() + rows.back() * width, width, &y(n, 0));
  }
  return record(
      std::move(y),
      [x, rows, width](const Tensor<T, 2>& dy) {
        Tensor<T, 3> dx(x.shape());
        for (std::size_t n = 0; n < rows.size(); ++n)
          std::copy_n(dy.data() + static_cast<Index>(n) * width, width, dx.data() + rows[n] * width);
        x.accumulate(std::move(dx));
      },
      x);
}

}  // namespace inkling
