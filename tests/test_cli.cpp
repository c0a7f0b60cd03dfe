// The command line program from outside: what it writes, and what it says to input that makes no sense.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>

#include "inkling/core/processor.hpp"
#include "inkling/io/generation_parameters.hpp"
#include "inkling/io/image.hpp"
#include "inkling/io/safetensors.hpp"
#include "small_model.hpp"
#include "support.hpp"

using namespace inkling_test;
using namespace inkling;
namespace fs = std::filesystem;

namespace {

// The build sets INKLING_PROGRAM; by hand, the one in build/.
std::string program() {
  const char* value = std::getenv("INKLING_PROGRAM");
  const fs::path path = value != nullptr && *value != '\0' ? fs::path(value) : source_dir() / "build" / "inkling";
  if (!have(path))
    throw std::runtime_error("no program " + path.string() + ": build it (target app_inkling), or set INKLING_PROGRAM");
  return path.string();
}

std::string quoted(const std::string& word) {
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Run {
  int status = 0;
  std::string out, err;
  std::string slow;  // warnings of a slow build: they belong to how the program was compiled, not to what was asked
};

// Moves the lines that begin so from one text to the other.
void move_lines(std::string& from, const std::string& begin, std::string& to) {
  std::istringstream lines(std::exchange(from, {}));
  for (std::string line; std::getline(lines, line);) (line.starts_with(begin) ? to : from) += line + "\n";
}

// A folder to work in, with a small model in model/.
struct Workshop {
  TempDir folder;
  Workshop() { save_small_model(folder / "model"); }

  Run run(const std::vector<std::string>& words) const {
    std::string command = "cd " + quoted(folder.path().string()) + " && " + quoted(program());
    for (const std::string& w : words) command += " " + quoted(w);
    command += " >stdout.txt 2>stderr.txt </dev/null";
    Run r;
    const int status = std::system(command.c_str());
    r.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;  // -1: a signal ended it
    r.out = content(folder / "stdout.txt"), r.err = content(folder / "stderr.txt");
    move_lines(r.err, "warning: this program was built without", r.slow);
    return r;
  }
  Run paint(std::vector<std::string> more) const {
    std::vector<std::string> words{"txt2img", "--model", "model", "--steps", "2"};
    const auto given = [&](const char* name) { return std::find(more.begin(), more.end(), name) != more.end(); };
    if (!given("--prompt")) words.insert(words.end(), {"--prompt", "a red seven"});
    if (!given("--out")) words.insert(words.end(), {"--out", "picture.png"});
    if (given("--steps")) words.erase(words.begin() + 3, words.begin() + 5);
    if (given("--model")) words.erase(words.begin() + 1, words.begin() + 3);
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
  // Everything in the folder but the model and the two logs.
  std::vector<std::string> files() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(folder.path())) {
      const std::string name = entry.path().filename().string();
      if (name != "model" && name != "stdout.txt" && name != "stderr.txt") out.push_back(name);
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  // One line "error: ...", a status that is not 0, and no file.
  std::string refused(const Run& r) const {
    CAPTURE(r.err);
    CAPTURE(r.out);
    CHECK(r.status > 0);
    CHECK(r.status < 126);
    CHECK(r.err.starts_with("error: "));
    CHECK(r.err.find('\n') == r.err.size() - 1);
    CHECK(files() == before);
    return r.err;
  }
  std::vector<std::string> before;  // files that a test made itself
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void write_text(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }
std::string file_header(const std::string& json) {
  const std::uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json;
}

}  // namespace

TEST_CASE("txt2img: picture, parameters, steps, attention maps, dump") {
  Workshop w;
  const Run r = w.paint({"--seed", "3", "--steps", "3", "--negative", "blue", "--width", "24", "--save-steps",
                         "steps.png", "--attention-maps", "maps", "--dump", "all.safetensors"});
  CAPTURE(r.err);
  REQUIRE(r.status == 0);
  CHECK(r.err.empty());  // no bar where nobody looks
  CHECK(has(r.out, "seconds: load "));
  CHECK(has(r.out, "weights auto, "));
  for (const char* stage : {"load", "text", "denoise", "decode"})
    CHECK_MESSAGE(has(r.out.substr(r.out.find("peak memory ")), std::string(stage) + " "), stage);
  CHECK(w.files() == std::vector<std::string>{"all.safetensors", "maps", "picture.png", "steps.png"});

  const Image picture = read_image(w.folder / "picture.png");
  CHECK(picture.width == 24);
  CHECK(picture.height == 16);
  const PngText texts = read_png_text(w.folder / "picture.png");
  REQUIRE(texts.size() == 1);
  CHECK(texts[0].first == "parameters");
  const GenerationParameters p = parse_generation_parameters(texts[0].second);
  CHECK(p.prompt == "a red seven");
  CHECK(p.negative_prompt == "blue");
  CHECK(p.seed == 3);
  CHECK(p.steps == 3);
  CHECK(p.width == 24);
  CHECK(p.sampler == "DDIM");
  CHECK(p.guidance == 7.5);
  CHECK(p.model == "model");

  const SafetensorsFile dump(w.folder / "all.safetensors");
  CHECK(dump.read<std::int64_t, 2>("tokens").shape() == Shape<2>{2, 40});
  CHECK(dump.read<float, 3>("context").shape() == Shape<3>{2, 40, 32});
  CHECK(dump.read<float, 5>("latents").shape() == Shape<5>{3, 1, 4, 8, 12});
  CHECK(dump.read<double, 1>("timesteps")(0) == 667);
  CHECK(compare(dump.read<float, 4>("noise"), Generator(3).randn<float>(Shape<4>{1, 4, 8, 12})).error == 0);
  CHECK(tensor_to_image(dump.read<float, 4>("image")) == picture);
  CHECK(dump.metadata("prompt") == "a red seven");

  for (const char* name : {"00_picture.png", "01_a.png", "02_red.png", "03_seven.png", "attention.png"})
    CHECK_MESSAGE(have(w.folder / "maps" / name), name);
  CHECK(read_image(w.folder / "steps.png").width > 3 * 24);

  // The same again: the same bytes. Another number of threads: the same bytes. Larger: the same pixels.
  const std::string bytes = content(w.folder / "picture.png");
  const auto again = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--seed", "3", "--steps", "3", "--negative", "blue", "--width", "24", "--out", "2.png",
                             "--quiet"});
    const Run quiet = w.paint(more);
    CHECK(quiet.status == 0);
    CHECK(quiet.out.empty());
    CHECK(quiet.err.empty());
    return content(w.folder / "2.png");
  };
  CHECK(again({}) == bytes);
  CHECK(again({"--threads", "1"}) == bytes);
  CHECK(again({"--threads", "3"}) == bytes);
  again({"--scale", "2"});
  const Image large = read_image(w.folder / "2.png");
  REQUIRE(large.width == 48);
  CHECK(large(7, 5, 0) == picture(3, 2, 0));
}

