// A text encoder and an image encoder that agree: the pair behind the small model, and one trained on CIFAR-10. Their
// similarity before and after training, what they can be asked without another hour of training, and what negatives and
// temperature do. --train yes trains the CIFAR-10 pair again (nine minutes on one core, resumable).
// test: --out pictures/clip
#include <inkling/io/cifar_pictures.hpp>
#include <inkling/io/load_parameters.hpp>
#include <inkling/io/model_files.hpp>
#include <inkling/models/conv_image_encoder.hpp>
#include <inkling/plot/heat_map.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>
#include <inkling/text/tokenizer_io.hpp>
#include <inkling/train/contrastive.hpp>
#include <inkling/train/ink_digits.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

using CifarPair = ClipModel<float, ConvImageEncoder<float>>;

CifarPair cifar_pair(const Tokenizer& tokenizer, std::vector<Index> channels, std::uint64_t seed) {
  ClipTextConfig text;
  text.vocab_size = tokenizer.vocab_size(), text.max_positions = 12;
  text.hidden_size = 64, text.intermediate_size = 128, text.layers = 1, text.heads = 4, text.projection_dim = 64;
  text.bos_token_id = tokenizer.start_id(), text.eos_token_id = tokenizer.end_id(),
  text.pad_token_id = tokenizer.pad_id();
  ConvImageEncoderConfig vision;
  vision.hidden_size = channels.back(), vision.channels = std::move(channels);
  CifarPair pair(text, vision);
  Generator generator(seed);
  initialize(pair, generator);
  return pair;
}
// The pair of the small model: its text encoder as Stable Diffusion uses it, and the image encoder it was trained with.
ClipModel<float> ink_pair(const std::filesystem::path& models, bool trained) {
  const ModelFiles files(models / "mini");
  ClipTextConfig text = files.text_config();
  text.projection_dim = 64;
  ClipVisionConfig vision;
  vision.image_size = 32, vision.patch_size = 8, vision.hidden_size = 128, vision.intermediate_size = 512;
  vision.layers = 3, vision.heads = 4;
  ClipModel<float> pair(text, vision);
  Generator generator(1);
  initialize(pair, generator);
  ClipTextHalf<ClipModel<float>> text_half{pair};
  ClipImageHalf<ClipModel<float>> image_half{pair};
  if (trained) load_parameters(text_half, files.weights("text_encoder"));
  if (trained) load_parameters(image_half, plain_weights(models / "clip" / "ink_image.safetensors"));
  return pair;
}

