// A convolution as a matrix product, without the matrix.
//
// With one column for each output pixel (of all images of the batch) and one row for each (channel, kh, kw), the
// "patch matrix"
//   P[(c, kh, kw), (n, i, j)] = x[n, c, i s - top + kh d, j s - left + kw d]      (0 outside the image)
// turns a convolution into Y = W P. It is KH * KW times as large as the image and is never stored: pieces of it come
// into being inside the GEMM's panels.
//
// A piece is made in two steps. First the part of the image that it needs is copied to a small window with the zeros
// of the padding around it, columns sorted by their remainder modulo the stride. In the window every row of P is made
// of runs of neighbouring numbers; so the second step is plain copying, with no test for the border.
#pragma once
#include "inkling/kernels/fast/pack.hpp"  // first

namespace inkling::kernels::fast {

// What the patch matrix is made of. Padding may be negative: then the border of the image is cut off.
template <class T>
struct Patches {
  const T* x;              // first channel of the first image
  Index images, channels;  // channels: those that P has rows for
  Index image_stride;      // from image to image; channels follow each other without a gap
  Index H, W, KH, KW, stride, dilation, top, left;
  Index OH, OW;

  Index rows() const { return channels * KH * KW; }
  Index columns() const { return images * OH * OW; }
  // 1x1 kernels: P is the image itself.
  bool plain() const {
    return KH == 1 && KW == 1 && stride == 1 && top == 0 && left == 0 && OH == H && OW == W;
  }
  // Where rows k.. of P have columns n..n+count-1 side by side, `pixels` apart: in the image itself. nullptr: nowhere.
  const T* in_image(Index k, Index n, Index count) const {
    const Index pixels = H * W, image = image_of(n), pixel = n - image * pixels;
    if (!plain() || pixel + count > pixels) return nullptr;
    return x + image * image_stride + k * pixels + pixel;
  }
  // Rows k.. and a panel of columns n.. of P, if P is the image.
  Ahead ahead(Index k, Index n) const {
    const Index pixels = H * W, image = image_of(n);
    return {x + image * image_stride + k * pixels + (n - image * pixels), pixels * static_cast<Index>(sizeof(T)),
            (Tile<T>::columns * static_cast<Index>(sizeof(T)) + 63) / 64};
  }
  // Between two tiles nothing is multiplied, and a division takes as long as a row of a tile: most often there is none.
  Index image_of(Index n) const { return n < H * W ? 0 : n / (H * W); }
};

// While rows of P are copied, those that come so many rows later are asked for: where P is the image itself they lie
// too far apart for the processor to guess, and in the same cache sets, which hold 8 lines each: more would evict each
// other.
inline constexpr Index rows_ahead = 4;

// Rows r.. and columns p.. of the patch matrix, ready to be copied.
template <class T>
class PatchWindow {
 public:
  PatchWindow(const Patches<T>& g, Index row, Index rows, Index column, Index columns)
      : g_(g), c0_(row / (g.KH * g.KW)) {
    if (g.plain()) return;
    const Index channels = (row + rows - 1) / (g.KH * g.KW) + 1 - c0_, pixels = g.OH * g.OW;
    phase_pitch_ = ((g.OW - 1) * g.stride + (g.KW - 1) * g.dilation + g.stride) / g.stride;
    row_pitch_ = phase_pitch_ * g.stride;
    first_image_ = column / pixels;
    first_line_ = column % pixels / g.OW;
    const Index last_image = (column + columns - 1) / pixels, last_line = (column + columns - 1) % pixels / g.OW;
    // Lines of the window for a whole image, and for the first and last ones that may be cut.
    image_lines_ = lines(0, g.OH - 1);
    first_lines_ = lines(first_line_, first_image_ == last_image ? last_line : g.OH - 1);
    channel_pitch_ = row_pitch_ * (first_image_ == last_image ? first_lines_
                                                              : first_lines_ + (last_image - first_image_ - 1) *
                                                                    image_lines_ + lines(0, last_line));
    window_ = workspace<T, 2>(channels * channel_pitch_ + 2 * width<T>);
    for (Index c = 0; c < channels; ++c) {
      T* to = window_ + c * channel_pitch_;
      for (Index n = first_image_; n <= last_image; ++n) {
        const T* image = g.x + n * g.image_stride + (c0_ + c) * g.H * g.W;
        const Index begin = n == first_image_ ? first_line_ : 0, end = n == last_image ? last_line : g.OH - 1;
        for (Index l = 0; l < lines(begin, end); ++l, to += row_pitch_)
          copy_line(image, begin * g.stride - g.top + l, to);
      }
    }
  }

