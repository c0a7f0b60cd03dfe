// OpenBLAS for bench/compare.sh: linear layers and convolutions as one sgemm. It has neither convolution nor packed
// weights: a 3x3 convolution first copies its patches into a matrix (im2col), as frameworks on a BLAS do.
#include <cblas.h>

#include "server.hpp"

namespace {

// p [C * K * K, OH * OW]: row (c, a, b) holds the pixels that tap (a, b) of channel c meets.
void im2col(const float* x, long C, long H, long W, long K, long stride, long OH, long OW, float* p) {
#pragma omp parallel for
  for (long row = 0; row < C * K * K; ++row) {
    const long c = row / (K * K), a = row / K % K, b = row % K;
    float* to = p + row * OH * OW;
    for (long i = 0; i < OH; ++i) {
      const long h = i * stride - K / 2 + a;
      for (long j = 0; j < OW; ++j) {
        const long w = j * stride - K / 2 + b;
        *to++ = h >= 0 && h < H && w >= 0 && w < W ? x[(c * H + h) * W + w] : 0.0F;
      }
    }
  }
}

compare::Call prepare(const compare::Shape& s) {
  if (s.type != "f32") return {};
  if (s.kind == "linear") {
    const long rows = s.size.at(0), in = s.size.at(1), out = s.size.at(2);
    return [=, x = compare::numbers(rows * in), w = compare::numbers(out * in),
            y = compare::numbers(rows * out)]() mutable {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<blasint>(rows), static_cast<blasint>(out),
                  static_cast<blasint>(in), 1, x.data(), static_cast<blasint>(in), w.data(), static_cast<blasint>(in), 0,
                  y.data(), static_cast<blasint>(out));
    };
  }
  if (s.kind == "conv") {
    const long N = s.size.at(0), C = s.size.at(1), H = s.size.at(2), W = s.size.at(3), O = s.size.at(4),
               K = s.size.at(5), stride = s.size.at(6), OH = (H - 1) / stride + 1, OW = (W - 1) / stride + 1;
    return [=, x = compare::numbers(N * C * H * W), w = compare::numbers(O * C * K * K),
            patches = compare::numbers(K == 1 && stride == 1 ? 0 : C * K * K * OH * OW),
            y = compare::numbers(N * O * OH * OW)]() mutable {
      for (long n = 0; n < N; ++n) {
        const float* p = x.data() + n * C * H * W;
        if (!patches.empty()) {
          im2col(p, C, H, W, K, stride, OH, OW, patches.data());
          p = patches.data();
        }
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<blasint>(O), static_cast<blasint>(OH * OW),
                    static_cast<blasint>(C * K * K), 1, w.data(), static_cast<blasint>(C * K * K), p,
                    static_cast<blasint>(OH * OW), 0, y.data() + n * O * OH * OW, static_cast<blasint>(OH * OW));
      }
    };
  }
  return {};
}

}  // namespace

int main() { return compare::serve(prepare); }
