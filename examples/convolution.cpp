// A convolution sees every place with the same few weights. Edges, blur and sharpening on a photograph; what a fully
// connected layer would need for the same job; how far one output looks, against kernel size, depth and downsampling.
// test: --out pictures/convolution
#include <inkling/autograd/loss_ops.hpp>
#include <inkling/io/image.hpp>
#include <inkling/nn/layers.hpp>
#include <inkling/plot/image_grid.hpp>
#include <inkling/plot/line_plot.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

// One channel in, one out, with the weights given, row by row.
Conv2d<float> filter(Index kernel, const std::vector<float>& weights) {
  Conv2d<float> conv(1, 1, kernel, same_padding(kernel), false);
  std::copy(weights.begin(), weights.end(), conv.weight.value().begin());
  return conv;
}

// y = 0.299 R + 0.587 G + 0.114 B (Rec. 601 luma): itself a convolution, 1x1 with three weights
Variable<float, 4> gray(const Variable<float, 4>& rgb) {
  Conv2d<float> luma(3, 1, 1, {}, false);
  std::copy_n(std::array{0.299f, 0.587f, 0.114f}.begin(), 3, luma.weight.value().begin());
  return luma.forward(rgb);
}

// The four filters: a 3x3 difference across the edge times a small blur along it (Sobel & Feldman 1968), the mean of
// 5x5, and the picture plus what a blur takes away from it.
const std::vector<float> vertical_edges{-1, 0, 1, -2, 0, 2, -1, 0, 1}, horizontal_edges{-1, -2, -1, 0, 0, 0, 1, 2, 1},
    blur(25, 1.0f / 25), sharpen{0, -1, 0, -1, 5, -1, 0, -1, 0};

// Mean size of the values, away from the padded border.
double strength(const Tensor<float, 4>& x) {
  double sum = 0;
  for (Index i = 2; i < x.shape(2) - 2; ++i)
    for (Index j = 2; j < x.shape(3) - 2; ++j) sum += std::abs(static_cast<double>(x(0, 0, i, j)));
  return sum / static_cast<double>((x.shape(2) - 4) * (x.shape(3) - 4));
}

// How many pixels across one output depends on, measured: the gradient of the middle output with respect to the
// picture is zero where the output cannot look. All weights are positive, so nothing cancels; and the reference kernels
// add nothing but products of the formula, while a fast convolution may leave a rounding error beside them.
Index field_of_view(Index kernel, Index layers, Index stride) {
  const kernels::UseReference formula;
  constexpr Index size = 129;
  Variable<float, 4> x(Tensor<float, 4>({1, 1, size, size}), true), y = x;
  for (Index l = 0; l < layers; ++l) {
    Conv2d<float> conv(1, 1, kernel, same_padding(kernel, stride), false);
    conv.weight.value().fill(1);
    y = conv.forward(y);
  }
  Tensor<float, 4> middle(y.shape());
  middle(0, 0, y.shape()[2] / 2, y.shape()[3] / 2) = 1;
  backward(mean(mul(y, Variable<float, 4>(std::move(middle)))));
  Index seen = 0;
  for (Index j = 0; j < size; ++j) {
    bool any = false;
    for (Index i = 0; i < size; ++i) any = any || x.grad()(0, 0, i, j) != 0;
    seen += any;
  }
  return seen;
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv,
                        "convolution [--photo FILE] [--out FOLDER]: edge kernels, weights counted, field of view");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/convolution");
    const Image photo = read_image(example.file("--photo", "photos/coffee.png"));
    const Variable<float, 4> small(kernels::avg_pool(image_to_tensor(photo), kernels::PoolOptions{2, 2}));
    const Variable<float, 4> picture = gray(small);

    // ---- Filters ----
    const auto vertical = filter(3, vertical_edges).forward(picture), horizontal =
                   filter(3, horizontal_edges).forward(picture);
    const auto blurred = filter(5, blur).forward(picture), sharp = filter(3, sharpen).forward(picture);
    const auto shown = [](const Variable<float, 4>& v) { return tensor_to_image(v.value()); };
    write_png(out / "filters.png",
              plot::image_grid({shown(small), shown(picture), shown(vertical), shown(horizontal), shown(blurred), shown(sharp)},
                               3, {"photograph", "gray", "vertical edges", "horizontal edges", "blur 5x5", "sharpen"}));
    const auto edges_of = [&](const Variable<float, 4>& v) { return strength(filter(3, vertical_edges).forward(v).value()); };
    std::printf("mean edge: %.4f in the picture, %.4f blurred, %.4f sharpened\n", edges_of(picture), edges_of(blurred),
                edges_of(sharp));
    example.claim(edges_of(blurred) < edges_of(picture) && edges_of(picture) < edges_of(sharp),
                  "a blur weakens edges, sharpening strengthens them");
    // Turning the picture turns one kind of edge into the other.
    const Variable<float, 4> turned = permute(picture, {0, 1, 3, 2});
    example.claim(std::abs(strength(filter(3, horizontal_edges).forward(turned).value()) - strength(vertical.value())) < 1e-5,
                  "horizontal edges of the turned picture are the vertical edges of the picture");

    // ---- Weights: from 100x100 pixels to 100x100 pixels ----
    Conv2d<float> conv(1, 1, 5, same_padding(5), false);
    Linear<float> connected(100 * 100, 100 * 100, false);  // every output looks at every pixel with a weight of its own
    std::printf("weights for a 100x100 picture: convolution 5x5 %td, fully connected %td\n", count_parameters(conv),
                count_parameters(connected));
    example.claim(count_parameters(conv) == 25 && count_parameters(connected) == 100'000'000, "25 against 100,000,000");

    // ---- Field of view ----
    std::vector<plot::Series> curves;
    std::printf("field of view, pixels across, after 1 to 5 layers:\n");
    for (const auto& [kernel, stride] : {std::pair<Index, Index>{3, 1}, {5, 1}, {7, 1}, {3, 2}}) {
      plot::Series s;
      s.name = std::to_string(kernel) + "x" + std::to_string(kernel) + (stride == 2 ? ", each halves the picture" : "");
      for (Index layers = 1; layers <= 5; ++layers) {
        s.x.push_back(static_cast<double>(layers));
        s.y.push_back(static_cast<double>(field_of_view(kernel, layers, stride)));
        // Each layer adds kernel - 1 steps of its input, and a step is stride^(layers below) pixels.
        Index expected = 1, step = 1;
        for (Index l = 0; l < layers; ++l) expected += (kernel - 1) * step, step *= stride;
        example.claim(s.y.back() == static_cast<double>(expected), s.name + ", " + std::to_string(layers) + " layers: " +
                                                                       std::to_string(expected) + " pixels");
      }
      curves.push_back(std::move(s));
    }
    plot::LinePlotOptions look;
    look.title = "how far one output looks", look.x_label = "layers", look.y_label = "pixels across";
    write_png(out / "field_of_view.png", plot::line_plot(curves, look));
  });
}