TEST_CASE("the first line tells what the program was compiled for, and a slow build warns") {
  Workshop w;
  const Run r = w.paint({"--threads", "1"});
  const std::string first = r.out.substr(0, r.out.find('\n'));
  CAPTURE(first);
  CAPTURE(r.slow);
  CHECK(first.starts_with("instructions "));
  CHECK(has(first, "; 1 thread; "));
  bool left_out = false;
  for (const InstructionSet& s : instruction_sets()) {  // this test is compiled with the program's options
    CHECK(has(first, s.name) == (s.compiled || s.available));
    if (!s.available || s.compiled) continue;
    left_out = true;
    CHECK(has(first.substr(first.find("also has")), s.name));
    CHECK(has(r.slow, s.name));
  }
  CHECK(has(first, "all that this processor has") == !left_out);
  CHECK(has(r.slow, "INKLING_NATIVE") == left_out);
#ifdef __OPTIMIZE__
  CHECK(has(first, "optimised build"));
  CHECK(r.slow.empty() == !left_out);
#elif defined(INKLING_COMPILED_KERNELS)
  CHECK(has(first, "optimised kernels"));
  CHECK(r.slow.empty() == !left_out);
#else
  CHECK(has(first, "build without optimisation"));
  CHECK(has(r.slow, "CMAKE_BUILD_TYPE=Release"));
#endif
  CHECK(w.paint({"--quiet"}).slow.empty());
}

