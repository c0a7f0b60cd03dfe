// What every example does around its subject: --help, options, Ctrl-C, errors as one line.
#pragma once
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "inkling/core/error.hpp"

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
  // A file of the public data sets: in the folder that INKLING_DATA names, or ../shared/data beside the sources.
  // INKLING_DATA=skip is for test machines without data: the example ends with 77, which CTest counts as skipped.
  std::filesystem::path data(const std::string& name) const {
    const std::filesystem::path path = data_folder() / name;
    if (data_folder() == "skip") throw Skipped();
    if (!std::filesystem::exists(path))
      throw std::runtime_error(path.string() + " is not there; scripts/get_data.py " + name.substr(0, name.find('/')) +
                               " gets it, or set INKLING_DATA to the folder that holds " + name);
    return path;
  }
  // The file that an option names, or one of the data sets.
  std::filesystem::path file(const std::string& name, const std::string& otherwise) const {
    const std::string given = option(name, "");
    return given.empty() ? data(otherwise) : std::filesystem::path(given);
  }
  // The same with two that serve: the first of them, where it is there.
  std::filesystem::path file(const std::string& name, const std::string& first, const std::string& second) const {
    return file(name, std::filesystem::exists(data_folder() / first) ? first : second);
  }
  // The folder for what the example makes: not named like the program, which may lie in the same place.
  std::filesystem::path folder(const std::string& name, const std::string& otherwise) const {
    const std::filesystem::path path = option(name, otherwise);
    std::filesystem::create_directories(path);
    return path;
  }
  // For the training loop: one line that says how far it is. Ctrl-C makes the loop keep a checkpoint and stop.
  static auto progress(const std::string& name) {
    catch_interrupts();
    return [name](const auto& s) {
      if (s.step % 100 == 0 || s.step == s.steps)
        std::fprintf(stderr, "\r%s: step %td of %td, loss %.4f%s", name.c_str(), s.step, s.steps, s.average_loss,
                     s.step == s.steps ? "\n" : "");
      return !interrupted();
    };
  }
  // The first Ctrl-C asks the work to stop where it can go on later; the second ends at once.
  static void catch_interrupts() {
    const auto handler = [](int signal) {
      if (interrupted()) std::_Exit(128 + signal);
      stop_ = 1;
    };
    std::signal(SIGINT, handler), std::signal(SIGTERM, handler);
  }
  static bool interrupted() { return stop_ != 0; }
  // What the example says of the world must be so: it ends with an error where it is not.
  void claim(bool holds, const std::string& what) const {
    if (interrupted()) throw inkling::Stopped("what is shown after training");
    if (!holds) throw std::runtime_error("does not hold: " + what);
    std::printf("holds: %s\n", what.c_str());
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
    } catch (const Skipped&) {
      return std::fprintf(stderr, "skipped: no data\n"), 77;
    } catch (const inkling::Stopped& e) {
      return std::fprintf(stderr, "\nstopped: %s; the same command goes on from here\n", e.where().c_str()), 130;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "error: %s\n", e.what());
      return 1;
    }
  }

 private:
  static std::filesystem::path data_folder() {
    const char* folder = std::getenv("INKLING_DATA");
    return folder ? std::filesystem::path(folder) : std::filesystem::path(INKLING_SOURCE_DIR) / "../shared/data";
  }
  struct Skipped {};
  inline static volatile std::sig_atomic_t stop_ = 0;
  std::vector<std::string> arguments_;
  std::string usage_;
};
