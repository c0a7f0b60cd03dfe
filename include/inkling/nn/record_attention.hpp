// Who looks at whom while a model runs: the attention of its layers as numbers.
#pragma once
#include <map>
#include <string>
#include <utility>

#include "inkling/kernels/kernels.hpp"
#include "inkling/nn/observer.hpp"

namespace inkling {

// Runs work(), in which `model` is called without gradients, and returns for each attention layer, by its path, the shares
// it gave: [N, A, L, S], row l of a head sums to 1. Of a layer that is called several times, the last.
template <class T, class Module, class Work>
std::map<std::string, Tensor<T, 4>> recorded_attention(Module& model, Work&& work) {
  std::map<std::string, Tensor<T, 4>> found;
  Observer<T> observer;
  observer.watch(model);
  observer.on_attention = [&](const std::string& path, const Tensor<T, 3>& q, const Tensor<T, 3>& k,
                              const kernels::AttentionOptions& options) {
    found.insert_or_assign(path, kernels::attention_probabilities(q, k, options));
  };
  const NoGrad no_grad;
  const Observation<T> watching(observer);
  std::forward<Work>(work)();
  return found;
}

}  // namespace inkling
