// Attention between the words of a sentence: who looks at whom.
#pragma once
#include <string>
#include <vector>

#include "inkling/plot/heat_map.hpp"

namespace inkling::plot {

// One head of p[N, A, L, S] for sentence n: rows ask, columns answer. words: the first of the sentence; as many rows and
// columns are drawn.
inline Image attention_map(const Tensor<float, 4>& p, Index n, Index head, const std::vector<std::string>& words,
                           HeatMapOptions look = {}) {
  const Index count = static_cast<Index>(words.size());
  if (n < 0 || n >= p.shape(0) || head < 0 || head >= p.shape(1) || count < 1 || count > p.shape(2) ||
      count > p.shape(3))
    throw ShapeError("attention_map", "a sentence, a head and words within " + to_string(p.shape()),
                     "sentence " + std::to_string(n) + ", head " + std::to_string(head) + ", " +
                         std::to_string(count) + " words");
  Tensor<float, 2> map({count, count}, uninitialized);
  for (Index i = 0; i < count; ++i)
    for (Index j = 0; j < count; ++j) map(i, j) = p(n, head, i, j);
  if (look.title.empty()) look.title = "head " + std::to_string(head + 1) + ": rows ask, columns answer";
  look.row_names = look.column_names = words, look.low = 0, look.high = 1;
  if (look.scale == 0) look.scale = 26;
  return heat_map(map, look);
}

}  // namespace inkling::plot