void draw(const std::filesystem::path& path, const std::string& title, const Tensor<float, 2>& similarity,
          const std::vector<std::string>& texts, const std::vector<Image>& pictures) {
  plot::HeatMapOptions look;  // a row for each text, a column for each picture
  look.title = title, look.row_names = texts, look.column_pictures = pictures, look.low = -1, look.high = 1;
  write_png(path, plot::heat_map(similarity, look));
}
// Mean of the diagonal less the mean of the rest: how much a picture prefers its own text.
double preference(const Tensor<float, 2>& s) {
  double own = 0, other = 0;
  for (Index i = 0; i < s.shape(0); ++i)
    for (Index j = 0; j < s.shape(1); ++j) (i == j ? own : other) += static_cast<double>(s(i, j));
  const double n = static_cast<double>(s.shape(0));
  return own / n - other / (n * n - n);
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv,
                        "clip [--train yes] [--steps N] [--images N] [--data FOLDER] [--mnist FOLDER] [--out FOLDER]: "
                        "pictures and captions in one space");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/clip"), kept = example.models() / "clip";
    const std::filesystem::path data = example.file("--data", "cifar10");
    const LabelledColorImages test = read_cifar10(data / "test_batch.bin.gz");
    const ClassCaptions captions = cifar10_captions();
    std::vector<std::string> nouns;
    for (const auto& names : captions.names) nouns.push_back(names.front());

    if (example.option("--train", "no") == "yes") {
      const LabelledColorImages train =
          read_cifar10_pictures(data / "train_jpg.tar.gz", read_cifar10_names(data / "batches.meta.txt"));
      const Tokenizer words = word_tokenizer(captions.all());
      CifarPair pair = cifar_pair(words, {32, 64, 96}, 1);
      TrainOptions options;
      options.name = "cifar10", options.folder = out / "training", options.learning_rate = 2e-3;
      options.steps = std::stol(example.option("--steps", "3000"));
      std::filesystem::create_directories(options.folder);
      train_contrastive(
          pair, options, [&](Index step) { return draw_captioned(train, captions, words, 12, 1, step, 128); }, {},
          example.progress("train"));
      save_tokenizer(words, kept / "tokenizer", 12);
      save_parameters(pair, kept / "cifar10.safetensors", DType::f16);
    }
    const Tokenizer words = Tokenizer::from_folder(kept / "tokenizer");
    const CifarPair before = cifar_pair(words, {32, 64, 96}, 1);
    CifarPair pair = cifar_pair(words, {32, 64, 96}, 1);
    load_parameters(pair, plain_weights(kept / "cifar10.safetensors"));

    // ---- Similarity before and after: the first test picture of each class, against ten captions ----
    LabelledColorImages ten{Tensor<std::uint8_t, 4>({10, 3, 32, 32}), Tensor<std::uint8_t, 1>({10})};
    std::vector<Image> pictures;
    std::vector<std::string> texts;
    for (Index label = 0; label < 10; ++label) {
      const Index n = std::find(test.labels.begin(), test.labels.end(), label) - test.labels.begin();
      std::copy_n(test.images.data() + n * cifar10_pixels, cifar10_pixels, ten.images.data() + label * cifar10_pixels);
      pictures.push_back(plot::resize_nearest(tensor_to_image(signed_pixels(ten, label, 1)), 2));
      texts.push_back(fill_in("a photo of {}", nouns[static_cast<std::size_t>(label)]));
    }
    const Tensor<float, 2> s0 = similarities(embed_texts(before, words, texts), embed_images(before, ten));
    const Tensor<float, 2> s1 = similarities(embed_texts(pair, words, texts), embed_images(pair, ten));
    draw(out / "cifar10_before.png", "Cosine similarity before training", s0, texts, pictures);
    draw(out / "cifar10_after.png", "Cosine similarity after training", s1, texts, pictures);
    std::printf("own caption above the others: %.2f before, %.2f after\n", preference(s0), preference(s1));
    example.claim(preference(s1) > preference(s0) + 0.3, "training draws pictures and their captions together");

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
    std::vector<Image> shown;
    std::vector<std::string> called;
    for (Index n = 0; n < 20; ++n) {
      shown.push_back(tensor_to_image(signed_pixels(test, n, 1)));
      const std::string guess = nouns[static_cast<std::size_t>(named[static_cast<std::size_t>(n)])];
      called.push_back(guess + (named[static_cast<std::size_t>(n)] == test.labels(n) ? "" : " (wrong)"));
    }
    plot::GridOptions grid;
    grid.title = "\"This picture shows ...\": the nearest of ten sentences";
    write_png(out / "zero_shot.png", plot::image_grid(shown, 10, called, grid));

    // ---- The small model's pair: digits of the test set, combinations of digit, ink and paper never seen ----
    LabelledImages scans = read_mnist(example.file("--mnist", "mnist"), "t10k");
    scans.images = kernels::slice(scans.images, 0, 0, 1000), scans.labels = kernels::slice(scans.labels, 0, 0, 1000);
    const InkDigits digits(scans);
    const Tokenizer ink_words = Tokenizer::from_folder(example.models() / "mini" / "tokenizer");
    const ClipModel<float> ink_before = ink_pair(example.models(), false), ink = ink_pair(example.models(), true);
    const InkBatch batch = digits.batch(9, 0, 500, Combinations::held_out);
    std::vector<std::string> own;
    pictures.clear();
    for (Index n = 0; n < 12; ++n) {
      own.push_back(canonical_prompt(batch.attributes[static_cast<std::size_t>(n)]));
      pictures.push_back(plot::resize_nearest(tensor_to_image(batch.images, PixelRange::minus_one_to_one, n), 2));
    }
    const Tensor<float, 4> twelve = kernels::slice(batch.images, 0, 0, 12);
    const Tensor<float, 2> i0 = similarities(embed_texts(ink_before, ink_words, own), embed_images(ink_before, twelve));
    const Tensor<float, 2> i1 = similarities(embed_texts(ink, ink_words, own), embed_images(ink, twelve));
    draw(out / "ink_before.png", "Cosine similarity before training", i0, own, pictures);
    draw(out / "ink_after.png", "Cosine similarity after training", i1, own, pictures);
    example.claim(preference(i1) > preference(i0) + 0.3, "so it is with the pair behind the small model");
    const Tensor<float, 2> ink_seen = embed_images(ink, batch.images);
    const auto ask = [&](const std::string& what, const std::vector<std::string>& names,
                         const std::vector<std::string>& phrases, auto get) {
      Index right = 0;
      const std::vector<Index> best = nearest(similarities(ink_seen, embed_nouns(ink, ink_words, names, phrases)));
      for (std::size_t n = 0; n < best.size(); ++n) right += best[n] == get(batch.attributes[n]);
      std::printf("%s: %.1f %% of 500 right\n", what.c_str(), static_cast<double>(right) / 5);
      return static_cast<double>(right) / 500;
    };
    std::vector<std::string> numbers, colors, inks;
    for (int d = 0; d < 10; ++d) {
      numbers.emplace_back(digit_word(d)), colors.emplace_back(name(all_inks[static_cast<std::size_t>(d)]));
      inks.push_back("{} in " + colors.back() + " ink");
    }
    const auto digit_of = [](const InkDigit& a) { return Index{a.digit}; };
    const auto ink_of = [](const InkDigit& a) { return static_cast<Index>(a.ink); };
    const double plain = ask("which digit, by \"a seven\"", numbers, {"{}"}, digit_of);
    const double many = ask("which digit, by the mean of \"a seven in red ink\" in all inks", numbers, inks, digit_of);
    const double color = ask("which ink, by \"a red digit\"", colors, {"{} digit"}, ink_of);
    // 66 % and 98 % measured of 500, where 2.1 % and 0.6 % are one standard deviation; 10 % by chance.
    example.claim(std::min(plain, many) > 0.5 && color > 0.8, "one pair says what digit it is and what ink, as asked");

    // ---- Negatives and temperature: a smaller pair, the same number of pictures seen, 4,000 to draw from ----
    const LabelledColorImages few = read_cifar10(data / "lossless_train_first4000.bin.gz");
    const LabelledColorImages held = read_cifar10(data / "lossless_test_first1000.bin.gz");
    const Index images = std::stol(example.option("--images", "12800"));
    const auto learn = [&](Index size, std::optional<double> temperature) {
      CifarPair small = cifar_pair(words, {16, 32}, 2);
      TrainOptions options;
      options.name = "small", options.folder = out / "small", options.steps = images / size;
      options.learning_rate = 2e-3 * std::sqrt(static_cast<double>(size) / 64);  // a smaller batch is noisier
      options.warmup_steps = options.steps / 10, options.checkpoint_seconds = 1e9;
      std::filesystem::remove_all(options.folder);
      std::filesystem::create_directories(options.folder);
      train_contrastive(
          small, options, [&](Index step) { return draw_captioned(few, captions, words, 12, 3, step, size); },
          temperature);
      const double right = share_right(
          similarities(embed_images(small, held), embed_nouns(small, words, nouns, sentences)), held.labels);
      std::printf("%3td pictures a batch, temperature %s%.3f: %.1f %% right\n", size,
                  temperature ? "fixed at " : "learned, ", std::exp(-static_cast<double>(small.logit_scale.value()())),
                  100 * right);
      return right;
    };
    std::map<Index, double> by_size;
    for (const Index size : {2, 8, 64, 256}) by_size[size] = learn(size, {});
    const double warm = learn(64, 1.0), usual = learn(64, 0.07);
    std::vector<plot::Series> curves(3);
    for (const auto& [size, right] : by_size)
      curves[0].x.push_back(static_cast<double>(size)), curves[0].y.push_back(right);
    curves[0].name = "temperature learned", curves[1].name = "fixed at 0.07", curves[2].name = "fixed at 1";
    curves[1].x = curves[2].x = {64}, curves[1].y = {usual}, curves[2].y = {warm};
    curves[1].dots = curves[2].dots = true, curves[1].pen = curves[2].pen = 9;
    plot::LinePlotOptions look;
    look.title = "Right after " + std::to_string(images) + " pictures, however many a batch", look.log_x = true;
    look.x_label = "pictures and captions a batch", look.y_label = "share of 1,000 right", look.y_low = 0;
    write_png(out / "negatives.png", plot::line_plot(curves, look));
    // Measured: 5.4 % and 5.8 to 6.8 % apart. 1,000 pictures drawn anew would move such a difference by up to 2.2 %
    // (binomial, as if the two did not see the same pictures): 3 % are more than one of those, less than two. It is the
    // same here at every run, but another seed of the training need not stay above it.
    example.claim(by_size[64] > by_size[2] + 0.03, "picture for picture, 63 negatives teach more than one");
    example.claim(usual > warm + 0.03 && by_size[64] > warm + 0.03, "at temperature 1 less is learned");
  });
}