  // A vector of neighbouring columns whose numbers lie side by side, in the window or (plain) in the image.
  struct Piece {
    Index from, to, count;
  };
  // Columns column.. of any row; `from` counts from the start of the row. Beyond the window's runs there is room to
  // read and, for whoever packs rows in ascending order, to write whole vectors; beyond the image there is not.
  void find_pieces(Index column, Index columns, std::vector<Piece>& pieces) const {
    pieces.clear();
    const Index pixels = g_.OH * g_.OW, line = g_.plain() ? pixels : g_.OW;
    Index n = column / pixels, at = column % pixels;
    for (Index to = 0; to < columns;) {
      const Index i = at / line, j = at % line, length = std::min(columns - to, line - j);
      Index from = n * g_.image_stride + at;
      if (!g_.plain()) {
        const Index before = n == first_image_ ? 0 : first_lines_ + (n - first_image_ - 1) * image_lines_;
        from = (before + (i - (n == first_image_ ? first_line_ : 0)) * g_.stride) * row_pitch_ + j;
      }
      for (Index e = 0; e < length; e += width<T>)
        pieces.push_back({from + e, to + e, g_.plain() ? std::min(width<T>, length - e) : width<T>});
      to += length;
      at += length;
      if (at == pixels) at = 0, ++n;
    }
  }
  // This thread's lists, kept from call to call.
  struct Lists {
    std::vector<Piece> pieces, all;
    std::vector<const T*> starts;
  };
  // The pieces of all panels of `columns` columns together, for panels of so many units of k: `to` counts from the
  // start of the first panel. Where P is the image itself a row of all panels lies in memory side by side. Read row by
  // row it comes in order; panel by panel it would be three lines here and three lines there, each waited for.
  template <class Unit>
  void find_pieces_of_all(Index column, Index units, Index columns, Unit* out, Lists& lists) const {
    lists.all.clear();
    for_each_panel(units, columns, out, [&](Index j, Index count, Unit* panel) {
      find_pieces(column + j, count, lists.pieces);
      for (const Piece& p : lists.pieces) lists.all.push_back({p.from, p.to + (panel - out), p.count});
    });
  }
  // Where rows row.. of P start, and what to ask for beyond the last one.
  void find_starts(Index row, Index rows, std::vector<const T*>& starts) const {
    starts.clear();
    Index kw = row % g_.KW, kh = row / g_.KW % g_.KH, c = row / (g_.KW * g_.KH);
    for (Index r = 0; r < rows; ++r) {
      const Index x = kw * g_.dilation, y = kh * g_.dilation;
      starts.push_back(g_.plain() ? g_.x + c * g_.H * g_.W
                                  : window_ + (c - c0_) * channel_pitch_ + y * row_pitch_ +
                                        x % g_.stride * phase_pitch_ + x / g_.stride);
      if (++kw == g_.KW) {
        kw = 0;
        if (++kh == g_.KH) kh = 0, ++c;
      }
    }
    starts.insert(starts.end(), 2 * rows_ahead, starts.back());
  }

  static Lists& lists() {
    static thread_local Lists all;
    return all;
  }

 private:
  // Image lines under the output lines begin..end.
  Index lines(Index begin, Index end) const { return (end - begin) * g_.stride + (g_.KH - 1) * g_.dilation + 1; }

  // Line h of the image, with its padding, to a line of the window.
  void copy_line(const T* image, Index h, T* to) const {
    if (h < 0 || h >= g_.H) {
      std::fill(to, to + row_pitch_, T(0));
      return;
    }
    const T* line = image + h * g_.W;
    if (g_.stride == 1) {
      const Index before = std::clamp<Index>(g_.left, 0, row_pitch_);
      const Index end = std::clamp<Index>(g_.W + g_.left, before, row_pitch_);
      std::fill(to, to + before, T(0));
      prefetch(line + g_.H * g_.W, g_.W);  // the next channel: too short a run for the processor to guess
      copy_row(line + before - g_.left, end - before, to + before);
      std::fill(to + end, to + row_pitch_, T(0));
      return;
    }
    for (Index q = 0; q < g_.stride; ++q)
      for (Index i = 0; i < phase_pitch_; ++i) {
        const Index w = i * g_.stride + q - g_.left;
        to[q * phase_pitch_ + i] = w >= 0 && w < g_.W ? line[w] : T(0);
      }
  }

