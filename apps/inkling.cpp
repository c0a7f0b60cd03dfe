// The command line program: reads the arguments, and hands the work to the files in inkling/.
#include <CLI/CLI.hpp>

#include "console.hpp"
#include "inkling/commands.hpp"
#include "inkling/io/nearest_name.hpp"

namespace {

void add_model_options(CLI::App& command, app::ModelChoice& m) {
  command.add_option("--model", m.path, "model folder (diffusers layout) or .safetensors checkpoint")
      ->capture_default_str();
  command.add_option("--weights", m.weights,
                     "how weights are kept: f32; f16, in half the memory; bf16, in half and multiplied as such; q8, in a "
                     "quarter; auto: as the file has them, f16 or f32, which rounds nothing")
      ->capture_default_str();
  command.add_option("--unet-heads", m.unet_heads, "attention heads of the U-Net, where the file does not tell");
  command.add_option("--unet-head-width", m.unet_head_width, "or their width");
  command.add_option("--text-heads", m.text_heads, "attention heads of the text encoder, likewise");
}
void add_painting_options(CLI::App& command, app::ModelChoice& m) {
  add_model_options(command, m);
  command.add_option("--vocab", m.vocab,
                     "vocabulary for a single-file model: folder with vocab.json and merges.txt, or "
                     "bpe_simple_vocab_16e6.txt.gz");
  command.add_option("--vae", m.vae, "\"taesd\": decode with the tiny autoencoder instead of the model's own");
  command.add_option("--taesd-folder", m.taesd_folder, "folder with taesd_decoder.safetensors");
  command.add_option("--prediction", m.prediction, "epsilon, v_prediction or sample, where the model does not tell");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App program("inkling: Stable Diffusion on a CPU, to read and to run", "inkling");
  program.require_subcommand(1);

  app::Txt2Img paint;
  CLI::App* txt2img = program.add_subcommand("txt2img", "paint a prompt");
  add_painting_options(*txt2img, paint.model);
  txt2img->add_option("--prompt", paint.prompt, "what to paint")->required();
  txt2img->add_option("--negative", paint.negative, "what to keep away from");
  txt2img->add_option("--steps", paint.steps, "denoising steps")->capture_default_str();
  txt2img->add_option("--guidance", paint.guidance, "how strongly the prompt pulls; 1: no guidance, half the work")
      ->capture_default_str();
  txt2img->add_option("--sampler", paint.sampler, "ddim, ddpm or euler")->capture_default_str();
  txt2img->add_option("--seed", paint.seed, "the same seed paints the same picture")->capture_default_str();
  txt2img->add_option("--width", paint.width, "multiple of 8; 0: as the model was trained")->capture_default_str();
  txt2img->add_option("--height", paint.height, "multiple of 8; 0: as the model was trained")->capture_default_str();
  txt2img->add_option("--out", paint.out, "the picture")->capture_default_str();
  txt2img->add_option("--scale", paint.scale, "enlarge the saved picture by this whole factor")->capture_default_str();
  txt2img->add_option("--save-steps", paint.save_steps,
                      "PNG: what the network expects in the end, after about eight of the steps; a folder: each alone");
  txt2img->add_option("--attention-maps", paint.attention_maps,
                      "PNG: where each word of the prompt was looked at; a folder: each alone as well");
  txt2img->add_option("--dump", paint.dump, "safetensors file of tokens, context, noise, latents after each step, image");
  txt2img->add_option("--threads", paint.threads, "0: all processors")->capture_default_str();
  txt2img->add_flag("--allow-empty", paint.allow_empty, "paint without a prompt");
  txt2img->add_flag("--quiet", paint.quiet, "print errors and notices only");

  app::Inspect look;
  CLI::App* inspect = program.add_subcommand("inspect", "what a weight file or model folder holds");
  inspect->add_option("path", look.model.path, "safetensors file or model folder")->required();
  inspect->add_option("--unet-heads", look.model.unet_heads, "where the file does not tell");
  inspect->add_option("--unet-head-width", look.model.unet_head_width, "likewise");
  inspect->add_option("--text-heads", look.model.text_heads, "likewise");

  app::Tokenize split;
  CLI::App* tokenize = program.add_subcommand("tokenize", "the tokens of a text");
  tokenize->add_option("text", split.text, "the text")->required();
  tokenize->add_option("--model", split.model, "model folder whose tokenizer to use");
  tokenize->add_option("--vocab", split.vocab, "folder with vocab.json and merges.txt, or bpe_simple_vocab_16e6.txt.gz");
  tokenize->add_option("--length", split.length, "tokens that the model reads; 0: as it says, else 77")
      ->capture_default_str();

  app::Evaluate judge;
  CLI::App* evaluate = program.add_subcommand("evaluate", "paint many prompts with the digit model and judge them");
  add_painting_options(*evaluate, judge.model);
  evaluate->add_option("--judge", judge.judge, "weights of the digit classifier; default judge/ in the model's folder");
  evaluate->add_option("--data", judge.data, "folder with MNIST's test set: measures the autoencoder and the judge, too");
  evaluate->add_option("--count", judge.count, "prompts")->capture_default_str();
  evaluate->add_option("--batch", judge.batch, "prompts painted at once")->capture_default_str();
  evaluate->add_option("--steps", judge.steps, "denoising steps")->capture_default_str();
  evaluate->add_option("--guidance", judge.guidance, "guidance scale")->capture_default_str();
  evaluate->add_option("--sampler", judge.sampler, "ddim, ddpm or euler")->capture_default_str();
  evaluate->add_option("--seed", judge.seed, "of the prompts and of the pictures")->capture_default_str();
  evaluate->add_option("--out", judge.out, "folder for the report")->capture_default_str();
  evaluate->add_option("--threads", judge.threads, "0: all processors")->capture_default_str();
  evaluate->add_flag("--check", judge.check, "exit status 3 where an aim is missed");

  app::Bench timed;
  CLI::App* bench = program.add_subcommand("bench", "how long each network of a model takes on this machine");
  add_model_options(*bench, timed.model);
  bench->add_option("--size", timed.size, "side of the picture in pixels; 0: as the model was trained")
      ->capture_default_str();
  bench->add_option("--repeat", timed.repeat, "runs that are timed, after one to warm up")->capture_default_str();
  bench->add_option("--threads", timed.threads, "0: all processors")->capture_default_str();

  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return program.exit(e);  // --help
    const CLI::App* asked = program.get_subcommands().empty() ? nullptr : program.get_subcommands().front();
    const std::string help = "inkling " + (asked ? asked->get_name() + " " : "") + "--help";
    std::fprintf(stderr, "error: %s; hint: %s\n", inkling::printable(e.what()).c_str(), help.c_str());
    return 2;
  }
  return console::run([&] {
    if (*txt2img) return app::txt2img(paint);
    if (*inspect) return app::inspect(look);
    if (*tokenize) return app::tokenize(split);
    if (*bench) return app::bench(timed);
    return app::evaluate(judge);
  });
}
