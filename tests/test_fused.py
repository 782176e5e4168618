"""The kernel of Triton, interpreted on the CPU; and what happens where it cannot be had."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from mpidl import kernels

INTERPRETED = """
import numpy as np
import torch
from mpidl import fused, kernels

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


def test_where_triton_fails_torch_mixes_and_it_is_told(monkeypatch):
    monkeypatch.setattr(kernels, "_tried", {})
    assert kernels.used(torch.device("cpu")) == kernels.NAME
    vectors = torch.ones(2, 5, device="meta")
    kernels.Mixture([[vectors[0]]], [vectors[1]])
    assert kernels.used(torch.device("meta")).startswith("torch (Triton: ")
