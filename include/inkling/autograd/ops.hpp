// Every differentiable operation.
#pragma once
#include "inkling/autograd/layer_ops.hpp"
#include "inkling/autograd/loss_ops.hpp"
#include "inkling/autograd/math_ops.hpp"
