// Parameters and modules.
//
// A module is a plain struct with typed members, a forward(), and one visit() that names the members as they are
// named in checkpoints. Loading, saving, counting, optimisers, EMA, freezing and printing all go through visit().
#pragma once
#include "inkling/kernels/weights.hpp"  // first: it reads the processor's intrinsics

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "inkling/autograd/variable.hpp"
#include "inkling/core/random.hpp"

namespace inkling {

// A weight tensor. It knows its shape before it has storage, so a model of any size can be built, counted and
// compared with a file without allocating it.
//
// A weight that is only read may be packed instead of being a tensor: kept in the order and in the number type that the
// kernels multiply by. Layers see the difference, models do not. Whoever writes to a packed parameter, or wants to train
// it, unpacks it thereby, for good: the numbers stay those that the forward used.
template <class T, std::size_t N>
class Parameter {
 public:
  using value_type = T;
  static constexpr std::size_t rank = N;
  // Only float matrices and convolution kernels have a packed form.
  static constexpr bool has_packed_form = std::is_same_v<T, float> && (N == 2 || N == 4);

  Parameter() = default;
  // `use`: how the layer multiplies by the weight, where it can do so with a packed one
  explicit Parameter(const Shape<N>& shape, std::optional<kernels::WeightUse> use = {}) : shape_(shape), use_(use) {}

  const Shape<N>& shape() const noexcept { return shape_; }
  Index size() const { return checked_size(shape_, "Parameter"); }
  // Memory that the weights take.
  Index bytes() const {
    return packed() ? packed_.bytes() : variable_.defined() ? size() * static_cast<Index>(sizeof(T)) : 0;
  }

  bool allocated() const noexcept { return variable_.defined() || packed(); }
  void allocate() {
    if (packed()) unpack();
    if (!allocated()) variable_ = Variable<T, N>(Tensor<T, N>(shape_), trainable_);
  }
  void release() {
    variable_ = Variable<T, N>();
    packed_ = kernels::PackedWeight();
  }

  // The tensor; the first write access gives it storage (zeros).
  Tensor<T, N>& value() {
    allocate();
    return variable_.mutable_value();
  }
  // A copy of the numbers, packed or not.
  Tensor<T, N> copy() const {
    if constexpr (has_packed_form)
      if (packed()) return kernels::unpacked(packed_, shape_, packed_.use(), "parameter");
    return variable().value();
  }
  // The handle that operations take.
  const Variable<T, N>& variable() const {
    if (packed())
      throw LoadError("parameter " + to_string(shape_), "a tensor",
                      "weights packed as " + kernels::to_string(packed_.type()), "value() unpacks them, copy() reads them");
    if (!allocated())
      throw LoadError("parameter " + to_string(shape_), "weights", "none",
                      "load a checkpoint or call initialize() before the first forward");
    return variable_;
  }

  bool packable() const noexcept { return has_packed_form && use_.has_value(); }
  bool packed() const noexcept { return !packed_.empty(); }
  const kernels::PackedWeight& packed_weight() const noexcept { return packed_; }
  // Takes numbers [shape()] as packed weights in place of the tensor. S: float, half or bfloat16.
  template <class S>
    requires has_packed_form
  void pack(const S* numbers, kernels::WeightType type) {
    const std::string where = "packing parameter " + to_string(shape_);
    if (!use_) throw ConfigError(where, "the weight of a linear layer or of a convolution without groups", "another");
    if (trainable_) throw ConfigError(where, "a frozen parameter", "a trainable one", "set_trainable(model, false) first");
    packed_ = kernels::PackedWeight(shape_[0], size() / std::max<Index>(1, shape_[0]), numbers, type, *use_);
    variable_ = Variable<T, N>();
  }
  void unpack() {
    if (!packed()) return;
    variable_ = Variable<T, N>(copy(), trainable_);
    packed_ = kernels::PackedWeight();
  }

  // A frozen parameter gets no gradient. Parameters start frozen: only who trains pays for training.
  bool trainable() const noexcept { return trainable_; }
  void set_trainable(bool on) {
    trainable_ = on;
    if (on) unpack();
    if (variable_.defined()) variable_.set_requires_grad(on);
  }
  void zero_grad() {
    if (variable_.defined()) variable_.zero_grad();
  }

