// The shortest way from words to a picture, with the small model that comes with the library.
// test: --out paint.png
#include <inkling/io/image.hpp>
#include <inkling/pipelines/load.hpp>
#include <inkling/pipelines/text_to_image.hpp>

#include "example.hpp"

int main(int argc, char** argv) {
  const Example example(argc, argv, "paint [--out FILE.png]: paints one prompt with models/mini");
  return example.run([&] {
    inkling::StableDiffusion model = inkling::load_stable_diffusion(example.models() / "mini");
    inkling::TextToImageOptions options;
    options.prompt = "a thin orange four on a purple background";
    options.seed = 7;
    const inkling::TextToImageResult result = inkling::text_to_image(model, options);
    inkling::write_png(example.option("--out", "paint.png"), inkling::tensor_to_image(result.image));
  });
}
