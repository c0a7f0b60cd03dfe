// Losses: a tensor in, one number out (or one for each item of the batch).
#pragma once
#include "inkling/autograd/variable.hpp"
#include "inkling/kernels/kernels.hpp"

namespace inkling {

// mean of (x - target)^2 over all elements
template <class T, std::size_t N>
Variable<T, 0> mse_loss(const Variable<T, N>& x, const Tensor<T, N>& target) {
  return record(
      kernels::mse(x.value(), target),
      [x, target](const Tensor<T, 0>& dy) { x.accumulate(kernels::mse_backward(dy(), x.value(), target)); }, x);
}

// mean over n of weights[n] * (mean square of x[n] - target[n]): min-SNR weighting and the like
template <class T, std::size_t N>
Variable<T, 0> weighted_mse_loss(const Variable<T, N>& x, const Tensor<T, N>& target, const Tensor<T, 1>& weights) {
  require_shape(target.shape(), x.shape(), "weighted_mse_loss target");
  require_shape(weights.shape(), Shape<1>{x.shape(0)}, "weighted_mse_loss weights");
  const Index batch = x.shape(0), items = batch ? x.value().size() / batch : 0;
  T loss = 0;
  for (Index n = 0; n < batch; ++n) {
    T sum = 0;
    for (Index i = n * items; i < (n + 1) * items; ++i) {
      const T difference = x.value().data()[i] - target.data()[i];
      sum += difference * difference;
    }
    loss += weights(n) * sum / T(items) / T(batch);
  }
  return record(
      Tensor<T, 0>({}, loss),
      [x, target, weights, batch, items](const Tensor<T, 0>& dy) {
        // dL/dx_i = 2 w_n (x_i - target_i) / (batch * items)
        Tensor<T, N> dx(x.shape(), uninitialized);
        for (Index i = 0; i < dx.size(); ++i)
          dx.data()[i] = dy() * T(2) * weights(i / items) * (x.value().data()[i] - target.data()[i]) / T(batch * items);
        x.accumulate(std::move(dx));
      },
      x);
}

template <class T, std::size_t N>
Variable<T, 0> l1_loss(const Variable<T, N>& x, const Tensor<T, N>& target) {
  return record(
      kernels::l1(x.value(), target),
      [x, target](const Tensor<T, 0>& dy) { x.accumulate(kernels::l1_backward(dy(), x.value(), target)); }, x);
}

// logits[N, C], class ids[N]: mean of -log softmax(logits)[id]
template <class T>
Variable<T, 0> cross_entropy_loss(const Variable<T, 2>& logits, const Tensor<std::int64_t, 1>& ids,
                                  T label_smoothing = T(0)) {
  return record(
      kernels::cross_entropy(logits.value(), ids, label_smoothing),
      [logits, ids, label_smoothing](const Tensor<T, 0>& dy) {
        logits.accumulate(kernels::cross_entropy_backward(dy(), logits.value(), ids, label_smoothing));
      },
      logits);
}

template <class T, std::size_t N>
Variable<T, 0> bce_with_logits_loss(const Variable<T, N>& logits, const Tensor<T, N>& target) {
  return record(
      kernels::bce_with_logits(logits.value(), target),
      [logits, target](const Tensor<T, 0>& dy) {
        logits.accumulate(kernels::bce_with_logits_backward(dy(), logits.value(), target));
      },
      logits);
}

// moments[N, 2C, H, W] = (mean, log variance): KL(N(mean, var) || N(0, 1)) of each image -> [N]
template <class T>
Variable<T, 1> kl_diagonal_gaussian(const Variable<T, 4>& moments) {
  return record(
      kernels::kl_diagonal_gaussian(moments.value()),
      [moments](const Tensor<T, 1>& dkl) {
        moments.accumulate(kernels::kl_diagonal_gaussian_backward(dkl, moments.value()));
      },
      moments);
}

// mean over all elements
template <class T, std::size_t N>
Variable<T, 0> mean(const Variable<T, N>& x) {
  T sum = 0;
  for (const T& v : x.value()) sum += v;
  const T count = T(x.value().size());
  return record(
      Tensor<T, 0>({}, sum / count),
      [x, count](const Tensor<T, 0>& dy) { x.accumulate(Tensor<T, N>(x.shape(), dy() / count)); }, x);
}

}  // namespace inkling
