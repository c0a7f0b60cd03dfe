// The commands that run networks, in one file so that these are compiled once.
#include "bench.hpp"
#include "evaluate.hpp"
#include "txt2img.hpp"
