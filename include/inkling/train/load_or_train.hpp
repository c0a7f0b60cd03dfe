// Weights that are kept in a file: taken from there, or made again.
#pragma once
#include <filesystem>
#include <functional>

#include "inkling/io/load_parameters.hpp"
#include "inkling/io/model_files.hpp"

namespace inkling {

// Fills the module from `file` (safetensors). Where `again`, train() fills it first, with its checkpoints in `work`,
// and what it leaves goes into the file at half precision: what is used is what is kept, rounded as that is.
template <class Module>
void load_or_train(Module& module, const std::filesystem::path& file, bool again, const std::filesystem::path& work,
                   const std::function<void()>& train) {
  if (again) {
    std::filesystem::create_directories(work);
    train();
    if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path());
    save_parameters(module, file, DType::f16);
  }
  load_parameters(module, plain_weights(file));
}

}  // namespace inkling
