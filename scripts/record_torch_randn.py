#!/usr/bin/env python3
"""Records what PyTorch's CPU generator returns, for tests/test_random.cpp.

    apt-get install python3-torch       # 1.13.1 was recorded; any version since 1.5 should agree
    python3 scripts/record_torch_randn.py > tests/data/torch_randn.json

Numbers are written so that they read back exactly: float with 9 digits, double with 17.
"""
import json
import struct
import sys

import torch

SEEDS = [0, 1, 42, 2147483647, 4294967295, 4294967296 + 7, 0xDEADBEEFCAFEF00D, 0xFFFFFFFFFFFFFFFF]
SHAPES = [[1], [2], [7], [15], [16], [17], [31], [32], [100], [3, 5], [4, 64, 64]]
KEEP = 64  # of a long tensor only the first and last so many values are written


def numbers(t):
    digits = 9 if t.dtype == torch.float32 else 17
    return [float("%.*g" % (digits, v)) for v in t.flatten().tolist()]


def fnv1a(t):
    """64-bit FNV-1a over the little-endian bytes."""
    code = "<f" if t.dtype == torch.float32 else "<d"
    h = 0xCBF29CE484222325
    for v in t.flatten().tolist():
        for byte in struct.pack(code, v):
            h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return str(h)


def sample(name, t, exact):
    entry = {"call": name, "shape": list(t.shape), "dtype": "float32" if t.dtype == torch.float32 else "float64"}
    if t.numel() <= 2 * KEEP:
        entry["values"] = numbers(t)
    else:
        entry["first"], entry["last"] = numbers(t.flatten()[:KEEP]), numbers(t.flatten()[-KEEP:])
        entry["sum"] = t.double().sum().item()
        entry["sum_of_squares"] = t.double().square().sum().item()
    if exact:
        entry["fnv1a"] = fnv1a(t)
    return entry


def call(name, shape, dtype):
    t = (torch.randn if name == "randn" else torch.rand)(shape, dtype=dtype)
    return sample(name, t, exact=name == "rand")


def main():
    out = {"pytorch": torch.__version__, "raw": [], "sequences": [], "integers": [], "permutations": []}
    for seed in SEEDS:
        # random_ over all of int64 shows the generator's 32-bit words: the high half is drawn first.
        torch.manual_seed(seed)
        words = []
        for v in torch.empty(500, dtype=torch.int64).random_(-(2**63), None).tolist():
            words += [(v >> 32) & 0xFFFFFFFF, v & 0xFFFFFFFF]
        out["raw"].append({"seed": str(seed), "first": words[:16], "from_992": words[992:1000]})

    # Every shape alone, in both precisions, for the first three seeds; 15, 16 and 17 for all of them.
    for n, seed in enumerate(SEEDS):
        for shape in SHAPES:
            for dtype in (torch.float32, torch.float64):
                if n > 2 and (shape not in ([15], [16], [17], [100]) or dtype == torch.float64):
                    continue
                if shape == [4, 64, 64] and n > 1 and dtype == torch.float64:
                    continue
                torch.manual_seed(seed)
                out["sequences"].append({"seed": str(seed), "calls": [call("randn", shape, dtype)]})
    # Several calls after one seed: the second Box-Muller value waits inside the generator, also across other calls.
    f, d = torch.float32, torch.float64
    for seed in (3, 0xDEADBEEFCAFEF00D):
        for plan in (
            [("randn", [15], f), ("randn", [15], f)],
            [("randn", [16], f), ("randn", [16], f)],
            [("randn", [1], f), ("randn", [17], f), ("randn", [2], f), ("randn", [100], f)],
            [("randn", [3], f), ("rand", [5], f), ("randn", [3], d), ("rand", [4], d), ("randn", [20], d), ("randn", [1], d)],
            [("rand", [4, 64, 64], f), ("rand", [4, 64, 64], d), ("randn", [4, 64, 64], f)],
        ):
            torch.manual_seed(seed)
            out["sequences"].append({"seed": str(seed), "calls": [call(*c) for c in plan]})

    for seed in (0, 5):
        for low, high in ((0, 10), (-3, 4), (0, 1000), (0, 2**31), (0, 2**32 - 1), (0, 2**32), (-(2**40), 2**50)):
            torch.manual_seed(seed)
            values = torch.randint(low, high, (12,)).tolist()
            out["integers"].append({"seed": str(seed), "low": low, "high": high, "values": values})
        for n in (1, 2, 10, 100):
            torch.manual_seed(seed)
            out["permutations"].append({"seed": str(seed), "n": n, "values": torch.randperm(n).tolist()})
    text = json.dumps(out, separators=(",", ":"))
    sys.stdout.write(text.replace("]},", "]},\n") + "\n")


if __name__ == "__main__":
    main()
