// A photograph made small, and every window that can be cut out of it: a world of pictures that is known completely.
#pragma once
#include <algorithm>

#include "inkling/core/random.hpp"
#include "inkling/io/image.hpp"
#include "inkling/kernels/kernels.hpp"

namespace inkling {

// The middle square of a photograph, its pixels averaged to side x side -> [1, 3, side, side] in [-1, 1]
inline Tensor<float, 4> small_square(const Image& photo, Index side) {
  const Tensor<float, 4> x = image_to_tensor(photo);
  const Index factor = side < 1 ? 0 : std::min(photo.width, photo.height) / side;
  if (factor < 1)
    throw ShapeError("small_square", "a picture of at least " + std::to_string(side) + " pixels a side",
                     std::to_string(photo.width) + " x " + std::to_string(photo.height));
  const Index used = factor * side, top = (photo.height - used) / 2, left = (photo.width - used) / 2;
  const Tensor<float, 4> square = kernels::slice(kernels::slice(x, 2, top, top + used), 3, left, left + used);
  return kernels::avg_pool(square, kernels::PoolOptions{factor, factor});
}

// Every place at which a window of side x side pixels can lie: a world that is known completely.
// photo[1, C, H, W] -> [(H - side + 1) (W - side + 1), C, side, side]
inline Tensor<float, 4> all_windows(const Tensor<float, 4>& photo, Index side) {
  const Index C = photo.shape(1), down = photo.shape(2) - side + 1, across = photo.shape(3) - side + 1;
  if (side < 1 || down < 1 || across < 1)
    throw ShapeError("all_windows", "a picture of at least " + std::to_string(side) + " pixels a side",
                     to_string(photo.shape()));
  Tensor<float, 4> out({down * across, C, side, side}, uninitialized);
  for (Index n = 0; n < down * across; ++n)
    for (Index c = 0; c < C; ++c)
      for (Index h = 0; h < side; ++h) std::copy_n(&photo(0, c, n / across + h, n % across), side, &out(n, c, h, 0));
  return out;
}

// `count` pictures of world[M, C, H, W], drawn at random with repetition -> [count, C, H, W]
inline Tensor<float, 4> draw_pictures(const Tensor<float, 4>& world, Index count, Generator& generator) {
  if (world.empty() || count < 1)
    throw ConfigError("draw_pictures", "at least one picture, of some", std::to_string(count) + " of " +
                                                                          to_string(world.shape()));
  const Index size = world.size() / world.shape(0);
  Tensor<float, 4> x({count, world.shape(1), world.shape(2), world.shape(3)}, uninitialized);
  for (Index n = 0; n < count; ++n)
    std::copy_n(world.data() + generator.integer(world.shape(0)) * size, size, x.data() + n * size);
  return x;
}

}  // namespace inkling
