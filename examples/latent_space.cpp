// 784 numbers to 2 and back: the map of all digits, plain and variational; more numbers, better pictures; a walk from
// one digit to another. --train yes trains the five autoencoders again (about two minutes of one core) and keeps them.
// test: --out pictures/latent_space
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/scatter.hpp>
#include <inkling/train/digit_autoencoder.hpp>
#include <inkling/train/image_measure.hpp>
#include <inkling/train/load_or_train.hpp>
#include <inkling/train/point_sets.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

// There and back through the code. x[N, 784]
Tensor<float, 2> rebuilt(const MlpAutoencoder<float>& model, const Tensor<float, 2>& x) {
  return decode_digits(model, encode_digits(model, x));
}
// x[N, 784] in [0, 1]
std::vector<Image> digit_pictures(const Tensor<float, 2>& x) {
  return tensor_to_images(rows_to_squares(x), PixelRange::zero_to_one);
}
// Where the encoder puts the digits of the test set.
Image map_of(const std::string& title, const Tensor<float, 2>& z, const LabelledImages& set) {
  plot::LinePlotOptions look;
  look.title = title, look.x_label = "first number", look.y_label = "second number";
  look.width = 640, look.height = 600;
  return plot::scatter(z, set.labels, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, look);
}
// What the decoder makes of every place of that map.
Image grid_of(const MlpAutoencoder<float>& model, const Tensor<float, 2>& z) {
  plot::GridOptions look;
  look.scale = 1, look.gap = 2;
  return plot::image_grid(digit_pictures(decode_digits(model, places_on_map(z, 16))), 16, {}, look);
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv,
                        "latent_space [--train yes] [--steps N] [--mnist FOLDER] [--out FOLDER]: digits as two numbers");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/latent_space");
    const std::filesystem::path mnist = example.file("--mnist", "mnist");
    const LabelledImages test = read_mnist(mnist, "t10k");
    const Tensor<float, 2> x = digit_rows(test, 0, test.images.shape(0));

    std::map<std::string, MlpAutoencoder<float>> models;
    for (const auto& [name, latent, variational] :
         {std::tuple("2", Index{2}, false),
          {"2 variational", 2, true},
          {"5", 5, false},
          {"10", 10, false},
          {"32", 32, false}}) {
      MlpAutoencoderConfig config;
      config.latent = latent, config.variational = variational;
      MlpAutoencoder<float>& model = models.try_emplace(name, config).first->second;
      TrainOptions options;
      options.name = std::to_string(latent) + (variational ? "v" : ""), options.folder = out / "training";
      options.steps = std::stol(example.option("--steps", "6000")), options.learning_rate = 2e-3;
      load_or_train(model, example.models() / "latent_space" / (options.name + ".safetensors"),
                    example.option("--train", "no") == "yes", options.folder, [&] {
                      static const LabelledImages train = read_mnist(mnist, "train");
                      train_digit_autoencoder(model, train, options, 128, 1, example.progress("train " + options.name));
                    });
    }

    // ---- More numbers, better pictures ----
    const Tensor<float, 2> twelve = digit_rows(test, 0, 12);
    plot::ImageRows rows;
    rows.look.scale = 2;
    rows.add("digits never seen", digit_pictures(twelve));
    double before = mean_variance(x);  // nothing but the mean of all digits: no number at all
    std::printf(" 0 numbers: mean square error %.4f (the mean of all digits)\n", before);
    for (const char* name : {"2", "5", "10", "32"}) {
      const double error = mean_square_error(rebuilt(models.at(name), x), x);
      std::printf("%2s numbers: mean square error %.4f\n", name, error);
      example.claim(error < 0.85 * before, std::string(name) + " numbers rebuild digits better than fewer");
      before = error;
      rows.add("from " + std::string(name) + " numbers", digit_pictures(rebuilt(models.at(name), twelve)));
    }
    write_png(out / "reconstructions.png", rows.grid());

    // ---- The map, plain and variational ----
    const Tensor<float, 2> plain = encode_digits(models.at("2"), x),
                           variational = encode_digits(models.at("2 variational"), x);
    write_png(out / "map_plain.png", map_of("10,000 digits as two numbers, plain", plain, test));
    write_png(out / "map_variational.png", map_of("10,000 digits as two numbers, variational", variational, test));
    write_png(out / "grid_plain.png", grid_of(models.at("2"), plain));
    write_png(out / "grid_variational.png", grid_of(models.at("2 variational"), variational));
    for (const auto& [name, z] : {std::pair("plain", &plain), {"variational", &variational}}) {
      const Spread first = spread(*z, 0), second = spread(*z, 1);
      const double agree = neighbours_agree(kernels::slice(*z, 0, 0, 2000), test.labels);  // of the first 2,000
      std::printf("%-12s first number %.2f +- %.2f, second %.2f +- %.2f; nearest neighbour is the same digit: %.0f %%\n",
                  name, first.mean, first.deviation, second.mean, second.deviation, 100 * agree);
      example.claim(agree > 0.5, std::string(name) + ": nobody told it which digit is which, yet the same lie together");
    }
    for (Index axis : {0, 1}) {
      const auto [mean, deviation] = spread(variational, axis);
      example.claim(std::abs(mean) < 0.5 && deviation > 0.6 && deviation < 1.4,
                    "the variational map lies around zero with a spread of about one: anyone may draw from it");
    }

    // ---- A walk: the straight line between two codes ----
    plot::ImageRows walk;
    walk.look.scale = 2;
    for (const char* name : {"2 variational", "32"}) {
      const auto& model = models.at(name);
      const Tensor<float, 2> two = encode_digits(model, digit_rows(test, 1, 1)),
                             seven = encode_digits(model, digit_rows(test, 0, 1));
      walk.add(std::string(name) + (model.config.variational ? "" : " numbers"),
               digit_pictures(decode_digits(model, straight_line(two.span(), seven.span(), 11))));
    }
    write_png(out / "walk.png", walk.grid());
  });
}