  const Patches<T>& g_;
  Index c0_;
  Index phase_pitch_ = 0, row_pitch_ = 0, channel_pitch_ = 0, image_lines_ = 0;
  Index first_image_ = 0, first_line_ = 0, first_lines_ = 0;
  T* window_ = nullptr;
};

// body(e, piece) for rows e and every piece of a row. Most panels have three pieces: they are kept in registers.
template <class Piece, class Body>
INKLING_INLINE void for_pieces(const std::vector<Piece>& pieces, Index rows, const Body& body) {
  if (pieces.size() == 3) {
    const Piece first = pieces[0], second = pieces[1], third = pieces[2];
    for (Index e = 0; e < rows; ++e) body(e, first), body(e, second), body(e, third);
  } else {
    for (Index e = 0; e < rows; ++e)
      for (const Piece& p : pieces) body(e, p);
  }
}
// Rows of P that start at starts[e], to rows `stride` apart.
template <class T, class Piece>
void copy_rows(const T* const* starts, Index rows, const std::vector<Piece>& pieces, T* out, Index stride) {
  for_pieces(pieces, rows, [&](Index e, const Piece& p) {
    const T* from = starts[e] + p.from;
    prefetch(starts[e + rows_ahead] + p.from, 1);
    T* to = out + e * stride + p.to;
    if (p.count == width<T>) store(to, load(from));
    else copy_row(from, p.count, to);
  });
}

// P as the right operand: Y = W P.
template <class T>
struct RightPatches {
  const Patches<T>& g;
  bool in_pieces() const { return g.plain(); }
  Ahead ahead(Index k, Index n) const { return g.ahead(k, n); }
  void pack(Index k, Index depth, Index n, Index columns, T* out) const {
    if (depth == 0) return;
    constexpr Index C = Tile<T>::columns;
    if (columns == C)
      if (const T* from = g.in_image(k, n, C)) {
        for (Index e = 0; e < depth; ++e) copy_row(from + e * g.H * g.W, C, out + e * C);
        return;
      }
    const PatchWindow<T> window(g, k, depth, n, columns);
    auto& pieces = PatchWindow<T>::lists().pieces;
    auto& starts = PatchWindow<T>::lists().starts;
    window.find_starts(k, depth, starts);
    if (g.plain()) {
      window.find_pieces_of_all(n, depth, columns, out, PatchWindow<T>::lists());
      return copy_rows(starts.data(), depth, PatchWindow<T>::lists().all, out, Tile<T>::columns);
    }
    for_each_panel(depth, columns, out, [&](Index j, Index count, T* panel) {
      window.find_pieces(n + j, count, pieces);
      copy_rows(starts.data(), depth, pieces, panel, Tile<T>::columns);
    });
  }
};

// P as the left operand: dW^T = P dY^T.
template <class T>
struct LeftPatches {
  static constexpr PanelOrder order = PanelOrder::rows;
  const Patches<T>& g;
  void pack(Index m, Index rows, Index k, Index depth, T* out) const {
    if (depth == 0) return;
    const PatchWindow<T> window(g, m, rows, k, depth);
    auto& pieces = PatchWindow<T>::lists().pieces;
    auto& starts = PatchWindow<T>::lists().starts;
    window.find_starts(m, rows, starts);
    window.find_pieces(k, depth, pieces);
    copy_rows(starts.data(), rows, pieces, out, Tile<T>::row_stride);
    zero_missing_rows(order, rows, depth, out);
  }
};

// dY^T: images [n, channel, pixel] as the matrix [(n, pixel), channel].
template <class T>
struct RightPixels {
  const T* y;
  Index image_stride, pixels;
  void pack(Index k, Index depth, Index n, Index columns, T* out) const {
    for_each_panel(depth, columns, out, [&](Index j, Index count, T* panel) {
      for (Index e = 0; e < depth;) {
        const Index image = (k + e) / pixels, pixel = (k + e) % pixels, length = std::min(depth - e, pixels - pixel);
        transpose(y + image * image_stride + (n + j) * pixels + pixel, pixels, count, length,
                  panel + e * Tile<T>::columns, Tile<T>::columns);
        e += length;
      }
    });
  }
};

// Y [channel, (n, pixel)]: where the pixels of images lie. The pixels are those at (i0 + i step, j0 + j step).
template <class T>
struct PixelsOut {
  T* c;
  Index row_stride;  // from channel to channel
  Index image_stride, line_stride, OH, OW, i0 = 0, j0 = 0, step = 1;
  void columns(Index n, Index count, Index* offsets) const {
    Index j = n % OW, i = n / OW % OH, image = n / (OW * OH);
    for (Index e = 0; e < count; ++e) {
      offsets[e] = image * image_stride + (i0 + i * step) * line_stride + j0 + j * step;
      if (++j == OW) {
        j = 0;
        if (++i == OH) i = 0, ++image;
      }
    }
  }
};

}  // namespace inkling::kernels::fast
