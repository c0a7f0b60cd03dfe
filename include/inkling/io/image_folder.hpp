// Folders of pictures, and pairs of folders in which pictures of the same name belong together.
#pragma once
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "inkling/io/image.hpp"

namespace inkling {

// The PNG and JPEG files of a folder, by name. Other files, hidden files and folders inside are passed over.
inline std::vector<std::filesystem::path> find_images(const std::filesystem::path& folder) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error))
    throw FormatError(folder.string(), "a folder of pictures", "none", "is the path right?");
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    std::string ending = entry.path().extension().string();
    for (char& c : ending)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if ((ending == ".png" || ending == ".jpg" || ending == ".jpeg") && entry.is_regular_file(error) &&
        !entry.path().filename().string().starts_with('.'))
      found.push_back(entry.path());
  }
  if (error) throw FormatError(folder.string(), "a folder that can be read", error.message());
  if (found.empty()) throw FormatError(folder.string(), "PNG or JPEG pictures", "none");
  std::sort(found.begin(), found.end());
  return found;
}

// A picture and what belongs to it.
using ImagePair = std::pair<std::filesystem::path, std::filesystem::path>;

// Pairs by name without the ending: a/cat.jpg and b/cat.png. A picture without its partner is an error, in both folders.
inline std::vector<ImagePair> find_image_pairs(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::map<std::string, ImagePair> pairs;
  for (const bool second : {false, true})
    for (const std::filesystem::path& path : find_images(second ? b : a)) {
      ImagePair& pair = pairs[path.stem().string()];
      std::filesystem::path& place = second ? pair.second : pair.first;
      if (!place.empty())
        throw FormatError(path.string(), "one picture of that name", "also " + place.filename().string());
      place = path;
    }
  std::vector<ImagePair> whole;
  std::vector<std::string> alone;
  for (const auto& [name, pair] : pairs) {
    if (pair.first.empty() || pair.second.empty())
      alone.push_back((pair.first.empty() ? pair.second : pair.first).string());
    else
      whole.push_back(pair);
  }
  if (!alone.empty()) {
    std::string names;
    for (std::size_t i = 0; i < alone.size() && i < 3; ++i) names += (i ? ", " : "") + alone[i];
    throw FormatError(a.string() + " and " + b.string(), "a picture in each for every name",
                      std::to_string(alone.size()) + " without a partner: " + names + (alone.size() > 3 ? ", ..." : ""),
                      "the names must be alike but for the ending");
  }
  return whole;
}

// read_image, and a JPEG that was cut off is refused, whatever the decoder thinks of it: some fill what is missing with
// gray, which in a data set would go unseen. A whole JPEG ends with the marker ff d9 (ISO 10918-1, B.1.1.3).
inline Image read_whole_image(const std::filesystem::path& path, Index channels = 3) {
  const MappedFile file(path);
  std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() >= 2 && bytes[0] == std::byte{0xff} && bytes[1] == std::byte{0xd8}) {
    constexpr std::size_t most_padding = 4096;  // some cameras append zeros or a few bytes of their own
    const auto tail = bytes.last(std::min(bytes.size(), most_padding));
    constexpr std::array end{std::byte{0xff}, std::byte{0xd9}};
    if (std::search(tail.begin(), tail.end(), end.begin(), end.end()) == tail.end())
      throw FormatError(path.string(), "a whole JPEG picture", "one without its end", "the file was cut off; copy it again");
  }
  return decode_image(bytes, path.string(), channels);
}

}  // namespace inkling
