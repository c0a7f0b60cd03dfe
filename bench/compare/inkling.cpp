// inkling's side of bench/compare.sh. With --list it prints the shapes to compare, read off the models: a name, a tab,
// and the line that every program answers.
#include "../operations.hpp"  // first

#include <cstring>

#include "server.hpp"

namespace {

using namespace inkling_bench;

void list(const char* where, const Work& w) {
  const auto& s = w.size;
  const auto line = [&](const char* kind, const char* type, const std::vector<Index>& sizes) {
    std::printf("%s %s %s\t%s %s", where, w.text().c_str(), type, kind, type);
    for (const Index n : sizes) std::printf(" %td", n);
    std::printf("\n");
  };
  for (const char* type : {"f32", "bf16"}) {
    if (w.kind == Kind::conv) line("conv", type, {s[0], s[1], s[3], s[3], s[2], s[4], s[5]});
    if (w.kind == Kind::linear) line("linear", type, {s[0], s[1], s[2]});
  }
  if (w.kind == Kind::attention) line("attention", "f32", {s[0], s[1], s[2], s[3], s[4]});
  if (w.kind == Kind::group_norm) line("group_norm", "f32", {s[0], s[1], s[2], s[2], s[3]});
  if (w.kind == Kind::silu) line("silu", "f32", {s[0] * s[1], s[2] * s[2]});
  if (w.kind == Kind::layer_norm || w.kind == Kind::gelu || w.kind == Kind::softmax)
    line(name_of(w.kind), "f32", {s[0], s[1]});
}
int list_all() {
  const auto unet = unet_work(inkling::UNetConfig::sd15(), 1, 64);
  const auto decoder = decoder_work(inkling::AutoencoderKLConfig::sd15(), 1, 64);
  const auto text = text_work(inkling::ClipTextConfig::sd15(), 1);
  const auto print = [](const char* where, std::vector<Work> works, Kind kind, std::size_t most, Index kernel = 0) {
    if (kernel) std::erase_if(works, [&](const Work& w) { return w.size[4] != kernel; });
    for (const Work& w : heaviest(works, kind, most)) list(where, w);
  };
  print("unet", unet, Kind::conv, 10, 3);
  print("unet", unet, Kind::conv, 2, 1);
  print("unet", unet, Kind::linear, 8);
  print("unet", unet, Kind::attention, 4);
  print("unet", unet, Kind::group_norm, 1);
  print("unet", unet, Kind::layer_norm, 1);
  print("decoder", decoder, Kind::conv, 4, 3);
  print("decoder", decoder, Kind::attention, 1);
  print("text", text, Kind::linear, 2);
  print("text", text, Kind::gelu, 1);
  list("alone", Work{Kind::silu, {1, 320, 64}});
  list("scores", Work{Kind::softmax, {8 * 1024, 1024}});
  return 0;
}

compare::Call prepare(const compare::Shape& shape) {
  const auto s = [&](std::size_t i) { return static_cast<Index>(shape.size.at(i)); };
  const WeightType type = inkling::kernels::weight_type_from_string(shape.type);
  const auto call = [&](const Work& w) { return forward_call(w, type); };
  if (shape.kind == "conv") return call({Kind::conv, {s(0), s(1), s(4), s(2), s(5), s(6)}});
  if (shape.kind == "linear") return call({Kind::linear, {s(0), s(1), s(2)}});
  if (type != WeightType::f32) return {};
  if (shape.kind == "attention") return call({Kind::attention, {s(0), s(1), s(2), s(3), s(4)}});
  if (shape.kind == "group_norm") return call({Kind::group_norm, {s(0), s(1), s(2), s(4)}});
  if (shape.kind == "layer_norm") return call({Kind::layer_norm, {s(0), s(1)}});
  if (shape.kind == "gelu") return call({Kind::gelu, {s(0), s(1)}});
  if (shape.kind == "softmax") return call({Kind::softmax, {s(0), s(1)}});
  if (shape.kind == "silu")
    return without_gradient([x = input(Shape<2>{s(0), s(1)})] { return inkling::silu(x); });
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--list") == 0) return list_all();
  return compare::serve(prepare);
}
