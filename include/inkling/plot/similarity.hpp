// How alike the things of one list are to those of another: a matrix of cosines with names and pictures at its sides.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "inkling/plot/heat_map.hpp"

namespace inkling::plot {

// similarity[rows, columns] in [-1, 1], on one scale, so that two of them compare. A picture above each column.
inline Image similarity_map(const std::string& title, const Tensor<float, 2>& similarity,
                            std::vector<std::string> row_names, std::vector<Image> column_pictures) {
  HeatMapOptions look;
  look.title = title, look.low = -1, look.high = 1;
  look.row_names = std::move(row_names), look.column_pictures = std::move(column_pictures);
  return heat_map(similarity, look);
}
// The same with a name below each column, from the least to the greatest similarity.
inline Image similarity_map(const std::string& title, const Tensor<float, 2>& similarity,
                            std::vector<std::string> row_names, std::vector<std::string> column_names,
                            const std::string& column_label) {
  HeatMapOptions look;
  look.title = title, look.x_label = column_label, look.scale = 26;
  look.row_names = std::move(row_names), look.column_names = std::move(column_names);
  return heat_map(similarity, look);
}

}  // namespace inkling::plot
