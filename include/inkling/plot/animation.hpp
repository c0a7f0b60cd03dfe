// Pictures that move: GIF files ("GIF89a specification", CompuServe 1990; section numbers below are its own).
//
// Written here and not by giflib: the packing is the sixty lines of Lzw below, giflib leaves the choice of colours to
// the caller as well, and a library of headers would have to ask everybody to link it.
#pragma once
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "inkling/io/atomic_file.hpp"
#include "inkling/plot/palette.hpp"

namespace inkling::plot {

struct AnimationOptions {
  Index delay = 10;       // hundredths of a second that a picture stays; browsers take less than 2 for 10
  Index last_delay = -1;  // that the last one stays; below 0: as the others
  Index repeats = 0;      // 0: for ever; otherwise the film is shown 1 + repeats times
  Index colors = 256;     // of all pictures together; fewer make a smaller file
};

namespace detail {

// Lempel-Ziv-Welch with codes that grow from one bit more than a colour number has to 12 bits (appendix F; Welch 1984).
class Lzw {
 public:
  Lzw(std::string& out, int color_bits) : out_(out), color_bits_(color_bits) {
    out_ += static_cast<char>(color_bits_);
    restart();
  }
  void add(std::uint8_t color) {
    if (word_ < 0) return void(word_ = color);
    // The longest word in the table that the colours so far spell, as its number; next_ leads on from it.
    std::uint16_t& longer = next_[static_cast<std::size_t>(word_) << 8 | color];
    if (longer > 0) return void(word_ = longer);
    put(word_);
    if (count_ < 4096) {
      longer = static_cast<std::uint16_t>(count_++);
      // Whoever reads is one entry behind: the codes become longer when the first that needs it has been written.
      if (count_ > (1 << bits_) && bits_ < 12) ++bits_;
    } else {
      put(1 << color_bits_);
      restart_table();
    }
    word_ = color;
  }
  void finish() {
    if (word_ >= 0) put(word_);
    if (count_ == (1 << bits_) && bits_ < 12) ++bits_;  // the reader has added one more entry by now
    put((1 << color_bits_) + 1);
    if (filled_ > 0) byte(pending_ & 255);
    flush();
    out_ += '\0';  // an empty block ends the picture
  }

 private:
  void restart() {
    restart_table();
    put(1 << color_bits_);
  }
  void restart_table() {
    next_.assign(std::size_t{4096} << 8, 0);
    count_ = (1 << color_bits_) + 2;  // after the colours: "clear" and "end"
    bits_ = color_bits_ + 1;
  }
  void put(int code) {
    pending_ |= static_cast<std::uint32_t>(code) << filled_;
    for (filled_ += bits_; filled_ >= 8; filled_ -= 8, pending_ >>= 8) byte(pending_ & 255);
  }
  void byte(std::uint32_t value) {
    block_ += static_cast<char>(value);
    if (block_.size() == 255) flush();
  }
  void flush() {  // blocks of at most 255 bytes, each after its length (section 15)
    if (block_.empty()) return;
    out_ += static_cast<char>(block_.size());
    out_ += std::exchange(block_, {});
  }

  std::string& out_;
  std::string block_;
  std::vector<std::uint16_t> next_;
  int color_bits_, bits_ = 0, count_ = 0, word_ = -1, filled_ = 0;
  std::uint32_t pending_ = 0;
};

inline std::string two_bytes(Index value) {
  return {static_cast<char>(value & 255), static_cast<char>(value >> 8 & 255)};
}

}  // namespace detail

// A whole GIF file. All pictures have the same size. More colours than asked for are replaced by the nearest of a
// palette that all pictures share, so that nothing flickers.
inline std::string encode_gif(const std::vector<Image>& frames, const AnimationOptions& options = {}) {
  if (frames.empty()) throw ConfigError("GIF", "at least one picture", "none");
  const Index width = frames[0].width, height = frames[0].height;
  for (const Image& frame : frames) {
    require_picture(frame, "GIF");
    if (frame.width != width || frame.height != height || width > 65535 || height > 65535)
      throw ShapeError("GIF", "pictures of one size, at most 65535 pixels a side",
                       std::to_string(width) + " x " + std::to_string(height) + " and " + std::to_string(frame.width) +
                           " x " + std::to_string(frame.height));
  }
  const Index last_delay = options.last_delay < 0 ? options.delay : options.last_delay;
  for (const Index number : {options.delay, last_delay, options.repeats})
    if (number < 0 || number > 65535)
      throw ConfigError("GIF", "delays and repeats from 0 to 65535", std::to_string(number));
  Palette palette(frames, options.colors);
  int bits = 1;  // 2^bits colours in the file
  while ((1u << bits) < palette.colors().size()) ++bits;

  // Header, logical screen, the colours (sections 17 to 19)
  using detail::two_bytes;
  std::string gif = "GIF89a" + two_bytes(width) + two_bytes(height);
  gif += static_cast<char>(0x80 | 0x70 | (bits - 1));
  gif += std::string(2, '\0');
  for (std::size_t i = 0; i < (std::size_t{1} << bits); ++i) {
    const Color c = i < palette.colors().size() ? palette.colors()[i] : black;
    gif += {static_cast<char>(c.r), static_cast<char>(c.g), static_cast<char>(c.b)};
  }
  if (frames.size() > 1)  // how often to show it: the extension of Netscape 2.0, which everybody reads
    gif += std::string("\x21\xff\x0bNETSCAPE2.0\x03\x01", 16) + two_bytes(options.repeats) + '\0';

  std::vector<std::uint8_t> before, now(static_cast<std::size_t>(width * height));
  for (std::size_t f = 0; f < frames.size(); ++f) {
    for (Index i = 0; i < width * height; ++i)
      now[static_cast<std::size_t>(i)] = palette.nearest(pixel(frames[f], i % width, i / width));
    // Only the rectangle that has changed is written; around it the picture before stays.
    Index left = 0, top = 0, right = width, bottom = height;
    if (!before.empty()) {
      left = width, top = height, right = bottom = 0;
      for (Index i = 0; i < width * height; ++i)
        if (now[static_cast<std::size_t>(i)] != before[static_cast<std::size_t>(i)]) {
          left = std::min(left, i % width), right = std::max(right, i % width + 1);
          top = std::min(top, i / width), bottom = std::max(bottom, i / width + 1);
        }
      if (right == 0) left = top = 0, right = bottom = 1;
    }
    // How long it stays (section 23; 4: leave it there), where it lies (section 20), its colours
    gif += std::string("\x21\xf9\x04\x04", 4) + two_bytes(f + 1 == frames.size() ? last_delay : options.delay) +
           std::string(2, '\0');
    gif += ',' + two_bytes(left) + two_bytes(top) + two_bytes(right - left) + two_bytes(bottom - top) + '\0';
    detail::Lzw packed(gif, std::max(bits, 2));
    for (Index y = top; y < bottom; ++y)
      for (Index x = left; x < right; ++x) packed.add(now[static_cast<std::size_t>(y * width + x)]);
    packed.finish();
    before = now;
  }
  return gif + ';';
}
// The file appears whole or not at all.
inline void write_gif(const std::filesystem::path& path, const std::vector<Image>& frames,
                      const AnimationOptions& options = {}) {
  write_file(path, encode_gif(frames, options));
}

}  // namespace inkling::plot
