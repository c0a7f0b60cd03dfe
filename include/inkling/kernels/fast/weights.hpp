// Linear layers and convolutions with packed weights, forward only.
//
// G operations/s of one thread and the fraction of the peak of its instruction (AMD Zen 4: 117 fp32, 234 bf16, 472
// 8-bit; g++ 12 -O3 -march=native; the fastest of many runs by processor time, on a busy machine; convolutions
// directly, not through winograd.hpp):
//                                      f32, f16         bf16             q8
//   linear 4096 x  320 ->  320         114   96 %       225   95 %       311   66 %
//   linear 1024 x  640 ->  640         113   96 %       224   95 %       333   70 %
//   linear  256 x 1280 -> 1280         114   96 %       224   95 %       337   71 %
//   linear 4096 x 1280 ->  320         112   95 %       224   95 %       329   70 %
//   linear 4096 x  320 -> 2560         113   96 %       226   96 %       321   68 %
//   linear   77 x  768 -> 3072         111   94 %       222   94 %       334   70 %
//   linear    1 x 1280 -> 1280          21               53               94          (weights read at 42, 53, 48 GB/s)
//   3x3 320 -> 320 at 64 x 64          107   91 %       204   87 %       307   65 %
//   3x3 640 -> 640 at 32 x 32          109   93 %       209   89 %       327   69 %
//   3x3 1280 -> 1280 at 16 x 16        111   95 %       218   93 %       340   72 %
//   3x3 1280 -> 1280 at 8 x 8          108   92 %       207   88 %       333   71 %
//   3x3 512 -> 512 at 64 x 64          108   92 %       207   88 %       315   67 %
//   3x3 128 -> 128 at 256 x 256        100   85 %       181   77 %       250   53 %
//   1x1 320 -> 320 at 64 x 64          112   95 %       219   93 %       282   60 %
//   1x1 640 -> 640 at 32 x 32          114   96 %       225   95 %       323   68 %
//   1x1 1280 -> 1280 at 16 x 16        113   95 %       227   96 %       345   73 %
//   1x1 256 -> 128 at 512 x 512        109   92 %       207   88 %       181   38 %
// What each idea brought (linear 4096 x 320 -> 320, 3x3 320 -> 320 at 64 x 64):
//                                                              f32           bf16          q8
//   weights packed once                                        100  100      175  173      128  127
//   prefetching in shares, whole tiles written without tests   104  101      183  189      137  150
//   patches copied by pieces that stay in registers; q8:
//   integer sums in registers, blocks of 64 instead of 32       -    -       183  193      248  290
//   prefetching one line at a time while multiplying           108  107      208  203      275  294
//   tiles and their writing apart from the loops (gemm.hpp);
//   linear layers only: blocks of 896 KB                       112           217           298
//   tiles go to C straight from their registers (gemm.hpp)     114           225           311
// and for 1x1 convolutions (320 -> 320 at 64 x 64), whose image lies in lines of 16 KB:
//   as above                                                     103           188
//   weights and images in large pages                            105           196
//   the rows of all panels read in order, not panel by panel     106           202
//   the next 4 rows fetched instead of 16, which evicted each other: they fall into the same cache sets
//                                                                107           205
//   the next block packed while one is multiplied                109           208   (right_blocks.hpp)
//   tiles and their writing apart from the loops                 110           213
//   tiles go to C straight from their registers, blocks of 128 KB
//                                                                112           219
// The rows of 3x3 are older than the last three steps. With few output channels (128) each number of the image is used
// too rarely for what it costs to pack it: 256 -> 128 at 512 x 512 would reach 221 with bf16 if packing took no time.
#pragma once
#include "inkling/kernels/fast/conv.hpp"  // first

#include <concepts>

#include "inkling/kernels/fast/linear.hpp"
#include "inkling/kernels/fast/stored_operands.hpp"