TEST_CASE("txt2img: the types of weights") {
  Workshop w;
  const auto picture = [&](const std::string& type) {
    const Run r = w.paint({"--weights", type, "--dump", "all.safetensors"});
    CAPTURE(r.err);
    REQUIRE(r.status == 0);
    CHECK(has(r.out, "weights " + type + ", "));
    return SafetensorsFile(w.folder / "all.safetensors").read<float, 4>("image");
  };
  const Tensor<float, 4> exact = picture("f32");
  CHECK(compare(picture("auto"), exact).error == 0);  // the file has F32
  for (const char* type : {"f16", "bf16", "q8"}) {
    const Worst worst = compare(picture(type), exact);
    MESSAGE(std::string(type) << ": " << worst);
    CHECK_MESSAGE(worst.error > 0, type);
    CHECK_MESSAGE(worst.relative() < 0.5, type);  // still the same picture; tests/test_packed_weights.cpp says how near
  }
}

TEST_CASE("bench times every network of a model") {
  Workshop w;
  const Run r = w.run({"bench", "--model", "model", "--repeat", "2", "--threads", "1"});
  CAPTURE(r.out);
  CAPTURE(r.err);
  CHECK(r.status == 0);
  CHECK(r.err.empty());
  for (const char* part : {"instructions ", "GFLOP/s: nothing but ", "16 x 16 pixels", "text encoder: weights ",
                           "40 tokens", "U-Net: weights ", "batch 1", "batch 2", "autoencoder: weights ", "decode",
                           "encode"})
    CHECK_MESSAGE(has(r.out, part), part);
  // GFLOP of a row: the third number after its name
  const auto operations = [&](const std::string& out, const std::string& row) {
    std::istringstream in(out.substr(out.find("  " + row) + 2 + row.size()));
    double median = 0, fastest = 0, gflop = 0;
    in >> median >> fastest >> gflop;
    CHECK(median >= fastest);
    return gflop;
  };
  const Run large = w.run({"bench", "--model", "model", "--repeat", "1", "--size", "128", "--weights", "q8"});
  CAPTURE(large.out);
  CHECK(large.status == 0);
  CHECK(has(large.out, "weights q8, 1 run after"));
  const double one = operations(large.out, "batch 1"), two = operations(large.out, "batch 2");
  CHECK(one > 0.1);
  CHECK(std::abs(two - 2 * one) <= 0.11);  // both rounded to 0.1
  w.refused(w.run({"bench", "--model", "nowhere"}));
  CHECK(has(w.refused(w.run({"bench", "--model", "model", "--size", "12"})), "size: expected a multiple of 8"));
  CHECK(has(w.refused(w.run({"bench", "--model", "model", "--repeat", "0"})), "repeat"));
  CHECK(has(w.refused(w.run({"bench", "--model", "model", "--weights", "f8"})), "auto, f32, f16, bf16 or q8"));
  w.refused(w.run({"bench", "--model", "model", "--threads", "-1"}));
  const Run help = w.run({"bench", "--help"});
  CHECK(help.status == 0);
  for (const char* option : {"--size", "--weights", "--repeat", "--threads"}) CHECK_MESSAGE(has(help.out, option), option);
}

TEST_CASE("txt2img: a prompt that is too long is cut with a notice, and painted") {
  Workshop w;
  const Run r = w.paint({"--prompt", "this prompt is far too long for a model that reads forty bytes"});
  CHECK(r.status == 0);
  CHECK(r.err.starts_with("notice: "));
  CHECK(has(r.err, "left out: "));
  CHECK(w.files() == std::vector<std::string>{"picture.png"});
}

TEST_CASE("txt2img: every sampler, and an empty prompt where it is meant") {
  Workshop w;
  for (const char* sampler : {"ddim", "ddpm", "euler"}) CHECK_MESSAGE(w.paint({"--sampler", sampler}).status == 0, sampler);
  CHECK(w.paint({"--prompt", "", "--allow-empty"}).status == 0);
}

