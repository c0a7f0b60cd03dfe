// An output file that appears whole or not at all: written beside its place under another name, then renamed.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "inkling/core/error.hpp"

namespace inkling {

class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path) : path_(path) {
    std::error_code ignored;
    // Renaming over a link would replace the link, and over /dev/null the device.
    if (std::filesystem::is_symlink(path_, ignored)) path_ = std::filesystem::weakly_canonical(path_, ignored);
    if (std::filesystem::exists(path_, ignored) && !std::filesystem::is_regular_file(path_, ignored))
      throw FormatError(path.string(), "a name for a regular file",
                        std::filesystem::is_directory(path_, ignored) ? "a directory" : "a device or pipe");
    static std::atomic<unsigned> counter{0};
    std::filesystem::path name = "." + path_.filename().string().substr(0, 200) + "." + std::to_string(::getpid()) +
                                 "." + std::to_string(counter++) + ".part";
    temporary_ = path_.parent_path() / name;
    file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ < 0) fail("a file that can be written");
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  // Without commit() nothing is left behind.
  ~AtomicFile() {
    if (file_ >= 0) ::close(file_);
    if (!committed_) ::unlink(temporary_.c_str());
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ::ssize_t n = ::write(file_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail("room for the whole file");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

  // From here on the file is there, whole, also after a power failure.
  void commit() {
    if (::fsync(file_) != 0) fail("a file that can be brought to the disk");
    const int closed = ::close(file_);
    file_ = -1;
    if (closed != 0) fail("a file that can be closed");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("a name that can be given to the file");
    committed_ = true;
    const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
    if (const int f = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); f >= 0) {
      ::fsync(f);  // makes the new name durable; a file system without this is no reason to fail
      ::close(f);
    }
  }

 private:
  [[noreturn]] void fail(std::string_view expected) const {
    throw FormatError(path_.string(), expected, std::strerror(errno));
  }

  std::filesystem::path path_, temporary_;
  int file_ = -1;
  bool committed_ = false;
};

inline void write_file(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace inkling
