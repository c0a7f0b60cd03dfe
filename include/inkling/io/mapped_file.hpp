// A file seen as memory, read-only. Pages come from the disk when touched and can be let go again.
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "inkling/core/error.hpp"

namespace inkling {

class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path) : path_(path) {
    // O_NONBLOCK: opening a named pipe must not wait for a writer. It changes nothing for a regular file.
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) throw FormatError(path.string(), "a file that can be read", std::strerror(errno));
    struct ::stat status {};
    if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(file);
      throw FormatError(path.string(), "a regular file", S_ISDIR(status.st_mode) ? "a directory" : "something else");
    }
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ > 0) {  // an empty mapping does not exist
      void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
      if (p != MAP_FAILED) data_ = static_cast<const std::byte*>(p);
    }
    const int error = errno;
    ::close(file);
    if (size_ > 0 && !data_)
      throw FormatError(path.string(), "a file that can be mapped into memory", std::strerror(error));
  }
  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile() {
    if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
  }

  const std::filesystem::path& path() const noexcept { return path_; }
  std::size_t size() const noexcept { return size_; }
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

  // Lets the pages that lie wholly inside [begin, end) go; they are read again from the file when touched again.
  // Without this a checkpoint of gigabytes stays counted as this program's memory after it was copied.
  void release_pages(std::size_t begin, std::size_t end) const noexcept {
    const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    begin = (begin + page - 1) / page * page;
    end = std::min(end, size_) / page * page;
    if (data_ && begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
  }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace inkling
