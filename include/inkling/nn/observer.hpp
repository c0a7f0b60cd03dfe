// Looking inside a running model: the output of any module, and attention, by its path in the checkpoint.
#pragma once
#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "inkling/autograd/variable.hpp"
#include "inkling/kernels/options.hpp"
#include "inkling/nn/module.hpp"

namespace inkling {

// Modules do not know their paths; the observer learns them from visit(), keyed by address and type (a struct and
// its first member share an address). While an Observation lives, modules on this thread report to it.
template <class T>
class Observer {
 public:
  // A module's output under its path; the values are valid during the call only.
  std::function<void(const std::string& path, std::span<const Index> shape, std::span<const T> values)> on_output;
  // Queries and keys of an attention layer: q[N, L, A*d], k[N, S, A*d].
  std::function<void(const std::string& path, const Tensor<T, 3>& q, const Tensor<T, 3>& k,
                     const kernels::AttentionOptions& options)>
      on_attention;
  // The same before they are used, for whoever wants other attention than the layer's own: it may put others in their
  // place, of the same shapes. on_attention sees what it left.
  std::function<void(const std::string& path, Variable<T, 3>& q, Variable<T, 3>& k)> edit_attention;

  template <class Module>
  void watch(Module& module, const std::string& prefix = {}) {
    for_each_module(
        module,
        [&](const std::string& path, auto& m) { paths_[key(m)] = path; }, prefix);
  }
  template <class Module>
  const std::string* path(const Module& module) const {
    const auto found = paths_.find(key(module));
    return found == paths_.end() ? nullptr : &found->second;
  }

  static Observer*& current() {
    thread_local Observer* observer = nullptr;
    return observer;
  }

 private:
  using Key = std::pair<const void*, std::size_t>;
  template <class Module>
  static Key key(const Module& module) {
    return {&module, typeid(Module).hash_code()};
  }
  std::map<Key, std::string> paths_;
};

// Switches an observer on for a scope.
template <class T>
class Observation {
 public:
  explicit Observation(Observer<T>& observer) : before_(std::exchange(Observer<T>::current(), &observer)) {}
  ~Observation() { Observer<T>::current() = before_; }
  Observation(const Observation&) = delete;
  Observation& operator=(const Observation&) = delete;

 private:
  Observer<T>* before_;
};

// Whether somebody looks at the outputs of modules. Then layers that could be computed in one are computed one after
// another, for what is fused has no output between them.
template <class T>
bool outputs_observed() {
  const Observer<T>* observer = Observer<T>::current();
  return observer && observer->on_output;
}
// A module ends its forward with `return observed(*this, y)`. Without an observer that is one pointer test.
template <class Module, class T, std::size_t N>
Variable<T, N> observed(const Module& module, Variable<T, N> y) {
  if (const Observer<T>* observer = Observer<T>::current(); observer && observer->on_output)
    if (const std::string* path = observer->path(module)) observer->on_output(*path, y.shape(), y.value().span());
  return y;
}
template <class Module, class T>
void observe_attention(const Module& module, Variable<T, 3>& q, Variable<T, 3>& k,
                       const kernels::AttentionOptions& options) {
  const Observer<T>* observer = Observer<T>::current();
  if (!observer || (!observer->on_attention && !observer->edit_attention)) return;
  const std::string* path = observer->path(module);
  if (path && observer->edit_attention) observer->edit_attention(*path, q, k);
  if (path && observer->on_attention) observer->on_attention(*path, q.value(), k.value(), options);
}

}  // namespace inkling
