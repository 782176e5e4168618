"""What the fake GPU refuses, as CUDA does: run on it by ``test_device.py``."""

import numpy as np
import pytest
import torch

from tests.fake_cuda import shim

CUDA = torch.device("cuda", 0)


@pytest.fixture
def there():
    """A vector on the GPU."""
    return torch.arange(6, dtype=torch.float32, device=CUDA)


@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: here + there,
        lambda here, there: there.add_(here),
        lambda here, there: torch.cat([here, there]),
        lambda here, there: torch.mul(there, 2, out=here),
        lambda here, there: there.index_select(0, torch.tensor([1])),
        lambda here, there: torch.nn.functional.linear(there, here.view(1, 6)),
    ],
)
def test_operands_on_two_devices_are_refused(there, mix):
    with pytest.raises(RuntimeError, match="found at least two devices"):
        mix(torch.ones(6), there)


def test_scalars_and_indices_of_the_host_are_taken(there):
    assert (there * torch.tensor(2.0)).device == CUDA
    assert there[torch.tensor([4, 5])].tolist() == [4, 5]
    there[torch.tensor([0])] = 7.0
    assert there.tolist() == [7, 1, 2, 3, 4, 5]


def test_numpy_gets_nothing(there):
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        there.numpy()
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        np.asarray(there)


def test_views_share_memory_and_copies_do_not(there):
    there.view(2, 3)[1].zero_()
    there.as_strided((2,), (5,)).add_(9)
    assert there.tolist() == [9, 1, 2, 0, 0, 9]
    assert there.view(torch.uint8).shape == (24,)
    there.clone().zero_()
    there.cpu().zero_()
    assert there.sum().item() == 21


def test_an_out_that_is_too_small_grows(there):
    out = torch.empty(0, device=CUDA)
    torch.add(there, 1, out=out)
    assert out.tolist() == [1, 2, 3, 4, 5, 6]
    assert out.resize_(8)[:6].tolist() == [1, 2, 3, 4, 5, 6]


def test_gradients_are_those_of_the_processor():
    weights = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    found = []
    for device in ("cpu", CUDA):
        leaf = weights.clone().to(device).requires_grad_()
        leaf.tanh().square().sum().backward()
        found.append(leaf.grad.cpu())
    assert torch.equal(*found)


def test_memory_that_nobody_has_written_is_no_number_one_counts_on():
    fresh = torch.empty(64, dtype=torch.uint8, device=CUDA)
    assert fresh.eq(0xAB).all()


def test_memory_is_given_back_and_runs_out():
    _, before, _, _ = shim.device.memory()
    held = [torch.empty(1 << 16, device=CUDA) for _ in range(5)]
    assert shim.device.memory()[1] - before == 5 << 18
    del held
    assert shim.device.memory()[1] == before
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        torch.empty(1 << 50, dtype=torch.uint8, device=CUDA)


def test_pinned_memory_is_of_the_host_and_known_to_be_pinned():
    pinned = torch.zeros(3, pin_memory=True)
    assert pinned.device.type == "cpu"
    assert pinned.is_pinned()
    assert not torch.zeros(3).is_pinned()


def test_who_maps_own_memory_is_refused(there):
    _, *handle, _ = there.untyped_storage()._share_cuda_()
    with pytest.raises(RuntimeError, match="invalid device context"):
        torch.UntypedStorage._new_shared_cuda(0, *handle, False)


def test_waits_are_counted():
    before = shim.called["synchronize"]
    torch.cuda.synchronize()
    assert shim.called["synchronize"] == before + 1
