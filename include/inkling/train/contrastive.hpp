// Contrastive training of an image and a text encoder, and what the pair can be asked afterwards (Radford et al. 2021).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "inkling/io/cifar.hpp"
#include "inkling/models/clip.hpp"
#include "inkling/text/bpe_training.hpp"
#include "inkling/text/tokenizer.hpp"
#include "inkling/train/class_captions.hpp"
#include "inkling/train/trainer.hpp"

namespace inkling {

// -> [N, L]
inline Tensor<std::int64_t, 2> token_rows(const Tokenizer& tokenizer, const std::vector<std::string>& texts,
                                          Index length) {
  Tensor<std::int64_t, 2> ids({static_cast<Index>(texts.size()), length}, uninitialized);
  for (Index n = 0; n < ids.shape(0); ++n) {
    const Encoded row = tokenizer.encode_padded(texts[static_cast<std::size_t>(n)], length);
    std::copy(row.ids.begin(), row.ids.end(), &ids(n, 0));
  }
  return ids;
}
// A vocabulary in which every word of the texts is one token.
inline Tokenizer word_tokenizer(const std::vector<std::string>& texts) {
  WordCounts counts;
  for (const std::string& text : texts) count_words(text, counts);
  return Tokenizer(train_bpe(counts, Index{1} << 16, /*min_count*/ 1));
}

struct ContrastiveBatch {
  Tensor<float, 4> images;        // [N, 3, H, W]
  Tensor<std::int64_t, 2> texts;  // [N, L]: row n belongs to picture n
};

// Pictures drawn at random, half of them mirrored, moved by up to four pixels (the edge goes on outside), with one of
// their captions. A function of (seed, step) alone.
inline ContrastiveBatch draw_captioned(const LabelledColorImages& set, const ClassCaptions& captions,
                                       const Tokenizer& tokenizer, Index length, std::uint64_t seed, Index step,
                                       Index count) {
  const Index channels = set.images.shape(1), height = set.images.shape(2), width = set.images.shape(3);
  ContrastiveBatch batch{Tensor<float, 4>({count, channels, height, width}, uninitialized), {}};
  std::vector<std::string> texts;
  for (Index n = 0; n < count; ++n) {
    SampleRandom random(seed, static_cast<std::uint64_t>(step * count + n));
    const Index image = random.below(set.size()), dy = random.below(9) - 4, dx = random.below(9) - 4;
    const bool mirrored = random.chance(0.5);
    texts.push_back(captions.draw(set.labels(image), random));
    for (Index c = 0; c < channels; ++c)
      for (Index i = 0; i < height; ++i)
        for (Index j = 0; j < width; ++j) {
          const Index y = std::clamp<Index>(i + dy, 0, height - 1), x = std::clamp<Index>(j + dx, 0, width - 1);
          batch.images(n, c, i, j) =
              static_cast<float>(set.images(image, c, y, mirrored ? width - 1 - x : x)) / 127.5f - 1.0f;
        }
  }
  batch.texts = token_rows(tokenizer, texts, length);
  return batch;
}

// draw(step) must depend on nothing but the step. temperature: fixed to this; nothing: learned, as CLIP does.
// Leaves the moving average in the model.
template <class Vision>
void train_contrastive(ClipModel<float, Vision>& model, TrainOptions options,
                       const std::function<ContrastiveBatch(Index)>& draw, std::optional<double> temperature = {},
                       const std::function<bool(const TrainStep&)>& after = {}) {
  if (temperature && !(*temperature > 0 && std::isfinite(*temperature)))
    throw ConfigError("train_contrastive", "a temperature above 0", std::to_string(*temperature));
  if (temperature) initialize_constant(model.logit_scale, std::log(1 / *temperature));
  Trainer<ClipModel<float, Vision>> trainer(model, std::move(options));
  if (temperature) model.logit_scale.set_trainable(false);
  trainer.run(
      [&](Index step) {
        const ContrastiveBatch batch = draw(step);
        const auto image = model.image_embeds(Variable<float, 4>(batch.images));
        return contrastive_loss(model.logits_per_image(image, model.text_embeds(batch.texts)));
      },
      after);
  trainer.use_average();
}

// ---- What the pair knows ----

// Unit vectors -> [N, P]
template <class Vision>
Tensor<float, 2> embed_images(const ClipModel<float, Vision>& model, const Tensor<float, 4>& images) {
  const NoGrad no_grad;
  return model.image_embeds(Variable<float, 4>(images)).value();
}
// The same of many, a few hundred at a time.
template <class Vision>
Tensor<float, 2> embed_images(const ClipModel<float, Vision>& model, const LabelledColorImages& set) {
  Tensor<float, 2> all({set.size(), model.visual_projection.weight.shape()[0]}, uninitialized);
  constexpr Index batch = 250;
  for (Index first = 0; first < set.size(); first += batch) {
    const Index count = std::min(batch, set.size() - first);
    const Tensor<float, 2> some = embed_images(model, signed_pixels(set, first, count));
    std::copy(some.begin(), some.end(), &all(first, 0));
  }
  return all;
}

template <class Vision>
Tensor<float, 2> embed_texts(const ClipModel<float, Vision>& model, const Tokenizer& tokenizer,
                             const std::vector<std::string>& texts) {
  const NoGrad no_grad;
  return model.text_embeds(token_rows(tokenizer, texts, model.text_model.config.max_positions)).value();
}

// One vector a noun: the mean of those of all sentences with the noun in them, of length 1 again ("ensembling",
// Radford et al. 2021, section 3.1.4) -> [nouns, P]: a classifier that nobody trained.
template <class Vision>
Tensor<float, 2> embed_nouns(const ClipModel<float, Vision>& model, const Tokenizer& tokenizer,
                             const std::vector<std::string>& nouns, const std::vector<std::string>& sentences) {
  if (sentences.empty()) throw ConfigError("embed_nouns", "at least one sentence", "none");
  const NoGrad no_grad;
  const Index width = model.text_projection.weight.shape()[0];
  Tensor<float, 2> mean({static_cast<Index>(nouns.size()), width});
  for (const std::string& sentence : sentences) {
    std::vector<std::string> texts;
    for (const std::string& noun : nouns) texts.push_back(fill_in(sentence, noun));
    const Tensor<float, 2> one = embed_texts(model, tokenizer, texts);
    for (Index i = 0; i < mean.size(); ++i) mean.data()[i] += one.data()[i] / static_cast<float>(sentences.size());
  }
  return normalize_l2(Variable<float, 2>(mean)).value();
}

// a[N, P], b[M, P], unit vectors -> cosine similarities [N, M]
inline Tensor<float, 2> similarities(const Tensor<float, 2>& a, const Tensor<float, 2>& b) {
  const NoGrad no_grad;
  return matmul(Variable<float, 2>(a), Variable<float, 2>(b), true).value();
}

// Of a square matrix of similarities: the mean of the diagonal less the mean of the rest. How much each row prefers the
// column that belongs to it.
inline double diagonal_preference(const Tensor<float, 2>& s) {
  const Index N = s.shape(0);
  if (N < 2 || s.shape(1) != N)
    throw ShapeError("diagonal_preference", "as many rows as columns, at least two", to_string(s.shape()));
  double own = 0, other = 0;
  for (Index i = 0; i < N; ++i)
    for (Index j = 0; j < N; ++j) (i == j ? own : other) += static_cast<double>(s(i, j));
  return own / static_cast<double>(N) - other / static_cast<double>(N * N - N);
}
// The column of the largest value in each row.
inline std::vector<Index> nearest(const Tensor<float, 2>& similarity) {
  std::vector<Index> best;
  for (Index n = 0; n < similarity.shape(0); ++n) {
    const float* row = &similarity(n, 0);
    best.push_back(std::max_element(row, row + similarity.shape(1)) - row);
  }
  return best;
}
// Share of the rows whose nearest column is the one that `right` names for it.
template <class Labels>
double share_right(const Tensor<float, 2>& similarity, const Labels& right) {
  const std::vector<Index> best = nearest(similarity);
  Index hits = 0;
  for (Index n = 0; n < similarity.shape(0); ++n)
    hits += best[static_cast<std::size_t>(n)] == static_cast<Index>(right(n));
  return static_cast<double>(hits) / static_cast<double>(std::max<Index>(1, similarity.shape(0)));
}

}  // namespace inkling
