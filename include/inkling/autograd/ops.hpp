// Every differentiable operation.
#pragma once
#include "inkling/autograd/fused_ops.hpp"
#include "inkling/autograd/layer_ops.hpp"
#include "inkling/autograd/loss_ops.hpp"
#include "inkling/autograd/math_ops.hpp"

#ifdef INKLING_COMPILED_KERNELS
#include "inkling/autograd/instantiations.hpp"  // they are in a library
#endif
