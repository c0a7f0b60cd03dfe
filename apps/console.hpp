// What the programs show while they work: a progress bar with the time left, errors as one clear line, Ctrl-C.
#pragma once
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <string>

#include "inkling/core/progress.hpp"

namespace console {

// Set by Ctrl-C. The first one asks the work to stop, so that no file is left half written; the second ends at once.
inline std::atomic<bool>& interrupt_flag() {
  static std::atomic<bool> flag{false};
  return flag;
}
inline bool interrupted() { return interrupt_flag(); }
inline void catch_interrupts() {
  interrupt_flag();
  const auto handler = [](int signal) {
    if (interrupt_flag().exchange(true)) std::_Exit(128 + signal);
  };
  std::signal(SIGINT, handler);
  std::signal(SIGTERM, handler);
}

inline bool terminal() { return isatty(STDERR_FILENO) != 0; }
inline void line(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

// A bar on standard error, redrawn in place; nothing at all when that is no terminal.
class ProgressBar {
 public:
  explicit ProgressBar(std::string name) : name_(std::move(name)) {}
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() { finish(); }

  void update(inkling::Index done, inkling::Index total, const std::string& note = {}) {
    if (!terminal() || total <= 0) return;
    const auto now = Clock::now();
    if (first_ < 0) first_ = done > 0 ? done - 1 : 0;
    if (shown_ && done < total && now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    shown_ = true;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const double left = seconds / static_cast<double>(done - first_ > 0 ? done - first_ : 1) * static_cast<double>(total - done);
    constexpr inkling::Index width = 24;
    const auto filled = static_cast<std::size_t>(width * done / total);
    const std::string bar = std::string(filled, '#') + std::string(static_cast<std::size_t>(width) - filled, '.');
    std::fprintf(stderr, "\r%-16s [%s] %td/%td  %s left  %s\033[K", name_.c_str(), bar.c_str(), done, total,
                 clock_text(left).c_str(), note.c_str());
    std::fflush(stderr);
  }
  void finish() {
    if (shown_) std::fprintf(stderr, "\n");
    shown_ = false;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static std::string clock_text(double seconds) {
    const auto s = static_cast<long>(seconds + 0.5);
    char text[32];
    if (s >= 3600)
      std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
      std::snprintf(text, sizeof text, "%ld:%02ld", s / 60, s % 60);
    return text;
  }
  std::string name_;
  Clock::time_point start_ = Clock::now(), last_{};
  inkling::Index first_ = -1;
  bool shown_ = false;
};

// A callback for library functions that report their progress; Ctrl-C stops them.
inline inkling::ProgressCallback progress(const std::string& name) {
  auto bar = std::make_shared<ProgressBar>(name);
  return [bar](const inkling::Progress& p) {
    bar->update(p.done, p.total);
    if (p.done == p.total) bar->finish();
    return !interrupted();
  };
}

// Runs a program's work; every error becomes one line on standard error and a non-zero exit status.
template <class Work>
int run(Work&& work) {
  catch_interrupts();
  try {
    return work();
  } catch (const inkling::Stopped& e) {
    std::fprintf(stderr, "stopped: %s\n", e.where().c_str());
    return 130;  // as a shell reports Ctrl-C
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "error: out of memory; hint: a smaller picture, or close other programs\n");
    return 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
}

}  // namespace console
