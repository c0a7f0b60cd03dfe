// The commands of the program and their settings. inkling.cpp fills these from the command line; the other files here
// do the work, so that the parser of the command line is compiled apart from the networks.
#pragma once
#include <cstdint>
#include <string>

#include "inkling/core/shape.hpp"

namespace app {

using inkling::Index;

// Which model, and what its files do not tell.
struct ModelChoice {
  std::string path = "models/mini", vocab, vae, taesd_folder, prediction;
  std::string weights = "auto";  // or f32, f16, bf16, q8
  Index unet_heads = 0, unet_head_width = 0, text_heads = 0;  // 0: as the model's files or its family say
};

struct Txt2Img {
  ModelChoice model;
  std::string prompt, negative, sampler = "ddim", seed = "0";
  std::string out = "out.png", save_steps, attention_maps, dump;
  Index steps = 25, width = 0, height = 0, scale = 1;
  double guidance = 7.5;
  Index threads = 0;  // 0: as OpenMP finds best
  bool quiet = false, allow_empty = false;
};
int txt2img(const Txt2Img& settings);

struct Evaluate {
  ModelChoice model;
  std::string judge, data, out = "evaluation", sampler = "ddim", seed = "0";
  Index count = 1000, steps = 25, batch = 50, threads = 0;
  double guidance = 7.5;
  bool check = false;
};
int evaluate(const Evaluate& settings);

struct Bench {
  ModelChoice model;
  Index size = 0, threads = 0, repeat = 5;  // size 0: as the model was trained
};
int bench(const Bench& settings);

struct Inspect {
  ModelChoice model;
};
int inspect(const Inspect& settings);

struct Tokenize {
  std::string vocab, model, text;
  Index length = 0;  // 0: what the model reads, else 77
};
int tokenize(const Tokenize& settings);

}  // namespace app