namespace inkling::kernels::fast {

// What follows the product while its tiles are in the cache: f(start + product + bias), each only if there is one.
struct PackedEpilogue {
  const float* bias = nullptr;
  void (*function)(float* x, Index n) = nullptr;
  const float* start = nullptr;  // laid out as the result, which may be written over it
};

// Y [M, Out] = X [M, K] W^T, and the epilogue
template <WeightType type>
void packed_linear(Index M, const float* x, const PackedWeight& w, const PackedEpilogue& e, float* y) {
  gemm<Unit<type, WeightUse::linear>>(M, w.out(), w.depth(), left_activations<type>(x, w.depth()),
                                      RightWeight<type>(w), MatrixOut<float>{y, w.out()}, false,
                                      BiasThen<float, ColumnBias<float>>{{e.bias}, e.function}, e.start);
}
// Y = W P, and the epilogue; y [N, O, OH, OW]
template <WeightType type>
void packed_conv(const Patches<float>& P, const PackedWeight& w, const PackedEpilogue& e, float* y) {
  const Index O = w.out(), pixels = P.OH * P.OW;
  gemm<Unit<type, WeightUse::convolution>>(O, P.columns(), P.rows(), LeftWeight<type>(w), right_activations<type>(P),
                                           PixelsOut<float>{y, pixels, O * pixels, P.OW, P.OH, P.OW}, false,
                                           BiasThen<float, RowBias<float>>{{e.bias}, e.function}, e.start);
}

// The filters of a packed weight of 3 x 3 convolutions, widened to float for winograd.hpp. Stored panels lie as it
// wants them.
inline winograd::Filters packed_filters(const PackedWeight& w) {
  return [&w](Index o, Index, Index c, Index count, float* out) {
    const float* found = out;
    with_weight_type(w.type(), [&](auto type) {
      using Panel = StoredPanel<decltype(type)::value>;
      const StoredLayout<decltype(type)::value> layout(w.out(), w.depth(), WeightUse::convolution);
      const Index lanes = layout.lanes, end = (c + count) * 9;
      for (Index k = c * 9; k < end;) {  // one block of the panel after the other, each from a whole granule on
        const Index inside = k % layout.blocks.step, depth = std::min(end - k, layout.blocks.step - inside);
        const Index before = inside % Panel::granule;
        const std::byte* from = w.data() + layout.offset(k, o / lanes) + Panel::bytes(lanes, inside - before);
        if constexpr (decltype(type)::value == WeightType::f32)
          if (depth == count * 9) {
            found = reinterpret_cast<const float*>(from);
            return;
          }
        if (before == 0) {
          Panel::widen(from, lanes, depth, out);
        } else {
          float* piece = workspace<float, 7>((count * 9 + Panel::granule) * lanes);
          Panel::widen(from, lanes, before + depth, piece);
          std::copy_n(piece + before * lanes, depth * lanes, out);
        }
        out += depth * lanes;
        k += depth;
      }
    });
    return found;
  };
}

// x [..., K], w [Out, K], start [..., Out] -> y [..., Out], which may be the same memory as start
template <std::size_t N>
void linear_into(const Tensor<float, N>& x, const PackedWeight& w, const PackedEpilogue& e, Tensor<float, N>& y) {
  with_weight_type(w.type(), [&](auto type) {
    packed_linear<type>(row_count(x.shape()), x.data(), w, e, y.data());
  });
}
// x [N, C, H, W], w [O, C, KH, KW] = w_shape, start [N, O, OH, OW] -> y [N, O, OH, OW], which may be start's memory
template <std::same_as<float> T>
void conv2d_into(const Tensor<T, 4>& x, const PackedWeight& w, const Shape<4>& w_shape, const Conv2dOptions& o,
                 const PackedEpilogue& epilogue, Tensor<T, 4>& y) {
  // Products of bf16 are about twice as fast as those of floats, of 8-bit integers up to four times, where the
  // processor has them.
  double speed = 1;
  with_weight_type(w.type(), [&](auto type) {
    speed = static_cast<double>(Arithmetic<Unit<type, WeightUse::convolution>>::numbers);
  });
  if (const auto p = winograd::problem(x.shape(), w_shape, y.shape(), o, speed)) {
    winograd::convolve(*p, x.data(), packed_filters(w), false, epilogue.bias, y.data(), epilogue.start);
    if (epilogue.function) {  // several slices of channels are added up first
      const Index pieces = (y.size() + piece_size - 1) / piece_size;
      parallel_for(pieces, 4 * piece_size, [&](Index i) {
        epilogue.function(y.data() + i * piece_size, std::min(piece_size, y.size() - i * piece_size));
      });
    }
    return;
  }
  const Patches<float> P = conv_patches(x, w_shape, y.shape(2), y.shape(3), o, 0);
  with_weight_type(w.type(), [&](auto type) { packed_conv<type>(P, w, epilogue, y.data()); });
}

// x [..., K], w [Out, K], bias [Out] or nullptr -> y [..., Out]
template <std::size_t N>
Tensor<float, N> linear(const Tensor<float, N>& x, const PackedWeight& w, const Tensor<float, 1>* bias) {
  if (w.use() == WeightUse::gated)  // its panels are not in the order of y: fused.hpp has the product that wants them
    return linear(x, unpacked(w, Shape<2>{w.out(), w.depth()}, WeightUse::linear, "linear"), bias);
  require_use(w, WeightUse::linear, "linear");
  Tensor<float, N> y(linear_output_shape(x.shape(), Shape<2>{w.out(), w.depth()}), uninitialized);
  require_vector(bias, w.out(), "linear bias");
  linear_into(x, w, {bias ? bias->data() : nullptr}, y);
  return y;
}

// x [N, C, H, W], w [O, C/G, KH, KW] = w_shape, bias [O] or nullptr -> y [N, O, OH, OW]
inline Tensor<float, 4> conv2d(const Tensor<float, 4>& x, const PackedWeight& w, const Shape<4>& w_shape,
                               const Tensor<float, 1>* bias, const Conv2dOptions& o) {
  if (o.groups != 1)  // a panel of weights could belong to two groups; no large network has any
    return conv2d(x, unpacked(w, w_shape, WeightUse::convolution, "conv2d"), bias, o);
  require_packed_shape(w, w_shape, WeightUse::convolution, "conv2d");
  Tensor<float, 4> y(conv2d_output_shape(x.shape(), w_shape, o), uninitialized);
  require_vector(bias, w_shape[0], "conv2d bias");
  conv2d_into(x, w, w_shape, o, {bias ? bias->data() : nullptr}, y);
  return y;
}

}  // namespace inkling::kernels::fast
