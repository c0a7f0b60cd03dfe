"""PyTorch for bench/compare.sh: one shape a line in, the median seconds of five warm calls out (see server.hpp).

Tensors are plain (NCHW) and the calls are those a user writes. Attention is softmax(q k^T) v, as PyTorch 1.13 has no
fused one for CPUs.
"""
import os
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count()))
torch.set_grad_enabled(False)


def prepare(kind, dtype, size):
    def numbers(*shape):
        return torch.rand(*shape).to(dtype)

    if kind == "conv":
        n, c, h, w, o, k, stride = size
        x, weight, bias = numbers(n, c, h, w), numbers(o, c, k, k), numbers(o)
        return lambda: F.conv2d(x, weight, bias, stride=stride, padding=k // 2)
    if kind == "linear":
        rows, inputs, outputs = size
        x, weight, bias = numbers(rows, inputs), numbers(outputs, inputs), numbers(outputs)
        return lambda: F.linear(x, weight, bias)
    if kind == "attention":
        n, queries, keys, heads, width = size
        q, k, v = (numbers(n, length, heads * width) for length in (queries, keys, keys))

        def split(x):
            return x.view(n, -1, heads, width).transpose(1, 2)

        def attention():
            weights = torch.softmax(split(q) @ split(k).transpose(2, 3) * width**-0.5, -1)
            return (weights @ split(v)).transpose(1, 2).reshape(n, queries, heads * width)

        return attention
    if kind == "group_norm":
        n, c, h, w, groups = size
        x, gamma, beta = numbers(n, c, h, w), numbers(c), numbers(c)
        return lambda: F.group_norm(x, groups, gamma, beta)
    x = numbers(*size)
    if kind == "layer_norm":
        gamma, beta = numbers(size[1]), numbers(size[1])
        return lambda: F.layer_norm(x, (size[1],), gamma, beta)
    return {"gelu": lambda: F.gelu(x), "silu": lambda: F.silu(x), "softmax": lambda: torch.softmax(x, -1)}.get(kind)


clock = time.process_time if os.environ.get("COMPARE_CLOCK") == "processor" else time.perf_counter


def median_of_five(call):
    call()
    seconds = []
    for _ in range(5):
        calls, start = 0, clock()
        while calls == 0 or clock() - start < 0.01:
            call()
            calls += 1
        seconds.append((clock() - start) / calls)
    return sorted(seconds)[2]


for line in sys.stdin:
    kind, dtype, *size = line.split()
    dtypes = {"f32": torch.float32, "bf16": torch.bfloat16}
    try:
        call = prepare(kind, dtypes[dtype], [int(n) for n in size]) if dtype in dtypes else None
        print(f"{median_of_five(call):.9f}" if call else "-", flush=True)
    except RuntimeError as error:
        print(f"{line.strip()}: {error}", file=sys.stderr)
        print("-", flush=True)
