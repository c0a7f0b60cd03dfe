// What every example does around its subject: --help, options, errors as one line.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#ifndef INKLING_SOURCE_DIR
#define INKLING_SOURCE_DIR "."
#endif

class Example {
 public:
  Example(int argc, char** argv, std::string usage) : arguments_(argv + 1, argv + argc), usage_(std::move(usage)) {}

  // The value that follows `name` on the command line, or what stands for it.
  std::string option(const std::string& name, const std::string& otherwise) const {
    for (std::size_t i = 0; i + 1 < arguments_.size(); ++i)
      if (arguments_[i] == name) return arguments_[i + 1];
    return otherwise;
  }
  // The models that come with the library; INKLING_MODELS names another folder.
  std::filesystem::path models() const {
    const char* folder = std::getenv("INKLING_MODELS");
    return folder ? std::filesystem::path(folder) : std::filesystem::path(INKLING_SOURCE_DIR) / "models";
  }
  template <class Work>
  int run(Work&& work) const {
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (arguments_[i] == "--help" || arguments_[i] == "-h") return std::printf("%s\n", usage_.c_str()), 0;
      if (i % 2 == 0 && (!arguments_[i].starts_with("--") || i + 1 == arguments_.size() ||
                         usage_.find(arguments_[i]) == std::string::npos))
        return std::fprintf(stderr, "error: unknown argument '%s'\n%s\n", arguments_[i].c_str(), usage_.c_str()), 2;
    }
    try {
      work();
      return 0;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "error: %s\n", e.what());
      return 1;
    }
  }

 private:
  std::vector<std::string> arguments_;
  std::string usage_;
};