TEST_CASE("txt2img: settings that make no sense get one line, a status that is not 0, and no file") {
  Workshop w;
  CHECK(has(w.refused(w.paint({"--sampler", "ddin"})), "did you mean \"ddim\"?"));
  CHECK(has(w.refused(w.paint({"--sampler", ""})), "sampler"));
  CHECK(has(w.refused(w.paint({"--width", "100"})), "width: expected a multiple of 8"));
  CHECK(has(w.refused(w.paint({"--height", "12"})), "height: expected a multiple of 8"));
  w.refused(w.paint({"--width", "-8"}));
  w.refused(w.paint({"--width", "8000000000000000000"}));
  w.refused(w.paint({"--width", "99999999999999999999999999"}));
  CHECK(has(w.refused(w.paint({"--prompt", ""})), "prompt"));
  CHECK(has(w.refused(w.paint({"--prompt", " \n\t "})), "prompt"));
  for (const char* guidance : {"nan", "inf", "-inf"})
    CHECK(has(w.refused(w.paint({"--guidance", guidance})), "guidance"));
  w.refused(w.paint({"--guidance", "much"}));
  for (const char* seed : {"-1", "1.5", "18446744073709551616", "", "one"})
    CHECK(has(w.refused(w.paint({"--seed", seed})), "seed"));
  for (const char* steps : {"0", "-3", "1001", "9000000000000000000"})
    CHECK(has(w.refused(w.paint({"--steps", steps})), "steps"));
  w.refused(w.paint({"--threads", "-1"}));
  w.refused(w.paint({"--scale", "0"}));
  CHECK(has(w.refused(w.paint({"--weights", "int4"})), "weights: expected auto, f32, f16, bf16 or q8"));
  w.refused(w.paint({"--vae", "tiny"}));
  w.refused(w.paint({"--guidance", "1e300"}));  // infinite as a float: found after the first step
}

TEST_CASE("txt2img: outputs that cannot be written are found before the work") {
  Workshop w;
  const auto refused_early = [&](const std::vector<std::string>& more) {
    const Run r = w.paint(more);
    w.refused(r);
    CHECK(r.out.empty());  // the first line tells of the work
  };
  refused_early({"--out", "nowhere/picture.png"});
  refused_early({"--out", "model"});
  refused_early({"--out", ""});
  refused_early({"--out", "picture.jpg"});
  refused_early({"--save-steps", "nowhere/steps.png"});
  refused_early({"--save-steps", "model/model_index.json"});
  refused_early({"--attention-maps", "stdout.txt/maps"});
  refused_early({"--dump", "nowhere/all.safetensors"});
  refused_early({"--dump", "picture.png"});
}

TEST_CASE("models that are none get one line") {
  Workshop w;
  const auto add = [&](const std::string& name, const std::string& text) {
    write_text(w.folder / name, text);
    w.before.push_back(name);
    std::sort(w.before.begin(), w.before.end());
  };
  w.refused(w.paint({"--model", "nowhere"}));
  fs::create_directory(w.folder / "empty");
  w.before.push_back("empty");
  w.refused(w.paint({"--model", "empty"}));
  add("text.safetensors", "this is no model");
  add("nothing.safetensors", "");
  add("long.safetensors", std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8) + "{}");
  add("huge.safetensors",
      file_header(R"({"model.diffusion_model.input_blocks.0.0.weight":{"dtype":"F32","shape":[1152921504606846976,4,3,3],)"
                  R"("data_offsets":[0,16]}})") +
          std::string(16, '\0'));
  add("other.safetensors", file_header(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})") + "1234");
  add("model.ckpt", "PK");
  for (const std::string& name : w.before) {
    CAPTURE(name);
    w.refused(w.paint({"--model", name}));
    if (name != "other.safetensors") w.refused(w.run({"inspect", name}));
  }
  w.refused(w.run({"inspect", "nowhere"}));

  // A folder with a hole in it.
  const fs::path config = w.folder / "model" / "unet" / "config.json";
  const std::string whole = content(config);
  std::string broken = whole;
  broken.replace(broken.find("\"in_channels\""), 13, "\"in_channel\"");
  write_text(config, broken);
  const std::string message = w.refused(w.paint({}));
  CHECK(has(message, "in_channels"));
  CHECK(has(message, "there is \"in_channel\""));
  write_text(config, "[");
  w.refused(w.paint({}));
  write_text(config, whole);
  CHECK(w.paint({}).status == 0);
}

