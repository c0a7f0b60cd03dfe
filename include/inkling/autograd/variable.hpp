// Reverse-mode automatic differentiation on tensors.
//
// Every operation on Variables computes its value at once and, unless NoGrad is in force, remembers its inputs and
// one function: "given dL/d(output), add to dL/d(each input)". backward() calls these functions from the loss back
// to the leaves; that is the chain rule, in the one order that visits every node once (Baydin et al. 2018, section 3.2).
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "inkling/core/tensor.hpp"

namespace inkling {

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
  std::optional<Tensor<T, N>> grad;
  std::function<void(const Tensor<T, N>&)> backward;  // empty in a leaf

  void propagate() override {
    if (!backward) return;  // a leaf keeps its gradient: it is what the caller wanted
    if (grad) backward(*grad);
    grad.reset();
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
    node_->value = std::move(value);
    node_->requires_grad = requires_grad;
  }

  bool defined() const noexcept { return node_ != nullptr; }
  const Tensor<T, N>& value() const { return node().value; }
  Tensor<T, N>& mutable_value() { return node().value; }
  const Tensor<T, N>* pointer() const noexcept { return node_ ? &node_->value : nullptr; }
  const Shape<N>& shape() const { return node().value.shape(); }
  Index shape(std::size_t d) const { return node().value.shape(d); }

  bool requires_grad() const noexcept { return node_ && node_->requires_grad; }
  void set_requires_grad(bool on) { node().requires_grad = on; }
  bool has_grad() const noexcept { return node_ && node_->grad.has_value(); }
  const Tensor<T, N>& grad() const {
    if (!has_grad()) throw Error("Variable::grad", "a gradient", "none", "call backward(loss) first");
    return *node_->grad;
  }
  void zero_grad() { node().grad.reset(); }
  void set_grad(Tensor<T, N> grad) { node().grad = std::move(grad); }

  // dL/dx += g: an input that is used twice receives two contributions.
  void accumulate(Tensor<T, N> g) const {
    if (!requires_grad()) return;
    require_shape(g.shape(), shape(), "gradient");
    auto& grad = node_->grad;
    if (!grad) {
      grad = std::move(g);
      return;
    }
    T* into = grad->data();
    const T* from = g.data();
    for (Index i = 0; i < g.size(); ++i) into[i] += from[i];
  }

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
