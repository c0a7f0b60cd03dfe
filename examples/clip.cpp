// A text encoder and an image encoder that agree, trained on the pictures of CIFAR-10 with captions: their similarity
// before and after training, and a classifier made of sentences. --train yes trains the pair again (eight minutes of a
// core, resumable). The pair behind the small model: clip_digits.cpp; negatives and temperature: clip_negatives.cpp
// test: --out pictures/clip
#include <inkling/io/cifar_pictures.hpp>
#include <inkling/io/load_parameters.hpp>
#include <inkling/io/model_files.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/similarity.hpp>
#include <inkling/text/tokenizer_io.hpp>
#include <inkling/train/small_clip.hpp>

#include "example.hpp"

using namespace inkling;

int main(int argc, char** argv) {
  const Example example(
      argc, argv, "clip [--train yes] [--steps N] [--data FOLDER] [--out FOLDER]: pictures and captions in one space");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/clip"), kept = example.models() / "clip";
    const std::filesystem::path data = example.file("--data", "cifar10");
    const LabelledColorImages test = read_cifar10(data / "test_batch.bin.gz");
    const ClassCaptions captions = cifar10_captions();
    const std::vector<std::string> nouns = captions.usual_names();

    if (example.option("--train", "no") == "yes") {
      const LabelledColorImages train = read_cifar10_training(data);
      const Tokenizer words = word_tokenizer(captions.all());
      SmallClip pair = small_clip(words, {32, 64, 96}, 1);
      TrainOptions options;
      options.name = "cifar10", options.folder = out / "training", options.learning_rate = 2e-3;
      options.steps = std::stol(example.option("--steps", "3000"));
      std::filesystem::create_directories(options.folder);
      const auto draw = [&](Index step) {
        return draw_captioned(train, captions, words, small_clip_length, 1, step, 128);
      };
      train_contrastive(pair, options, draw, {}, example.progress("train"));
      save_tokenizer(words, kept / "tokenizer", small_clip_length);
      save_parameters(pair, kept / "cifar10.safetensors", DType::f16);
    }
    const Tokenizer words = Tokenizer::from_folder(kept / "tokenizer");
    const SmallClip before = small_clip(words, {32, 64, 96}, 1);
    SmallClip pair = small_clip(words, {32, 64, 96}, 1);
    load_parameters(pair, plain_weights(kept / "cifar10.safetensors"));

    // ---- Similarity before and after: the first test picture of each class, against ten captions ----
    const LabelledColorImages ten = one_of_each_class(test);
    std::vector<Image> pictures;
    std::vector<std::string> texts;
    for (const Image& image : tensor_to_images(signed_pixels(ten, 0, 10)))
      pictures.push_back(plot::resize_nearest(image, 2));
    for (const std::string& noun : nouns) texts.push_back(fill_in("a photo of {}", noun));
    const Tensor<float, 2> s0 = similarities(embed_texts(before, words, texts), embed_images(before, ten));
    const Tensor<float, 2> s1 = similarities(embed_texts(pair, words, texts), embed_images(pair, ten));
    write_png(out / "cifar10_before.png",
              plot::similarity_map("Cosine similarity before training", s0, texts, pictures));
    write_png(out / "cifar10_after.png", plot::similarity_map("Cosine similarity after training", s1, texts, pictures));
    std::printf("own caption above the others: %.2f before, %.2f after\n", diagonal_preference(s0),
                diagonal_preference(s1));
    example.claim(diagonal_preference(s1) > diagonal_preference(s0) + 0.3,
                  "training draws pictures and their captions together");

    // ---- Zero-shot: a classifier made of sentences, none of which was in training ----
    const Tensor<float, 2> seen = embed_images(pair, test);
    const std::vector<std::string> sentences = cifar10_new_sentences();
    double mean = 0;
    for (const std::string& sentence : sentences) {
      const double right = share_right(similarities(seen, embed_nouns(pair, words, nouns, {sentence})), test.labels);
      std::printf("%5.1f %% of 10,000 test pictures right by \"%s\"\n", 100 * right, sentence.c_str());
      mean += right / static_cast<double>(sentences.size());
    }
    const Tensor<float, 2> classes = embed_nouns(pair, words, nouns, sentences);
    const double together = share_right(similarities(seen, classes), test.labels);
    std::printf("%5.1f %% by the mean of the %zu sentences\n", 100 * together, sentences.size());
    // 76.5 % measured, 10 % by chance; 10,000 pictures drawn anew would vary by 0.4 % (binomial).
    example.claim(together > 0.6, "without a classifier ever trained, 60 % of unseen pictures are named right");
    example.claim(together > mean - 0.005, "the mean of sentences is no worse than one of them");
    const std::vector<Index> named = nearest(similarities(seen, classes));
    std::vector<std::string> called;
    for (Index n = 0; n < 20; ++n) {
      const Index guess = named[static_cast<std::size_t>(n)];
      called.push_back(nouns[static_cast<std::size_t>(guess)] + (guess == test.labels(n) ? "" : " (wrong)"));
    }
    plot::GridOptions grid;
    grid.title = "\"This picture shows ...\": the nearest of ten sentences";
    write_png(out / "zero_shot.png", plot::image_grid(tensor_to_images(signed_pixels(test, 0, 20)), 10, called, grid));
  });
}
