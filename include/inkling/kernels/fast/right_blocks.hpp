// The right operand of the GEMM on its way to the tiles: block after block, each as panels of Tile::columns columns.
//
// A block of B is made of rows that may lie far apart, such as the channels of an image. Reading it is waiting for
// memory, multiplying it is not: so while a block is multiplied, the next one is packed piece by piece. A piece is asked
// for before a tile is multiplied and copied after it. What lies packed already, as weights do, is only asked for.
//
// 1 x 1 convolutions, weights packed beforehand: GFLOP/s of one thread and of two (at most 117 and 235; bfloat16 twice
// that; AMD Zen 4, AVX-512, g++ 12 -O3 -march=native; medians of the two ways in turn):
//                                          float: at once    in pieces     bfloat16: at once    in pieces
//   320 -> 320 at 64^2                       102     179     105     196         191     310     197     342
//   640 -> 640 at 32^2                       104     176     109     210         204     325     205     380
//   1280 -> 1280 at 16^2                     109     210     109     211         211     386     208     386
//   640 -> 320 at 64^2                       102     186     109     213         198     334     205     394
//   256 -> 128 at 256^2                       93     171     100     199         166     284     187     366
// Packing that takes no time at all would give 109, 111, 111, 112 and 109 in the first column of pieces. Matrices with
// short rows gain nothing. The first block of a task is packed while nothing is multiplied, so blocks are small then: 128
// KB instead of 384 brought the first three rows from 380, 401 and 416 to 404, 420 and 430 (bfloat16, two threads).
#pragma once
#include "inkling/kernels/fast/pack.hpp"  // first

namespace inkling::kernels::fast {

// Rows k.. and columns n.. of B.
struct RightBlock {
  Index k, depth, n, columns;
};

template <class T, class Right>
class RightBlocks {
  static constexpr Index C = Tile<T>::columns, line = 64, rows = 2 * Tile<T>::rows;
  static constexpr bool has_pieces = requires(const Right& b) { b.in_pieces(); };
  // Rows of a piece: as many as an Ahead of AheadOfTile::b has, and whole granules.
  static constexpr Index piece = std::max(rows, Arithmetic<T>::granule), piece_bytes = rows * line;

 public:
  static constexpr bool stored = requires(const Right& b) { b.packed(Index{}, Index{}, Index{}); };

  // `units`: of the largest block
  RightBlocks(const Right& b, Index units) : b_(b), in_pieces_(pieces_pay(b)) {
    if constexpr (!stored) {
      const Index room = units + 2 * width<Sum<T>>;
      buffer_ = workspace<T, 0>(in_pieces_ ? 2 * room : room);
      other_ = in_pieces_ ? buffer_ + room : buffer_;
    }
  }
  static bool pieces_pay(const Right& b) {
    if constexpr (has_pieces) return b.in_pieces();
    else return false;
  }
  // So many bytes of B at a time, for a second-level cache of one megabyte. Of stored weights the larger block spares
  // packing A once more for each: 2 to 3 % of linear layers.
  static Index block_bytes(const Right& b) { return (stored ? 896 : pieces_pay(b) ? 128 : 512) * 1024; }

  // The panels of a block that will be multiplied in so many tiles, before `next` (nullptr: it is the last).
  const T* panels(const RightBlock& now, const RightBlock* next, Index tiles) {
    const bool first = pieces_ == 0;
    next_ = next ? *next : RightBlock{};
    tiles_ = tiles;
    panel_ = row_ = at_ = until_ = owed_ = 0;
    in_panel_ = (next_.depth + piece - 1) / piece;
    if constexpr (stored) {
      stored_next_ = reinterpret_cast<const char*>(b_.packed(next_.n, next_.k, next_.depth));
      pieces_ = (units(next_) * static_cast<Index>(sizeof(T)) + piece_bytes - 1) / piece_bytes;
      return b_.packed(now.n, now.k, now.depth);
    } else {
      if (first || !in_pieces_) b_.pack(now.k, now.depth, now.n, now.columns, buffer_);
      else std::swap(buffer_, other_);
      pieces_ = in_pieces_ ? (next_.columns + C - 1) / C * in_panel_ : 0;
      return buffer_;
    }
  }
  // What the next tile should ask for.
  INKLING_INLINE Ahead before_tile() {
    if constexpr (stored || has_pieces) {
      // `until` is pieces * tiles made / tiles, without dividing: between two tiles nothing is multiplied.
      for (owed_ += pieces_; owed_ >= tiles_; owed_ -= tiles_) ++until_;
      if (at_ == until_) return {};
      if constexpr (stored) {
        const Index from = std::exchange(at_, until_), lines = until_ - from;
        return {stored_next_ + from * piece_bytes, lines * line, lines};
      } else {
        return b_.ahead(next_.k + row_ * piece, next_.n + panel_ * C);
      }
    }
    return {};
  }
  INKLING_INLINE void after_tile() {
    if constexpr (has_pieces)
      for (; at_ < until_; ++at_) {
        pack_piece(panel_, row_);
        if (++row_ == in_panel_) row_ = 0, ++panel_;
      }
  }

 private:
  static Index units(const RightBlock& block) {
    return (block.columns + C - 1) / C * Tile<T>::right_units(block.depth);
  }
  // A whole vector may be written behind a piece: pieces are packed in order.
  void pack_piece(Index panel, Index e) {
    const Index k = e * piece, j = panel * C;
    b_.pack(next_.k + k, std::min(piece, next_.depth - k), next_.n + j, std::min(C, next_.columns - j),
            other_ + panel * Tile<T>::right_units(next_.depth) + Tile<T>::right_units(k));
  }

  const Right& b_;
  bool in_pieces_;
  T *buffer_ = nullptr, *other_ = nullptr;
  RightBlock next_{};
  const char* stored_next_ = nullptr;
  Index tiles_ = 1, pieces_ = 0, in_panel_ = 0;
  Index at_ = 0, panel_ = 0, row_ = 0;  // the piece that is next: the row_-th of its panel
  Index until_ = 0, owed_ = 0;          // pieces up to here are this tile's share
};

}  // namespace inkling::kernels::fast
