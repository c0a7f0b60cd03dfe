// Optimisers: how a gradient becomes a change of the weights.
//
// They see a model as a list of flat parameters with names. What they remember between steps is kept by name in
// state(), which is all that a checkpoint needs to go on as if nothing had happened.
#pragma once
#include <cmath>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inkling/core/shape.hpp"
#include "inkling/kernels/fast/vector.hpp"

namespace inkling {

template <class T>
struct ParameterView {
  std::string name;
  std::span<T> value;
  std::span<const T> grad;  // empty: no gradient in this step, so the parameter stays as it is
  T grad_factor = 1;        // the gradient that counts is grad_factor * grad; clip_gradient_norm sets it
};

// Pascanu, Mikolov & Bengio 2013, algorithm 1: a gradient longer than max_norm keeps its direction, not its length.
//   norm = sqrt(sum g^2) over all parameters together,  g <- g min(1, max_norm / (norm + 1e-6))
// Returns the norm before clipping. The gradients themselves are not written: the factor goes into the views.
template <class T>
double clip_gradient_norm(std::vector<ParameterView<T>>& parameters, double max_norm) {
  using namespace kernels::fast;
  if (!(max_norm > 0)) throw ConfigError("clip_gradient_norm", "a norm above 0", std::to_string(max_norm));
  std::vector<Index> sizes;
  for (const ParameterView<T>& p : parameters) sizes.push_back(static_cast<Index>(p.grad.size()));
  const std::vector<Piece> pieces = pieces_of(sizes, piece_size);
  std::vector<double> part(pieces.size());
  parallel_for(static_cast<Index>(pieces.size()), piece_size, [&](Index i) {
    const Piece& at = pieces[static_cast<std::size_t>(i)];
    part[static_cast<std::size_t>(i)] = sum_of<T>(at.count, [](const Vec<T>& g) { return g * g; },
                                                  parameters[at.array].grad.data() + at.begin);
  });
  double square = 0;
  for (double p : part) square += p;
  const double norm = std::sqrt(square);
  if (!std::isfinite(norm))
    throw Error("clip_gradient_norm", "finite gradients", "a norm of " + std::to_string(norm),
                "a smaller learning rate, or a look at the loss of this step");
  const double factor = std::min(1.0, max_norm / (norm + 1e-6));  // 1e-6 as in PyTorch: no division by zero
  for (ParameterView<T>& p : parameters) p.grad_factor = static_cast<T>(factor);
  return norm;
}

namespace detail {

// What every optimiser does around its formula.
template <class T>
class OptimizerBase {
 public:
  // name -> values: "m.conv1.weight", "v.conv1.weight", "step.conv1.weight". To resume, fill it before the first step.
  std::map<std::string, std::vector<T>>& state() { return state_; }
  const std::map<std::string, std::vector<T>>& state() const { return state_; }

 protected:
  // update = prepare(p) for every parameter that has a gradient, then update(begin, count) for pieces of all of them:
  // one parallel loop a step, not one for each of hundreds of small biases. A piece is small enough that weight,
  // gradient and moments stay in the first-level cache while one formula after another passes over them.
  template <class Prepare>
  void for_each_with_gradient(std::span<const ParameterView<T>> parameters, double learning_rate, Prepare&& prepare) {
    if (!(learning_rate >= 0 && std::isfinite(learning_rate)))
      throw ConfigError("optimiser", "a learning rate of at least 0", std::to_string(learning_rate));
    std::set<std::string_view> names;
    std::vector<decltype(prepare(parameters[0]))> updates;
    std::vector<Index> sizes;
    for (const ParameterView<T>& p : parameters) {
      if (!names.insert(p.name).second) throw ConfigError("optimiser", "each name once", p.name);
      if (p.grad.empty()) continue;
      if (p.grad.size() != p.value.size())
        throw ShapeError("optimiser: " + p.name, "a gradient of " + std::to_string(p.value.size()) + " values",
                         std::to_string(p.grad.size()));
      updates.push_back(prepare(p));
      sizes.push_back(static_cast<Index>(p.value.size()));
    }
    constexpr Index most = 1024;
    const std::vector<kernels::fast::Piece> pieces = kernels::fast::pieces_of(sizes, most);
    parallel_for(static_cast<Index>(pieces.size()), 8 * most, [&](Index i) {
      const kernels::fast::Piece& at = pieces[static_cast<std::size_t>(i)];
      updates[at.array](at.begin, at.count);
    });
  }
  // The remembered values of that kind for p; zeros at first.
  std::vector<T>& remembered(const char* kind, const ParameterView<T>& p, std::size_t size) {
    std::vector<T>& s = state_[kind + p.name];
    if (s.empty()) s.resize(size);
    if (s.size() != size)
      throw LoadError("optimiser state " + (kind + p.name), std::to_string(size) + " values", std::to_string(s.size()),
                      "a checkpoint of another model?");
    return s;
  }

 private:
  std::map<std::string, std::vector<T>> state_;
};

}  // namespace detail

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;  // lambda; here it pulls through the gradient
};
struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0.01;  // lambda; here it pulls on the weight itself
};

