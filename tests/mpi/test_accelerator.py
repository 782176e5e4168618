"""The exchange on accelerator memory; needs a GPU."""

import numpy as np
import pytest
import torch

from mpidl import accelerators, plan, world
from mpidl.exchange import BACKENDS, Wiring


@pytest.mark.parametrize("aware", ["no", "auto"])
@pytest.mark.parametrize("strategy", ["degree", "federated"])
@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_vectors_on_an_accelerator_mix_like_the_dense_matrix(comm, kind, strategy, aware):
    if not getattr(torch, kind).is_available():
        pytest.skip(f"torch finds no {kind} accelerator here")
    node = world.node(comm)
    hardware = accelerators.choose(node, kind)
    settings = [f"topology.devices={2 * comm.size}", f"strategy.name={strategy}"]
    made = plan.make(plan.read(None, settings, comm.size), comm.size)
    wiring = Wiring(comm, made.hosts, made.mixing_graph, 1001, hardware, made.uniform, aware)
    exchange = BACKENDS["auto"](wiring)
    start = np.random.default_rng(3).normal(size=(made.devices, 1001)).astype(np.float32)
    for device, vector in exchange.vectors.items():
        vector.copy_(torch.from_numpy(start[device]))
    want = start.astype(np.float64)
    for round_ in range(3):
        exchange.share()
        exchange.mix(made.rows(round_, list(exchange.vectors)))
        want = made.matrix(round_) @ want
    for device, vector in exchange.vectors.items():
        assert vector.device.type == kind
        np.testing.assert_allclose(vector.cpu(), want[device], rtol=2e-5, atol=2e-6)
    exchange.close()
    node.Free()
