"""The kernel of Triton, interpreted on the CPU; and what happens where it cannot be had."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from mpidl.exchange import kernels

INTERPRETED = """
import numpy as np
import torch
from mpidl.exchange import fused, kernels

fused.prove(torch.device("cpu"))
draw = np.random.default_rng(0)
for number in (torch.float32, torch.float64, torch.float16):
    for size in (1, 17, 1024, 5000):
        for stride in (size, size + 3):
            v = [row[:size] for row in torch.from_numpy(draw.normal(size=(7, stride))).to(number)]
            members = [[v[0], v[1], v[2]], [v[3]], [v[1], v[0], v[4], v[5]]]
            weights = draw.normal(size=8)
            weights[[2, 5]] = 0
            v[2].fill_(float("nan"))
            ours, theirs = ([torch.empty(size, dtype=number) for _ in members] for _ in range(2))
            mixture, kernel = kernels.Mixture(members, theirs), fused.Fused(members, ours)
            mixture.forgo_native()
            for factor in (1, 2):
                mixture(factor * weights)
                kernel(factor * weights)
                assert all(map(torch.equal, ours, theirs)), (number, size, stride)
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_interpreted_the_kernel_gives_the_bits_of_torch():
    # Of 16-bit numbers bfloat16 is left out: the interpreter cuts it off instead of rounding.
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


COMPILED = """
import re
import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mpidl.exchange import fused

def compiled(number, aligned):
    wide = torch.promote_types(number, torch.float32)
    words = {torch.float32: "*fp32", torch.float64: "*fp64"}
    types = ["*i64", "*i64", words[wide], "*i64", "i32", "i32", *4 * ["constexpr"]]
    given = fused.BLOCK, fused.NUMBERS[number], fused.NUMBERS[wide], aligned
    source = ASTSource(
        fn=fused._mix,
        signature=dict(zip(fused._mix.arg_names, types)),
        constexprs=dict(zip(fused._mix.arg_names[6:], given)),
        attrs={(place,): [["tt.divisibility", 16]] for place in range(4)},
    )
    options = {"num_warps": fused.WARPS, "enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]

for number in (torch.float32, torch.bfloat16, torch.float64):
    for aligned in (True, False):
        text = compiled(number, aligned)
        loads = re.findall(r"ld[.]global[.a-z:0-9]*[.]v([24])[.]b(32|64)", text)
        wide = [int(count) * int(bits) == 128 for count, bits in loads]
        assert all(wide) and (len(wide) > 0) == aligned, (number, aligned, loads)
        assert re.search(r"st[.]global[.a-z:0-9]*[.]v[24]", text) or not aligned
        assert "mul" in text and "add" in text and "fma." not in text, (number, aligned)
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_compiled_for_a_gpu_threads_load_sixteen_bytes_and_fuse_nothing(tmp_path):
    """For any number of columns: the mask of the last block keeps no other one apart."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_where_triton_fails_torch_mixes_and_it_is_told(monkeypatch):
    monkeypatch.setattr(kernels, "_tried", {})
    assert kernels.used(torch.device("cpu")) == kernels.NAME
    vectors = torch.ones(2, 5, device="meta")
    kernels.Mixture([[vectors[0]]], [vectors[1]])
    assert kernels.used(torch.device("meta")).startswith("torch (Triton: ")