// Adam (Kingma & Ba 2014, algorithm 1) and AdamW (Loshchilov & Hutter 2017, algorithm 2). They differ in one line.
template <class T, class Options>
class AdamFamily : public detail::OptimizerBase<T> {
 public:
  explicit AdamFamily(const Options& options = {}) : o_(options) {
    const auto rate = [](double beta) { return beta >= 0 && beta < 1; };
    if (!rate(o_.beta1) || !rate(o_.beta2) || !(o_.eps >= 0) || !(o_.weight_decay >= 0))
      throw ConfigError("Adam", "betas from 0 to below 1, eps and weight_decay of at least 0",
                        std::to_string(o_.beta1) + ", " + std::to_string(o_.beta2) + ", " + std::to_string(o_.eps) +
                            ", " + std::to_string(o_.weight_decay));
  }
  const Options& options() const { return o_; }

  void step(std::span<const ParameterView<T>> parameters, double learning_rate) {
    using namespace kernels::fast;
    using V = Vec<T>;
    constexpr bool decoupled = std::is_same_v<Options, AdamWOptions>;
    this->for_each_with_gradient(parameters, learning_rate, [&](const ParameterView<T>& p) {
      T* m = this->remembered("m.", p, p.value.size()).data();
      T* v = this->remembered("v.", p, p.value.size()).data();
      T& t = this->remembered("step.", p, 1)[0];  // every parameter counts its own steps
      t += 1;
      const double correction1 = 1 - std::pow(o_.beta1, static_cast<double>(t));
      const double correction2 = 1 - std::pow(o_.beta2, static_cast<double>(t));
      const V beta1(static_cast<T>(o_.beta1)), rest1(static_cast<T>(1 - o_.beta1));
      const V beta2(static_cast<T>(o_.beta2)), rest2(static_cast<T>(1 - o_.beta2));
      const V clip(p.grad_factor), eps(static_cast<T>(o_.eps)), root(static_cast<T>(std::sqrt(correction2)));
      const V rate(static_cast<T>(learning_rate / correction1));
      const V lambda(static_cast<T>(o_.weight_decay)), kept(static_cast<T>(1 - learning_rate * o_.weight_decay));
      return [=, values = p.value.data(), gradients = p.grad.data()](Index begin, Index n) {
        T *theta = values + begin, *mp = m + begin, *vp = v + begin;
        const T* grad = gradients + begin;
        // Adam: g = grad + lambda theta.  AdamW leaves the decay out of the moments, which would rescale it.
        const auto g = [&](const V& gradient, const V& weight) {
          return decoupled ? clip * gradient : clip * gradient + lambda * weight;
        };
        // m = beta1 m + (1 - beta1) g
        map(n, mp, [&](const V& a, const V& d, const V& w) { return beta1 * a + rest1 * g(d, w); }, mp, grad, theta);
        // v = beta2 v + (1 - beta2) g^2
        map(
            n, vp,
            [&](const V& a, const V& d, const V& w) {
              const V gv = g(d, w);
              return beta2 * a + rest2 * gv * gv;
            },
            vp, grad, theta);
        // m_hat = m / (1 - beta1^t),  v_hat = v / (1 - beta2^t)
        // theta = theta [AdamW: (1 - rate lambda)] - rate m_hat / (sqrt(v_hat) + eps)
        map(
            n, theta,
            [&](const V& w, const V& a, const V& b) {
              using std::sqrt;
              const V moved = rate * a / (sqrt(b) / root + eps);
              return decoupled ? kept * w - moved : w - moved;
            },
            theta, mp, vp);
      };
    });
  }

 private:
  Options o_;
};

template <class T>
using Adam = AdamFamily<T, AdamOptions>;
template <class T>
using AdamW = AdamFamily<T, AdamWOptions>;

struct SgdOptions {
  double momentum = 0, weight_decay = 0;
};

// Stochastic gradient descent (Robbins & Monro 1951) with momentum (Polyak 1964), in PyTorch's form: the learning rate
// stands outside the velocity (Sutskever et al. 2013 have it inside).
template <class T>
class Sgd : public detail::OptimizerBase<T> {
 public:
  explicit Sgd(const SgdOptions& options = {}) : o_(options) {
    if (!(o_.momentum >= 0 && o_.momentum < 1) || !(o_.weight_decay >= 0))
      throw ConfigError("Sgd", "momentum from 0 to below 1 and weight_decay of at least 0",
                        std::to_string(o_.momentum) + ", " + std::to_string(o_.weight_decay));
  }
  const SgdOptions& options() const { return o_; }

  void step(std::span<const ParameterView<T>> parameters, double learning_rate) {
    using namespace kernels::fast;
    using V = Vec<T>;
    this->for_each_with_gradient(parameters, learning_rate, [&](const ParameterView<T>& p) {
      T* velocity = this->remembered("velocity.", p, p.value.size()).data();  // 0, so that the first one is g
      const V clip(p.grad_factor), lambda(static_cast<T>(o_.weight_decay)), mu(static_cast<T>(o_.momentum));
      const V rate(static_cast<T>(learning_rate));
      return [=, values = p.value.data(), gradients = p.grad.data()](Index begin, Index n) {
        T *theta = values + begin, *u = velocity + begin;
        // u = momentum u + grad + lambda theta
        map(
            n, u, [&](const V& a, const V& d, const V& w) { return mu * a + (clip * d + lambda * w); }, u,
            gradients + begin, theta);
        // theta = theta - rate u
        map(n, theta, [&](const V& w, const V& a) { return w - rate * a; }, theta, u);
      };
    });
  }

 private:
  SgdOptions o_;
};

}  // namespace inkling
