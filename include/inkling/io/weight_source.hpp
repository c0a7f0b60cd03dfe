// Where a model's weights come from: names, shapes, and a way to read each one. A file format knows how to make
// such a list; a model only reads from it.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "inkling/io/dtype.hpp"

namespace inkling {

// Memory that waits for a tensor's elements, in the type the model stores them in.
using WeightDestination = std::variant<std::span<float>, std::span<double>, std::span<half>, std::span<bfloat16>>;

struct Weight {
  std::string name;          // as in diffusers: "down_blocks.1.resnets.0.conv1.weight"
  std::vector<Index> shape;  // as the model has it
  std::string stored_as;     // "F16 model.diffusion_model.input_blocks.4.0.in_layers.2.weight", for reports
  std::function<void(WeightDestination)> read;
  DType dtype = DType::f32;  // in the file
};

class WeightSource {
 public:
  // `where` names the file or folder in errors.
  explicit WeightSource(std::string where = "weights") : where_(std::move(where)) {}

  const std::string& where() const noexcept { return where_; }
  const std::vector<Weight>& weights() const noexcept { return weights_; }
  // nullptr when there is none of that name
  const Weight* find(const std::string& name) const {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &weights_[found->second];
  }
  void add(Weight weight) {
    if (!index_.emplace(weight.name, weights_.size()).second)
      throw LoadError(where_, "every weight once", "\"" + weight.name + "\" twice",
                      "the file may hold two models, or one in two layouts");
    weights_.push_back(std::move(weight));
  }
  // The number of elements of all weights.
  Index total() const {
    Index n = 0;
    for (const Weight& w : weights_) n += checked_size(w.shape, w.name);
    return n;
  }
  void read(const std::string& name, std::span<float> out) const {
    const Weight* weight = find(name);
    if (!weight) throw LoadError(where_, "weight \"" + name + "\"", "none of that name");
    weight->read(out);
  }

 private:
  std::string where_;
  std::vector<Weight> weights_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace inkling
