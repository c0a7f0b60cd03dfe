// Reverse-mode automatic differentiation on tensors.
//
// Every operation on Variables computes its value at once and, unless NoGrad is in force, remembers its inputs and
// one function: "given dL/d(output), add to dL/d(each input)". backward() calls these functions from the loss back
// to the leaves; that is the chain rule, in the one order that visits every node once (Baydin et al. 2018, section 3.2).
#pragma once
#include <functional>
#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include "inkling/core/tensor.hpp"
#include "inkling/kernels/fast/vector.hpp"

namespace inkling {

namespace detail {
// sum[i] = a[i] + b[i]
template <class T>
void add_numbers(Index n, const T* a, const T* b, T* sum) {
  using kernels::fast::Vec;
  kernels::fast::parallel_map(n, 1, sum, [](const Vec<T>& x, const Vec<T>& y) { return x + y; }, a, b);
}
}  // namespace detail

// dL/dy on its way back. y = a + b hands the same numbers to a and to b, so several variables may share one gradient;
// it is copied only when one of them has to write to it.
template <class T, std::size_t N>
class Gradient {
 public:
  Gradient() = default;
  explicit Gradient(Tensor<T, N> g) : shared_(std::make_shared<Tensor<T, N>>(std::move(g))) {}

  explicit operator bool() const noexcept { return shared_ != nullptr; }
  const Tensor<T, N>& operator*() const noexcept { return *shared_; }
  operator const Tensor<T, N>&() const noexcept { return *shared_; }  // so that a backward may ask for the tensor

  // The tensor to write to or to keep: moved out when nobody else holds it, otherwise a copy.
  Tensor<T, N> take() && {
    const std::shared_ptr<Tensor<T, N>> mine = std::move(shared_);
    return mine.use_count() == 1 ? std::move(*mine) : *mine;
  }
  // The tensor when nobody else holds it, otherwise nothing (and this keeps its share).
  Tensor<T, N> take_if_alone() {
    if (shared_.use_count() != 1) return {};
    return std::move(*std::exchange(shared_, nullptr));
  }
  // this + g
  void add(const Tensor<T, N>& g) {
    if (shared_.use_count() != 1) {
      auto sum = std::make_shared<Tensor<T, N>>(g.shape(), uninitialized);
      add_into(*shared_, g, *sum);
      shared_ = std::move(sum);
    } else {
      add_into(*shared_, g, *shared_);
    }
  }

 private:
  static void add_into(const Tensor<T, N>& a, const Tensor<T, N>& b, Tensor<T, N>& sum) {
    detail::add_numbers(a.size(), a.data(), b.data(), sum.data());
  }
  std::shared_ptr<Tensor<T, N>> shared_;
};

namespace detail {

struct Node {
  virtual ~Node() = default;
  // Hands this node's gradient to its inputs, then forgets gradient, inputs and function: nobody needs them again.
  virtual void propagate() = 0;

  std::vector<std::shared_ptr<Node>> inputs;
  bool requires_grad = false;
};

template <class T, std::size_t N>
struct VariableNode final : Node {
  Tensor<T, N> value;
  Shape<N> shape{};  // that of the value, also after the value was given away
  Gradient<T, N> grad;
  std::function<void(Gradient<T, N>)> backward;  // empty in a leaf
  bool reads_value = false;                      // the backward does

  void propagate() override {
    if (!backward) return;  // a leaf keeps its gradient: it is what the caller wanted
    if (grad) backward(std::exchange(grad, {}));
    backward = nullptr;
    inputs.clear();
  }
};

inline bool& grad_enabled() {
  thread_local bool enabled = true;
  return enabled;
}

}  // namespace detail

// While it lives, nothing is recorded on this thread: an intermediate dies at its last use, so memory in inference
// is what the architecture needs.
class NoGrad {
 public:
  NoGrad() : before_(std::exchange(detail::grad_enabled(), false)) {}
  ~NoGrad() { detail::grad_enabled() = before_; }
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

// A handle to a value in the graph. Copying a Variable copies the handle, not the tensor.
template <class T, std::size_t N>
class Variable {
 public:
  using value_type = T;
  using NodeType = detail::VariableNode<T, N>;
  static constexpr std::size_t rank = N;

  Variable() = default;  // undefined: stands for "no bias"
  explicit Variable(Tensor<T, N> value, bool requires_grad = false) : node_(std::make_shared<NodeType>()) {
    node_->shape = value.shape();
    node_->value = std::move(value);
    node_->requires_grad = requires_grad;
  }

  bool defined() const noexcept { return node_ != nullptr; }
  const Tensor<T, N>& value() const { return node().value; }
  Tensor<T, N>& mutable_value() { return node().value; }
  const Tensor<T, N>* pointer() const noexcept { return node_ ? &node_->value : nullptr; }
  const Shape<N>& shape() const { return node().shape; }
  Index shape(std::size_t d) const { return node().shape.at(d); }

