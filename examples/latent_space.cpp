// 784 numbers to 2 and back: the map of all digits, plain and variational; more numbers, better pictures; a walk from
// one digit to another. --train trains the five autoencoders again (about three minutes) and keeps them.
// test: --out pictures/latent_space
#include <inkling/io/model_files.hpp>
#include <inkling/io/load_parameters.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>
#include <inkling/train/digit_autoencoder.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

// z[N, latent] -> pictures
std::vector<Image> painted(const MlpAutoencoder<float>& model, const Tensor<float, 2>& z) {
  const NoGrad no_grad;
  const Tensor<float, 2> y = activation(Activation::sigmoid, model.decode(Variable<float, 2>(z))).value();
  std::vector<Image> out;
  for (Index n = 0; n < y.shape(0); ++n) {
    out.emplace_back(28, 28, 1);
    for (Index i = 0; i < 784; ++i)
      out.back().pixels[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(std::lround(255 * y(n, i)));
  }
  return out;
}
Tensor<float, 2> codes(const MlpAutoencoder<float>& model, const Tensor<float, 2>& x) {
  const NoGrad no_grad;
  return model.mean(model.encode(Variable<float, 2>(x))).value();
}
// Mean square error of the pixels, all test digits.
double error_of(const MlpAutoencoder<float>& model, const Tensor<float, 2>& x) {
  const NoGrad no_grad;
  const auto y = activation(Activation::sigmoid, model.decode(Variable<float, 2>(codes(model, x))));
  return static_cast<double>(mse_loss(y, x).value()());
}

// The digits of the test set where the encoder puts them.
Image map_of(const std::string& title, const Tensor<float, 2>& z, const LabelledImages& set) {
  static constexpr std::array<plot::Color, 10> colors{{{31, 119, 180},
                                                       {255, 127, 14},
                                                       {44, 160, 44},
                                                       {214, 39, 40},
                                                       {148, 103, 189},
                                                       {140, 86, 75},
                                                       {227, 119, 194},
                                                       {110, 110, 110},
                                                       {188, 189, 34},
                                                       {23, 190, 207}}};
  std::vector<plot::Series> clouds(10);
  for (Index n = 0; n < z.shape(0); ++n) {
    plot::Series& s = clouds[set.labels(n)];
    s.x.push_back(static_cast<double>(z(n, 0))), s.y.push_back(static_cast<double>(z(n, 1)));
  }
  for (std::size_t d = 0; d < 10; ++d)
    clouds[d].name = std::to_string(d), clouds[d].dots = true, clouds[d].pen = 2.5, clouds[d].color = colors[d];
  plot::LinePlotOptions look;
  look.title = title, look.x_label = "first number", look.y_label = "second number";
  look.width = 640, look.height = 600;
  return plot::line_plot(clouds, look);
}
// What the decoder makes of every place of the map; rows from top to bottom as in the map.
Image grid_of(const MlpAutoencoder<float>& model, const Tensor<float, 2>& z) {
  constexpr Index side = 16;
  std::array<std::vector<float>, 2> sorted;
  for (Index n = 0; n < z.shape(0); ++n) sorted[0].push_back(z(n, 0)), sorted[1].push_back(z(n, 1));
  for (auto& s : sorted) std::sort(s.begin(), s.end());
  Tensor<float, 2> places({side * side, 2});
  const auto at = [&](std::size_t axis, Index i) {  // from the 3rd to the 97th percentile, evenly
    const float low = sorted[axis][sorted[axis].size() * 3 / 100], high = sorted[axis][sorted[axis].size() * 97 / 100];
    return low + (high - low) * static_cast<float>(i) / static_cast<float>(side - 1);
  };
  for (Index i = 0; i < side; ++i)
    for (Index j = 0; j < side; ++j) places(i * side + j, 0) = at(0, j), places(i * side + j, 1) = at(1, side - 1 - i);
  plot::GridOptions look;
  look.scale = 1, look.gap = 2;
  return plot::image_grid(painted(model, places), side, {}, look);
}
// How often the nearest other digit on the map is the same digit, of the first 2,000.
double neighbours_agree(const Tensor<float, 2>& z, const LabelledImages& set) {
  Index agree = 0;
  for (Index a = 0; a < 2000; ++a) {
    Index best = -1;
    float least = std::numeric_limits<float>::max();
    for (Index b = 0; b < 2000; ++b) {
      const float dx = z(a, 0) - z(b, 0), dy = z(a, 1) - z(b, 1), d = dx * dx + dy * dy;
      if (a != b && d < least) least = d, best = b;
    }
    agree += set.labels(a) == set.labels(best);
  }
  return static_cast<double>(agree) / 2000;
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
         {std::tuple("2", Index{2}, false), {"2 variational", 2, true}, {"5", 5, false}, {"10", 10, false}, {"32", 32, false}}) {
      MlpAutoencoderConfig config;
      config.latent = latent, config.variational = variational;
      MlpAutoencoder<float>& model = models.try_emplace(name, config).first->second;
      const std::filesystem::path weights =
          example.models() / "latent_space" / (std::to_string(latent) + (variational ? "v" : "") + ".safetensors");
      if (example.option("--train", "no") == "yes") {
        TrainOptions options;
        options.name = weights.stem().string(), options.folder = example.folder("--out", "pictures/latent_space") / "training";
        std::filesystem::create_directories(options.folder);
        options.steps = std::stol(example.option("--steps", "6000")), options.learning_rate = 2e-3;
        static const LabelledImages train = read_mnist(mnist, "train");
        train_digit_autoencoder(model, train, options, 128, 1, example.progress("train " + std::string(name)));
        std::filesystem::create_directories(weights.parent_path());
        save_parameters(model, weights, DType::f16);
      }
      load_parameters(model, plain_weights(weights));
    }

    // ---- More numbers, better pictures ----
    std::vector<Image> rows = [&] {
      std::vector<Image> first;
      for (Index n = 0; n < 12; ++n) {
        first.emplace_back(28, 28, 1);
        std::copy_n(test.images.data() + n * 784, 784, first.back().pixels.begin());
      }
      return first;
    }();
    plot::GridOptions look;
    look.row_headings = {"digits never seen"};
    const Tensor<float, 2> twelve = digit_rows(test, 0, 12);
    Tensor<float, 2> mean({1, 784});
    for (Index n = 0; n < x.shape(0); ++n)
      for (Index i = 0; i < 784; ++i) mean(0, i) += x(n, i) / static_cast<float>(x.shape(0));
    double before = 0;  // nothing but the mean of all digits: no number at all
    for (Index n = 0; n < x.shape(0); ++n)
      for (Index i = 0; i < 784; ++i) {
        const double d = static_cast<double>(x(n, i)) - static_cast<double>(mean(0, i));
        before += d * d / static_cast<double>(x.size());
      }
    std::printf(" 0 numbers: mean square error %.4f (the mean of all digits)\n", before);
    for (const char* name : {"2", "5", "10", "32"}) {
      const double error = error_of(models.at(name), x);
      std::printf("%2s numbers: mean square error %.4f\n", name, error);
      example.claim(error < 0.85 * before, std::string(name) + " numbers rebuild digits better than fewer");
      before = error;
      look.row_headings.push_back("from " + std::string(name) + " numbers");
      for (Image& image : painted(models.at(name), codes(models.at(name), twelve))) rows.push_back(std::move(image));
    }
    look.scale = 2;
    write_png(out / "reconstructions.png", plot::image_grid(rows, 12, {}, look));

    // ---- The map, plain and variational ----
    const Tensor<float, 2> plain = codes(models.at("2"), x), variational = codes(models.at("2 variational"), x);
    write_png(out / "map_plain.png", map_of("10,000 digits as two numbers, plain", plain, test));
    write_png(out / "map_variational.png", map_of("10,000 digits as two numbers, variational", variational, test));
    write_png(out / "grid_plain.png", grid_of(models.at("2"), plain));
    write_png(out / "grid_variational.png", grid_of(models.at("2 variational"), variational));
    const auto spread = [](const Tensor<float, 2>& z, Index axis) {
      double sum = 0, squares = 0;
      for (Index n = 0; n < z.shape(0); ++n) sum += z(n, axis), squares += static_cast<double>(z(n, axis)) * z(n, axis);
      const double m = sum / static_cast<double>(z.shape(0));
      return std::pair(m, std::sqrt(squares / static_cast<double>(z.shape(0)) - m * m));
    };
    for (const auto& [name, z] : {std::pair("plain", &plain), {"variational", &variational}})
      std::printf("%-12s first number %.2f +- %.2f, second %.2f +- %.2f; nearest neighbour is the same digit: %.0f %%\n",
                  name, spread(*z, 0).first, spread(*z, 0).second, spread(*z, 1).first, spread(*z, 1).second,
                  100 * neighbours_agree(*z, test));
    example.claim(neighbours_agree(plain, test) > 0.5 && neighbours_agree(variational, test) > 0.5,
                  "nobody told it which digit is which, yet the same digits lie together");
    for (Index axis : {0, 1}) {
      const auto [m, s] = spread(variational, axis);
      example.claim(std::abs(m) < 0.5 && s > 0.6 && s < 1.4,
                    "the variational map lies around zero with a spread of about one: anyone may draw from it");
    }

    // ---- A walk: the straight line between two codes ----
    std::vector<Image> walk;
    plot::GridOptions walk_look;
    for (const char* name : {"2 variational", "32"}) {
      const auto& model = models.at(name);
      const Tensor<float, 2> ends = codes(model, digit_rows(test, 0, 3));  // a seven, a two, a one
      Tensor<float, 2> z({11, model.config.latent});
      for (Index k = 0; k < 11; ++k)
        for (Index i = 0; i < model.config.latent; ++i)
          z(k, i) = ends(1, i) + static_cast<float>(k) / 10 * (ends(0, i) - ends(1, i));
      for (Image& image : painted(model, z)) walk.push_back(std::move(image));
      walk_look.row_headings.push_back(std::string(name) + (model.config.variational ? "" : " numbers"));
    }
    walk_look.scale = 2;
    write_png(out / "walk.png", plot::image_grid(walk, 11, {}, walk_look));
  });
}
