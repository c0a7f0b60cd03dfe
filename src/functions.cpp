// Of the library of compiled kernels: what headers declare with INKLING_FUNCTION (core/compiled.hpp). Files of a model,
// loading it whole, painting with it.
#define INKLING_COMPILING
#include "inkling/io/config_files.hpp"
#include "inkling/io/model_files.hpp"
#include "inkling/io/safetensors_header.hpp"
#include "inkling/pipelines/load.hpp"
#include "inkling/pipelines/text_to_image.hpp"
#include "inkling/text/tokenizer_io.hpp"