  bool requires_grad() const noexcept { return node_ && node_->requires_grad; }
  void set_requires_grad(bool on) { node().requires_grad = on; }
  bool has_grad() const noexcept { return node_ && node_->grad; }
  const Tensor<T, N>& grad() const {
    if (!has_grad()) throw Error("Variable::grad", "a gradient", "none", "call backward(loss) first");
    return *node_->grad;
  }
  void zero_grad() { node().grad = {}; }
  void set_grad(Tensor<T, N> grad) { node().grad = Gradient<T, N>(std::move(grad)); }

  // dL/dx += g: an input that is used twice receives two contributions. The first one is moved in.
  void accumulate(Tensor<T, N> g) const {
    if (!requires_grad()) return;
    require_shape(g.shape(), shape(), "gradient");
    if (node_->grad)
      node_->grad.add(g);
    else
      node_->grad = Gradient<T, N>(std::move(g));
  }
  void accumulate(const Gradient<T, N>& g) const {
    if (!requires_grad()) return;
    require_shape((*g).shape(), shape(), "gradient");
    if (node_->grad)
      node_->grad.add(*g);
    else
      node_->grad = g;
  }
  // The contributions so far, for a kernel that adds its own while it writes; empty when there are none to be had.
  // What the kernel returns goes to accumulate().
  Tensor<T, N> take_grad() const { return has_grad() ? node_->grad.take_if_alone() : Tensor<T, N>(); }

  // Nobody but this handle can see the value, and no backward will: an operation may write its result over it.
  bool disposable() const noexcept {
    return node_.use_count() == 1 && !node_->reads_value && (node_->backward || !node_->requires_grad);
  }
  // Gives the value away. What remains is the node in the graph.
  Tensor<T, N> take_value() { return std::move(node().value); }

  // The same value, cut off from the graph.
  Variable detach() const { return Variable(value()); }

  const std::shared_ptr<NodeType>& handle() const { return node_; }

 private:
  NodeType& node() const {
    if (!node_) throw Error("Variable", "a value", "an undefined variable");
    return *node_;
  }
  std::shared_ptr<NodeType> node_;
};

// Makes the result of an operation: `backward(dy)` must call accumulate() on those inputs that require a gradient.
template <class T, std::size_t N, class Backward, class... Inputs>
Variable<T, N> record(Tensor<T, N> y, Backward&& backward, const Inputs&... inputs) {
  Variable<T, N> out(std::move(y));
  if (detail::grad_enabled() && (inputs.requires_grad() || ...)) {
    auto& node = *out.handle();
    node.requires_grad = true;
    node.backward = std::forward<Backward>(backward);
    (void(inputs.requires_grad() ? node.inputs.push_back(inputs.handle()) : void()), ...);
  }
  return out;
}

// The same for a backward(dy, y) that reads the result again: y stands in the node, nothing is copied.
template <class T, std::size_t N, class Backward, class... Inputs>
Variable<T, N> record_with_result(Tensor<T, N> y, Backward&& backward, const Inputs&... inputs) {
  Variable<T, N> out = record(std::move(y), [](const Tensor<T, N>&) {}, inputs...);
  if (auto& node = *out.handle(); node.requires_grad) {
    node.reads_value = true;
    // `node` owns this function, so it is there as long as the function is.
    node.backward = [f = std::forward<Backward>(backward), &node](const Tensor<T, N>& dy) { f(dy, node.value); };
  }
  return out;
}

// dL/dL = 1, and from there back to every leaf. The graph is used up on the way, so its memory is returned early.
template <class T, std::size_t N>
void backward(const Variable<T, N>& output, Tensor<T, N> seed) {
  require_shape(seed.shape(), output.shape(), "backward seed");
  if (!output.requires_grad())
    throw Error("backward", "an output that depends on something with requires_grad", "none",
                "is NoGrad in force, or are all parameters frozen?");
  output.accumulate(std::move(seed));
  // Depth-first postorder, without recursion: a deep network must not overflow the stack.
  std::vector<std::shared_ptr<detail::Node>> order;
  std::unordered_set<detail::Node*> seen;
  std::vector<std::pair<std::shared_ptr<detail::Node>, std::size_t>> stack;
  stack.emplace_back(output.handle(), 0);
  seen.insert(output.handle().get());
  while (!stack.empty()) {
    auto& [node, next] = stack.back();
    if (next < node->inputs.size()) {
      const std::shared_ptr<detail::Node> input = node->inputs[next++];
      if (seen.insert(input.get()).second) stack.emplace_back(input, 0);
    } else {
      order.push_back(std::move(node));
      stack.pop_back();
    }
  }
  while (!order.empty()) {  // from the output towards the leaves
    const std::shared_ptr<detail::Node> node = std::move(order.back());
    order.pop_back();
    node->propagate();
  }
}
template <class T>
void backward(const Variable<T, 0>& loss) {
  backward(loss, Tensor<T, 0>({}, T(1)));
}

}  // namespace inkling
