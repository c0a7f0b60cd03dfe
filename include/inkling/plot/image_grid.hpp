// Pictures beside each other with captions and headings, and the steps of denoising in a row.
#pragma once
#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inkling/plot/text.hpp"

namespace inkling::plot {

// Enlarged by a whole factor: each pixel becomes a square, nothing is blurred.
inline Image resize_nearest(const Image& image, Index factor) {
  require_picture(image, "resize_nearest");
  constexpr Index most = 1 << 16;  // pixels a side
  if (factor < 1 || factor > most || image.width > most / factor || image.height > most / factor)
    throw ConfigError("resize_nearest", "a factor of at least 1 and at most 65536 pixels a side",
                      "factor " + std::to_string(factor));
  Image out(image.width * factor, image.height * factor, image.channels);
  for (Index y = 0; y < out.height; ++y)
    for (Index x = 0; x < out.width; ++x)
      for (Index c = 0; c < out.channels; ++c) out(x, y, c) = image(x / factor, y / factor, c);
  return out;
}

struct GridOptions {
  std::string title = {};
  std::vector<std::string> column_headings = {}, row_headings = {};  // none, or one for each column, for each row
  Index scale = 0;       // factor of enlargement; 0: the smallest that makes the pictures 96 pixels wide
  Index gap = 8;         // between pictures
  double text_size = 9;  // height of a capital letter
  Color background = white, ink = dark_gray;
};

namespace detail {
inline void require_count(std::size_t got, std::size_t expected, std::string_view what) {
  if (got != 0 && got != expected)
    throw ConfigError("image_grid", std::to_string(expected) + " " + std::string(what) + ", or none",
                      std::to_string(got));
}
}  // namespace detail

// Row by row, `columns` in each; captions below the pictures (none, or one for each).
inline Image image_grid(const std::vector<Image>& images, Index columns, const std::vector<std::string>& captions = {},
                        const GridOptions& options = {}) {
  if (images.empty()) throw ConfigError("image_grid", "at least one picture", "none");
  if (columns < 1) throw ConfigError("image_grid", "at least one column", std::to_string(columns));
  const Index count = static_cast<Index>(images.size());
  columns = std::min(columns, count);
  const Index rows = (count + columns - 1) / columns;
  detail::require_count(captions.size(), images.size(), "captions");
  detail::require_count(options.column_headings.size(), static_cast<std::size_t>(columns), "column headings");
  detail::require_count(options.row_headings.size(), static_cast<std::size_t>(rows), "row headings");
  if (options.scale < 0 || options.gap < 0 || !(options.text_size >= 4 && options.text_size <= 200))
    throw ConfigError(
        "image_grid", "scale and gap of at least 0, text from 4 to 200 pixels",
        std::to_string(options.scale) + ", " + std::to_string(options.gap) + ", " + std::to_string(options.text_size));

  Index width = 0, height = 0;  // of the largest picture
  for (const Image& image : images) {
    require_picture(image, "image_grid");
    width = std::max(width, image.width), height = std::max(height, image.height);
  }
  const Index scale = options.scale > 0 ? options.scale : std::max<Index>(1, (96 + width - 1) / width);
  if (width > 30000 / scale || height > 30000 / scale)
    throw ConfigError("image_grid", "pictures of at most 30000 pixels a side", "a scale of " + std::to_string(scale));
  width *= scale, height *= scale;

  // How much room the words need.
  const double size = options.text_size, title_size = 1.3 * size;
  const Index line = static_cast<Index>(line_height(size)), gap = options.gap;
  const auto lines_of = [&](const std::string& text, Index room) {
    return wrap_text(text, size, static_cast<double>(room));
  };
  const auto most_lines = [&](const std::vector<std::string>& texts, Index room) {
    std::size_t most = 0;
    for (const auto& text : texts) most = std::max(most, lines_of(text, room).size());
    return static_cast<Index>(most);
  };
  std::vector<Index> caption_lines(static_cast<std::size_t>(rows));  // each row as deep as its longest caption
  for (std::size_t k = 0; k < captions.size(); ++k) {
    Index& deepest = caption_lines[k / static_cast<std::size_t>(columns)];
    deepest = std::max(deepest, static_cast<Index>(lines_of(captions[k], width).size()));
  }
  const Index heading_lines = most_lines(options.column_headings, width);
  Index side = 0;  // width of the row headings, which break at 20 capital letters
  for (const auto& text : options.row_headings)
    for (const auto& part : wrap_text(text, size, 20 * size))
      side = std::max(side, static_cast<Index>(text_width(part, size)) + gap);

  const Index left = gap + side, total = left + columns * (width + gap);
  const std::vector<std::string> title =
      options.title.empty() ? std::vector<std::string>{}
                            : wrap_text(options.title, title_size, static_cast<double>(total - 2 * gap));
  const Index title_line = static_cast<Index>(line_height(title_size));
  const Index top =
      gap + static_cast<Index>(title.size()) * title_line + heading_lines * line + (heading_lines ? gap / 2 : 0);
  Index bottom = top;
  for (const Index n : caption_lines) bottom += height + n * line + gap + (n ? gap / 2 : 0);

  Canvas canvas(total, bottom, options.background);
  const auto write = [&](const std::vector<std::string>& lines, Index x, Index y, Index room, double letter,
                         Align align) {
    const Index step = static_cast<Index>(line_height(letter));
    for (std::size_t k = 0; k < lines.size(); ++k)
      draw_text_in(canvas, x, static_cast<double>(y + static_cast<Index>(k) * step) + 1.4 * letter, room, lines[k],
                   letter, options.ink, align);
  };
  write(title, gap, gap / 2, total - 2 * gap, title_size, Align::center);
  for (std::size_t c = 0; c < options.column_headings.size(); ++c) {
    const auto lines = lines_of(options.column_headings[c], width);
    const Index y = top - gap / 2 - static_cast<Index>(lines.size()) * line;  // headings stand on their pictures
    write(lines, left + static_cast<Index>(c) * (width + gap), y, width, size, Align::center);
  }
  Index y = top;
  for (Index row = 0; row < rows; ++row) {
    if (!options.row_headings.empty()) {
      const auto lines = wrap_text(options.row_headings[static_cast<std::size_t>(row)], size, 20 * size);
      const Index middle = y + (height - static_cast<Index>(lines.size()) * line) / 2;
      write(lines, gap, middle, side - gap, size, Align::right);
    }
    for (Index column = 0; column < columns && row * columns + column < count; ++column) {
      const std::size_t k = static_cast<std::size_t>(row * columns + column);
      const Image& image = images[k];
      const Index x = left + column * (width + gap);
      canvas.picture(scale == 1 ? image : resize_nearest(image, scale), x + (width - image.width * scale) / 2,
                     y + (height - image.height * scale) / 2);
      if (!captions.empty()) write(lines_of(captions[k], width), x, y + height + gap / 4, width, size, Align::center);
    }
    const Index n = caption_lines[static_cast<std::size_t>(row)];
    y += height + n * line + gap + (n ? gap / 2 : 0);
  }
  return std::move(canvas).image();
}

// One row, as for the steps of denoising: x_T on the left, the picture on the right.
inline Image strip(const std::vector<Image>& images, const std::vector<std::string>& captions = {},
                   const std::string& title = {}, GridOptions options = {}) {
  options.title = title;
  return image_grid(images, static_cast<Index>(std::max<std::size_t>(images.size(), 1)), captions, options);
}

// A grid that grows row by row, each with its heading; the first row decides how many columns there are.
struct ImageRows {
  GridOptions look = {};  // row_headings are written by add()
  std::vector<Image> images = {};

  void add(std::string heading, std::vector<Image> row) {
    const std::size_t columns = look.row_headings.empty() ? row.size() : images.size() / look.row_headings.size();
    if (row.size() != columns || row.empty())
      throw ConfigError("ImageRows \"" + heading + "\"",
                        columns ? "a picture for each of " + std::to_string(columns) + " columns" : "pictures",
                        std::to_string(row.size()));
    std::move(row.begin(), row.end(), std::back_inserter(images));
    look.row_headings.push_back(std::move(heading));
  }
  Image grid(const std::vector<std::string>& captions = {}) const {
    const Index rows = static_cast<Index>(std::max<std::size_t>(look.row_headings.size(), 1));
    return image_grid(images, std::max<Index>(1, static_cast<Index>(images.size()) / rows), captions, look);
  }
};

}  // namespace inkling::plot