TEST_CASE("a mistake in the command line: one line, status 2") {
  Workshop w;
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {}, {"paint"}, {"txt2img"}, {"txt2img", "--prompt"}, {"txt2img", "--prompt", "7", "--colour", "red"},
           {"tokenize"}, {"inspect"}}) {
    const Run r = w.run(words);
    w.refused(r);
    CHECK(r.status == 2);
  }
  const Run help = w.run({"txt2img", "--help"});
  CHECK(help.status == 0);
  CHECK(has(help.out, "--guidance"));
}

TEST_CASE("inspect tells style, configs and totals") {
  Workshop w;
  const Run folder = w.run({"inspect", "model"});
  CHECK(folder.status == 0);
  CHECK(has(folder.out, "style: diffusers folder"));
  CHECK(has(folder.out, "widths of the levels 16 32"));
  CHECK(has(folder.out, "predicts             epsilon"));
  const Run file = w.run({"inspect", "model/unet/diffusion_pytorch_model.safetensors"});
  CHECK(file.status == 0);
  CHECK(has(file.out, "conv_in.weight F32 (16, 4, 3, 3)"));
}

TEST_CASE("tokenize shows ids, pieces and words") {
  Workshop w;
  const Run r = w.run({"tokenize", "--model", "model", "a 7"});
  CHECK(r.status == 0);
  CHECK(has(r.out, "ids   512 320 278 513\n"));  // single bytes that end a word: 256 more than those that do not
  CHECK(has(r.out, "\"a\"\ttoken 1\n"));
  CHECK(has(r.out, "\"7\"\ttoken 2\n"));
  CHECK(r.err.empty());
  const Run cut = w.run({"tokenize", "--vocab", "model/tokenizer/vocab.json", "--length", "4", "seven"});
  CHECK(cut.status == 0);
  CHECK(has(cut.err, "left out: \"ven\""));
  w.refused(w.run({"tokenize", "a 7"}));
  w.refused(w.run({"tokenize", "--vocab", "nowhere", "a 7"}));
  w.refused(w.run({"tokenize", "--model", "model", "--length", "1", "a 7"}));
}

TEST_CASE("evaluate writes its report") {
  Workshop w;
  w.refused(w.run({"evaluate", "--model", "model", "--count", "4", "--steps", "1"}));  // there is no judge
  const fs::path judge = source_dir() / "models" / "mini" / "judge" / "model.safetensors";
  REQUIRE(have(judge));
  w.refused(w.run({"evaluate", "--model", "model", "--judge", judge.string(), "--count", "0"}));
  // What is missing shows before anything is painted.
  const Run no_data =
      w.run({"evaluate", "--model", "model", "--judge", judge.string(), "--data", "nowhere", "--count", "1"});
  w.refused(no_data);
  CHECK(has(no_data.err, "nowhere"));
  CHECK(!has(no_data.out, "threads"));
  const Run r = w.run({"evaluate", "--model", "model", "--judge", judge.string(), "--count", "6", "--batch", "4", "--steps",
                       "1", "--out", "report", "--guidance", "3", "--check"});
  CAPTURE(r.err);
  CHECK(r.status == 3);  // noise is no digit
  CHECK(has(r.out, "| combinations never seen | 3 |"));
  CHECK(has(r.out, "| missed |"));
  CHECK(has(content(w.folder / "report" / "report.md"), "| digit right | at least 95.0 % |"));
  CHECK(read_image(w.folder / "report" / "samples.png").width > 4 * 96);
}

TEST_CASE("the model that is shipped paints") {
  const fs::path mini = source_dir() / "models" / "mini";
  if (!have(mini / "unet" / "diffusion_pytorch_model.safetensors")) {
    MESSAGE("not trained yet: " << mini.string());
    return;
  }
  Workshop w;
  const Run r = w.paint({"--model", mini.string(), "--prompt", "a bold red seven on a blue background", "--steps", "4"});
  CAPTURE(r.err);
  CHECK(r.status == 0);
  CHECK(read_image(w.folder / "picture.png").width == 32);
}
