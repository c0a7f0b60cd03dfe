// How a network is told the noise level, or a word its place: one number becomes many sines and cosines. The table as
// a picture; values are bounded, no two levels look the same, near levels look alike.
// test: --out pictures/encoding_a_number
#include <inkling/kernels/kernels.hpp>
#include <inkling/plot/heat_map.hpp>
#include <inkling/plot/line_plot.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

constexpr Index levels = 1000, width = 128;

// The codes of 0, 1, .., 999 [1000, 128]: left half cosines, right half sines, each column slower than the one before.
Tensor<float, 2> table() {
  Tensor<float, 1> t({levels});
  for (Index i = 0; i < levels; ++i) t(i) = static_cast<float>(i);
  return kernels::timestep_embedding(t, width, kernels::TimestepEmbedding::ldm);
}

double distance(const Tensor<float, 2>& codes, Index a, Index b) {
  double sum = 0;
  for (Index j = 0; j < width; ++j) {
    const double d = static_cast<double>(codes(a, j)) - static_cast<double>(codes(b, j));
    sum += d * d;
  }
  return std::sqrt(sum);
}
// cos of the angle between two codes: sum_i cos((a - b) omega_i) / (width / 2), so it depends on a - b alone
double similarity(const Tensor<float, 2>& codes, Index a, Index b) {
  double sum = 0;
  for (Index j = 0; j < width; ++j) sum += static_cast<double>(codes(a, j)) * static_cast<double>(codes(b, j));
  return sum / (width / 2);
}

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv, "encoding_a_number [--out FOLDER]: the sine and cosine code of a noise level");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/encoding_a_number");
    const Tensor<float, 2> codes = table();

    // ---- The table; every 10th level, or it would be a picture a metre high ----
    Tensor<float, 2> rows({levels / 10, width});
    for (Index i = 0; i < levels / 10; ++i)
      for (Index j = 0; j < width; ++j) rows(i, j) = codes(10 * i, j);
    plot::HeatMapOptions look;
    look.title = "one row encodes one noise level";
    look.x_label = "64 cosines, then 64 sines, from fast to slow", look.y_label = "level, from 0 (top) to 990";
    look.scale = 5;
    write_png(out / "table.png", plot::heat_map(rows, look));

    // ---- Bounded ----
    const auto [low, high] = std::minmax_element(codes.begin(), codes.end());
    std::printf("values from %.3f to %.3f\n", static_cast<double>(*low), static_cast<double>(*high));
    example.claim(*low >= -1 && *high <= 1, "every value lies in [-1, 1], however large the number");

    // ---- Unique: the two codes that are nearest to each other are still apart ----
    double nearest = 1e9;
    Index first = 0, second = 0;
    for (Index a = 0; a < levels; ++a)
      for (Index b = a + 1; b < levels; ++b)
        if (const double d = distance(codes, a, b); d < nearest) nearest = d, first = a, second = b;
    std::printf("nearest two of %td levels: %td and %td, %.3f apart\n", levels, first, second, nearest);
    example.claim(nearest > 0.5 && second == first + 1, "no two levels have the same code; the nearest are neighbours");

    // ---- Near levels look alike ----
    std::vector<double> alike;
    for (Index d = 0; d <= 200; ++d) alike.push_back(similarity(codes, 400, 400 + d));
    std::printf("similarity to a level 1, 10, 100 away: %.3f %.3f %.3f\n", alike[1], alike[10], alike[100]);
    example.claim(alike[0] > alike[1] && alike[1] > alike[10] && alike[10] > alike[100],
                  "the farther away a level, the less alike its code");
    double most_different = 0;
    for (Index d : {1, 10, 100})
      most_different = std::max(most_different, std::abs(similarity(codes, 0, d) - similarity(codes, 899, 899 + d)));
    example.claim(most_different < 1e-4, "how alike two codes are depends on their distance alone");
    plot::Series curve = plot::series("", alike);
    plot::LinePlotOptions lines;
    lines.title = "how alike the codes of level 400 and of another are";
    lines.x_label = "levels apart", lines.y_label = "cosine of the angle";
    write_png(out / "similarity.png", plot::line_plot({curve}, lines));
  });
}
