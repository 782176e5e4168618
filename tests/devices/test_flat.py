"""Any module's numbers as one vector, known to nothing but torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mpidl.config.faults import Fault
from mpidl.devices.flat import Flat, as_rows


class Tied(nn.Module):
    """A language model whose last layer has the weights of its first."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(7, 4)
        self.norm = nn.BatchNorm1d(4)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.rows.weight

    def forward(self, tokens):
        """Each token's scores of the next, ``(B, 7)``."""
        return self.out(self.norm(self.rows(tokens)))


def turned():
    """Weights that do not lie in memory as they are indexed."""
    model = nn.Linear(3, 5)
    model.weight = nn.Parameter(torch.arange(15.0).view(3, 5).t())
    assert not model.weight.is_contiguous()
    return model


def frozen():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    return model[0].requires_grad_(False) and model


def scalar():
    model = nn.Module()
    model.factor = nn.Parameter(torch.tensor(3.0))
    model.register_buffer("none", torch.empty(0))
    model.register_buffer("place", torch.tensor([4]))
    return model


MODELS = {"tied": Tied, "turned": turned, "frozen": frozen, "scalar": scalar}


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def floating(module):
    """By hand: parameters, then floating buffers, each once."""
    slots = [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
    return torch.cat([slot.detach().flatten() for slot in slots])


@pytest.mark.parametrize("name", MODELS)
def test_a_module_moves_into_a_vector_and_stays_what_it_is(name):
    torch.manual_seed(0)
    module = MODELS[name]()
    before, want = state(module), floating(module)
    flat = Flat(module)
    asks = [p.requires_grad for p in module.parameters()]
    flat.adopt(vector := torch.full((flat.size,), torch.nan))
    assert torch.equal(vector, want)
    assert flat.learned == sum(p.numel() for p in module.parameters())
    assert all(torch.equal(tensor, before[key]) for key, tensor in state(module).items())
    assert [p.requires_grad for p in module.parameters()] == asks


@pytest.mark.parametrize("name", MODELS)
def test_what_is_written_to_the_vector_is_in_the_module_and_back(name):
    module = MODELS[name]()
    flat = Flat(module)
    flat.bind(vector := torch.arange(1.0, flat.size + 1))
    assert torch.equal(floating(module), vector)
    vector.mul_(2)
    assert torch.equal(floating(module), vector)
    with torch.no_grad():
        next(module.parameters()).fill_(-1)
    assert (vector == -1).sum() == next(module.parameters()).numel()


def test_tied_weights_are_there_once_and_stay_tied():
    module = Tied()
    flat = Flat(module)
    flat.adopt(torch.zeros(flat.size))
    assert flat.size == 7 * 4 + 4 * 4
    assert flat.names == [
        *("rows.weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
    ]
    assert module.out.weight is module.rows.weight


def test_a_training_in_the_vector_is_one_outside():
    """With torch's own optimizer, whose state stays valid where the vector is another one."""
    tokens = torch.arange(7)
    found = []
    for binds in (False, True):
        torch.manual_seed(1)
        module = Tied()
        flat, optimizer = Flat(module), torch.optim.Adam(module.parameters(), 0.1)
        for _ in range(4):
            if binds:
                flat.adopt(torch.empty(flat.size))
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(tokens), tokens).backward()
            optimizer.step()
        found.append(floating(module))
        assert module.norm.num_batches_tracked == 4
    np.testing.assert_array_equal(*found)


def test_views_of_the_numbers_of_many_modules():
    flat = Flat(Tied())
    many = torch.arange(3.0 * flat.size).view(3, -1)
    views = [*flat.parameters(many), *flat.buffers(many[:, flat.learned :])]
    assert [tuple(view.shape) for view in views] == [(3, 7, 4), *[(3, 4)] * 4]
    assert torch.equal(torch.cat([view.flatten(1) for view in views], 1), many)
    assert {view.untyped_storage().data_ptr() for view in views} == {many.data_ptr()}


def mixed():
    return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())


def aliased():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = nn.Parameter(model[0].weight.data)
    return model


def whole():
    model = nn.Module()
    model.weight = nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)
    return model


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (nn.ReLU, "ReLU has no parameters: must have some."),
        (
            mixed,
            "Sequential has numbers of torch.float32 (0.weight) and torch.float64 (1.weight): must "
            "be the same, as they are in one vector.",
        ),
        (whole, "Module has numbers of torch.int64: must be floating."),
        (
            aliased,
            "Sequential: 0.weight and 1.weight share memory, but are not one: must be one "
            "parameter under both names, or have separate memory.",
        ),
    ],
)
def test_what_cannot_be_one_vector_is_told(made, sentence):
    with pytest.raises(Fault) as fault:
        Flat(made())
    assert fault.value.sentences == (sentence,)


def test_rows_of_one_memory_are_a_matrix_without_a_copy():
    memory = torch.arange(40.0).view(4, 10)
    every, some = as_rows([row[:7] for row in memory]), as_rows([memory[1, :7], memory[3, :7]])
    assert torch.equal(every, memory[:, :7])
    assert torch.equal(some, memory[1::2, :7])
    assert (every.data_ptr(), some.data_ptr()) == (memory.data_ptr(), memory[1].data_ptr())
    apart = as_rows([torch.zeros(3), torch.ones(3)])
    assert torch.equal(apart, torch.tensor([[0.0] * 3, [1.0] * 3]))


def test_it_knows_no_device_and_no_run():
    """As it lies under the training loop of anyone."""
    text = "import sys, mpidl.devices.flat; print(*(m for m in sys.modules if 'mpidl.' in m))"
    told = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert {name.split(".")[1] for name in told.stdout.split()} == {"config", "devices"}
    assert "mpidl.devices.device" not in told.stdout.split()
