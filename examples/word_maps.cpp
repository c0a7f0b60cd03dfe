// Words as places on a map: 100 numbers a word (word_vectors.cpp) seen along two directions. Words of one kind lie
// together, and the step from a country to its capital is about the same everywhere.
// test: --out pictures/word_maps
#include <inkling/plot/word_map.hpp>
#include <inkling/text/word_lists.hpp>
#include <inkling/train/pca.hpp>
#include <inkling/train/point_sets.hpp>
#include <inkling/train/tsne.hpp>

#include "example.hpp"

using namespace inkling;

namespace {

const std::vector<plot::WordGroup> groups{
    {"countries",
     {"germany", "france", "italy", "spain", "russia", "japan", "china", "greece", "egypt", "poland", "sweden",
      "norway", "denmark", "ireland", "austria", "hungary", "portugal"}},
    {"capitals",
     {"berlin", "paris", "rome", "madrid", "moscow", "tokyo", "beijing", "athens", "cairo", "warsaw", "stockholm",
      "oslo", "copenhagen", "dublin", "vienna", "budapest", "lisbon"}},
    {"family",
     {"father", "mother", "son", "daughter", "brother", "sister", "husband", "wife", "uncle", "aunt", "nephew",
      "grandfather", "grandmother"}},
    {"animals",
     {"dog", "cat", "horse", "cow", "fish", "lion", "elephant", "bear", "wolf", "sheep", "pig", "rat", "mouse", "snake",
      "whale", "rabbit", "deer"}},
    {"numbers", {"one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}},
    {"professions",
     {"doctor", "lawyer", "teacher", "engineer", "scientist", "poet", "writer", "painter", "composer", "physicist",
      "chemist", "mathematician", "actor", "singer", "philosopher"}},
    {"days, months",
     {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "january", "february", "april",
      "june", "july", "august"}}};

}  // namespace

int main(int argc, char** argv) {
  const Example example(argc, argv, "word_maps [--out FOLDER]: words of one kind lie together");
  return example.run([&] {
    const std::filesystem::path out = example.folder("--out", "pictures/word_maps");
    const WordVectors words = read_word_lists(example.models() / "words" / "words.safetensors").in;
    std::vector<std::string> names;
    std::vector<std::size_t> group;  // countries and capitals count as one: Dublin lies by Ireland
    for (std::size_t g = 0; g < groups.size(); ++g)
      for (const std::string& word : groups[g].words)
        names.push_back(word), group.push_back(std::max<std::size_t>(g, 1));
    const Tensor<float, 2> x = unit_rows(words, names);

    // ---- Two maps: the directions of most variance; and t-SNE, which keeps neighbours and nothing else ----
    const Pca pca = principal_components(x, 2);
    TsneOptions tsne_options;
    tsne_options.perplexity = 12;
    const Tensor<float, 2> flat = pca.project(x), near = tsne(x, tsne_options).y;
    plot::WordMapOptions look;
    look.title = "two principal components", look.x_label = "first component", look.y_label = "second component";
    write_png(out / "pca.png", plot::word_map(plot::named_points(flat, groups), look));
    look.title = "t-SNE", look.x_label = look.y_label = "";
    write_png(out / "tsne.png", plot::word_map(plot::named_points(near, groups), look));
    const auto agree = [&](const Tensor<float, 2>& map) {
      return neighbours_agree(map, [&](Index n) { return group[static_cast<std::size_t>(n)]; });
    };
    std::printf("nearest word on the map is of the same group: PCA %.0f %% (%.0f %% of the variance), t-SNE %.0f %%\n",
                100 * agree(flat), 100 * (pca.shares[0] + pca.shares[1]), 100 * agree(near));
    example.claim(agree(near) > 0.9, "nobody told it what a country or an animal is, yet they lie together");

    // ---- From a country to its capital: the same step everywhere ----
    const Index countries = static_cast<Index>(groups[0].words.size());
    const Tensor<float, 2> pairs = unit_rows(words, {names.begin(), names.begin() + 2 * countries});
    const Tensor<float, 2> places = principal_components(pairs, 2).project(pairs);
    Tensor<float, 2> steps({countries, x.shape(1)});
    look.title = "countries and their capitals, two principal components";
    for (Index i = 0; i < countries; ++i) {
      const auto at = [&](Index n, Index k) { return static_cast<double>(places(n, k)); };
      look.connections.push_back({at(i, 0), at(i, 1), at(i + countries, 0), at(i + countries, 1)});
      for (Index k = 0; k < x.shape(1); ++k) steps(i, k) = x(i + countries, k) - x(i, k);
    }
    write_png(out / "capitals.png", plot::word_map(plot::named_points(places, std::span(groups).first(2)), look));
    const double same_way = mean_pair_cosine(steps);
    std::printf("cosine between the steps from country to capital: %.2f on average\n", same_way);
    // 0.40 measured. Two random directions of 100 numbers have a cosine of 0 +- 0.1, the mean of all pairs of 17 of
    // them 0 +- 0.1 / sqrt(136) = 0.009.
    example.claim(same_way > 0.25, "the steps from countries to their capitals go the same way (random ones: 0)");
  });
}