 private:
  Shape<N> shape_{};
  Variable<T, N> variable_;
  kernels::PackedWeight packed_;  // in its place
  std::optional<kernels::WeightUse> use_;
  bool trainable_ = false;
};

namespace detail {
template <class M>
struct IsParameter : std::false_type {};
template <class T, std::size_t N>
struct IsParameter<Parameter<T, N>> : std::true_type {};

// Calls parameter(path, p) for every parameter and module(path, m) for every module, in the order of visit().
template <class OnParameter, class OnModule>
struct Walker {
  OnParameter& on_parameter;
  OnModule& on_module;
  std::string path;

  template <class M>
  void operator()(std::string_view name, M& member) const {
    std::string child = path;
    if (!child.empty() && !name.empty()) child += '.';
    child += name;
    if constexpr (IsParameter<M>::value) {
      on_parameter(std::as_const(child), member);
    } else {
      on_module(std::as_const(child), member);
      member.visit(Walker{on_parameter, on_module, child});
    }
  }
  template <class M>
  void operator()(std::string_view name, std::optional<M>& member) const {
    if (member) (*this)(name, *member);
  }
  template <class M>
  void operator()(std::string_view name, std::vector<M>& members) const {
    for (std::size_t i = 0; i < members.size(); ++i) (*this)(std::string(name) + "." + std::to_string(i), members[i]);
  }
};
}  // namespace detail

// function(path, parameter) for every parameter, e.g. ("down_blocks.1.resnets.0.conv1.weight", Parameter<float, 4>&)
template <class Module, class Function>
void for_each_parameter(Module& module, Function&& function, const std::string& prefix = {}) {
  auto no_module = [](const std::string&, auto&) {};
  module.visit(detail::Walker<Function, decltype(no_module)>{function, no_module, prefix});
}
// function(path, module) for every module inside, outermost first
template <class Module, class Function>
void for_each_module(Module& module, Function&& function, const std::string& prefix = {}) {
  auto no_parameter = [](const std::string&, auto&) {};
  module.visit(detail::Walker<decltype(no_parameter), Function>{no_parameter, function, prefix});
}

// How many numbers a module holds, whether it has storage or not.
template <class Module>
Index count_parameters(Module& module) {
  Index total = 0;
  for_each_parameter(module, [&](const std::string&, auto& p) { total += p.size(); });
  return total;
}
// Packs every weight that a layer can multiply by in packed form; the others stay tensors.
template <class Module>
void pack_parameters(Module& module, kernels::WeightType type) {
  for_each_parameter(module, [&](const std::string&, auto& p) {
    if constexpr (std::remove_reference_t<decltype(p)>::has_packed_form)
      if (p.packable() && p.allocated()) p.pack(p.value().data(), type);
  });
}
// How many bytes its weights take.
template <class Module>
Index parameter_bytes(Module& module) {
  Index total = 0;
  for_each_parameter(module, [&](const std::string&, auto& p) { total += p.bytes(); });
  return total;
}
// Gives the memory of the weights back: the module must be loaded again before its next forward.
template <class Module>
void release_parameters(Module& module) {
  for_each_parameter(module, [](const std::string&, auto& p) { p.release(); });
}
template <class Module>
void set_trainable(Module& module, bool on) {
  for_each_parameter(module, [&](const std::string&, auto& p) { p.set_trainable(on); });
}
template <class Module>
void zero_grad(Module& module) {
  for_each_parameter(module, [](const std::string&, auto& p) { p.zero_grad(); });
}
// Fresh weights: every layer that has a rule of its own (reset_parameters) draws them from the generator, in order.
template <class Module>
void initialize(Module& module, Generator& generator) {
  if constexpr (requires { module.reset_parameters(generator); }) module.reset_parameters(generator);
  for_each_module(module, [&](const std::string&, auto& m) {
    if constexpr (requires { m.reset_parameters(generator); }) m.reset_parameters(generator);
  });
}

}  // namespace inkling
