"""The exchange and the kernel on accelerator memory; needs a GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mpidl import plan
from mpidl.config.faults import Fault
from mpidl.exchange import BACKENDS, Wiring, kernels
from mpidl.ranks import accelerators
from mpidl.ranks.node import Node

WAYS = [
    *((kind, backend, "auto") for kind in ("cuda", "xpu") for backend in ("auto", "mpi")),
    *((kind, "mpi", "no") for kind in ("cuda", "xpu")),
    ("cuda", "nccl", "auto"),
    ("cuda", "ipc", "auto"),
    ("xpu", "xccl", "auto"),
    ("xpu", "ccl", "auto"),
]


def found(kind):
    if not getattr(torch, kind).is_available():
        pytest.skip(f"torch finds no {kind} accelerator here")


@pytest.mark.parametrize("strategy", ["degree", "federated"])
@pytest.mark.parametrize(("kind", "backend", "aware"), WAYS)
def test_vectors_on_an_accelerator_mix_like_the_dense_matrix(comm, kind, backend, strategy, aware):
    found(kind)
    node = Node(comm)
    hardware = accelerators.choose(node.inner, kind)
    settings = [f"topology.devices={2 * comm.size}", f"strategy.name={strategy}"]
    made = plan.make(plan.read(None, settings, comm.size), comm.size)
    float32 = torch.float32
    wiring = Wiring(node, made.hosts, made.mixing_graph, 1001, hardware, float32, made.uniform)
    try:
        exchange = BACKENDS[backend](replace(wiring, accelerator_aware=aware))
    except Fault as fault:
        node.close()
        pytest.skip(str(fault))
    start = np.random.default_rng(3).normal(size=(made.devices, 1001)).astype(np.float32)
    for device, vector in exchange.vectors.items():
        vector.copy_(torch.from_numpy(start[device]))
    want = start.astype(np.float64)
    for round_ in range(3):
        exchange.arrive(made.mixing_weights(round_, list(exchange.vectors)))
        exchange.share()
        exchange.mix()
        want = made.matrix(round_) @ want
    for device, vector in exchange.vectors.items():
        assert vector.device.type == kind
        np.testing.assert_allclose(vector.cpu(), want[device], rtol=2e-5, atol=2e-6)
    exchange.close()
    node.close()


@pytest.mark.parametrize("number", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [1, 1024, 1001, 1 << 20])
@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_the_kernel_of_an_accelerator_gives_the_bits_of_torch(kind, size, number):
    found(kind)
    draw = np.random.default_rng(0)
    vectors = torch.from_numpy(draw.normal(size=(7, size + 3))).to(kind, number)[:, :size]
    vectors[2].fill_(float("nan"))
    weights = draw.normal(size=8)
    weights[[2, 5]] = 0
    there, here = (
        [[v[0], v[1], v[2]], [v[3]], [v[1], v[0], v[4], v[5]]] for v in (vectors, vectors.cpu())
    )
    ours, theirs = ([torch.empty_like(row[0]) for row in rows] for rows in (there, here))
    kernels.Mixture(there, ours)(weights)
    kernels.Mixture(here, theirs)(weights)
    if getattr(torch.version, kind, None) is None:
        pytest.skip("this torch was built for processors, so the GPU is a fake one")
    assert kernels.used(torch.device(kind)) == "triton"
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.cpu(), other)
