// Points of several kinds in one plane, each kind in its colour: the codes of digits, the features of classes.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "inkling/core/tensor.hpp"
#include "inkling/plot/line_plot.hpp"

namespace inkling::plot {

// Ten colours that are told apart in a crowd of small dots (Tableau's category palette of 2014, its gray darker).
inline constexpr std::array<Color, 10> category_colors{{{31, 119, 180},
                                                        {255, 127, 14},
                                                        {44, 160, 44},
                                                        {214, 39, 40},
                                                        {148, 103, 189},
                                                        {140, 86, 75},
                                                        {227, 119, 194},
                                                        {110, 110, 110},
                                                        {188, 189, 34},
                                                        {23, 190, 207}}};

// points[N, 2], labels[N]; names: of the labels 0, 1, ..
inline Image scatter(const Tensor<float, 2>& points, const Tensor<std::uint8_t, 1>& labels,
                     const std::vector<std::string>& names, const LinePlotOptions& look = {}) {
  require_shape(points.shape(), Shape<2>{labels.shape(0), 2}, "scatter points", "two numbers and one label each");
  std::vector<Series> clouds(names.size());
  for (Index n = 0; n < points.shape(0); ++n) {
    if (labels(n) >= clouds.size())
      throw ConfigError("scatter", "a name for each label", "label " + std::to_string(labels(n)) + " and " +
                                                                std::to_string(names.size()) + " names");
    clouds[labels(n)].add(points(n, 0), points(n, 1));
  }
  for (std::size_t k = 0; k < clouds.size(); ++k)
    clouds[k].name = names[k], clouds[k].dots = true, clouds[k].pen = 2.5,
    clouds[k].color = category_colors[k % category_colors.size()];
  return line_plot(clouds, look);
}

}  // namespace inkling::plot
