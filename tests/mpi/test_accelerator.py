"""The exchange on accelerator memory; needs a GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mpidl import accelerators, plan
from mpidl.exchange import BACKENDS, Wiring
from mpidl.node import Node


@pytest.mark.parametrize("aware", ["no", "auto"])
@pytest.mark.parametrize("strategy", ["degree", "federated"])
@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_vectors_on_an_accelerator_mix_like_the_dense_matrix(comm, kind, strategy, aware):
    if not getattr(torch, kind).is_available():
        pytest.skip(f"torch finds no {kind} accelerator here")
    node = Node(comm)
    hardware = accelerators.choose(node.inner, kind)
    settings = [f"topology.devices={2 * comm.size}", f"strategy.name={strategy}"]
    made = plan.make(plan.read(None, settings, comm.size), comm.size)
    float32 = torch.float32
    wiring = Wiring(node, made.hosts, made.mixing_graph, 1001, hardware, float32, made.uniform)
    exchange = BACKENDS["auto"](replace(wiring, accelerator_aware=aware))
    start = np.random.default_rng(3).normal(size=(made.devices, 1001)).astype(np.float32)
    for device, vector in exchange.vectors.items():
        vector.copy_(torch.from_numpy(start[device]))
    want = start.astype(np.float64)
    for round_ in range(3):
        exchange.arrive(made.rows(round_, list(exchange.vectors)))
        exchange.share()
        exchange.mix()
        want = made.matrix(round_) @ want
    for device, vector in exchange.vectors.items():
        assert vector.device.type == kind
        np.testing.assert_allclose(vector.cpu(), want[device], rtol=2e-5, atol=2e-6)
    exchange.close()
    node.close()
