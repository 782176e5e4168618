"""Trainers of transformers and Lightning whose models gossip, against the mean of all."""

import copy
import os
import runpy
import sys
from pathlib import Path

import pytest
import torch

from mpidl import Fault

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

EQUAL = {"topology": "complete", "strategy": "unweighted"}
STEPS, EVERY = 4, 2
FINE_TUNE = Path(__file__).parents[2] / "examples/fine_tune.py"


def vector(model):
    return torch.cat([weight.detach().double().flatten() for weight in model.parameters()])


def mean(comm, model):
    """The mean of all ranks' models."""
    return torch.stack(comm.allgather(vector(model))).mean(0)


def install(model, numbers):
    torch.nn.utils.vector_to_parameters(numbers.float(), model.parameters())


@pytest.fixture
def transformers():
    pytest.importorskip("accelerate", reason="the Trainer of transformers needs accelerate")
    return pytest.importorskip("transformers", reason="transformers is not installed")


def small(transformers, rank):
    torch.manual_seed(rank)
    special = {"bos_token_id": 0, "eos_token_id": 0}
    size = {"vocab_size": 16, "n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 8}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**size, **special))


def fitted(transformers, model, folder, steps, data, callbacks=()):
    arguments = transformers.TrainingArguments(
        str(folder), max_steps=steps, per_device_train_batch_size=4, optim="sgd",
        lr_scheduler_type="constant", learning_rate=0.1, use_cpu=True, save_strategy="no",
        report_to=[], disable_tqdm=True,
    )  # fmt: skip
    transformers.Trainer(model, arguments, train_dataset=data, callbacks=[*callbacks]).train()


def test_a_trainer_of_transformers_mixes_every_few_steps(comm, tmp_path, transformers):
    from mpidl.run.callbacks.transformers import SIZES, GossipCallback, apart

    os.environ.setdefault("WORLD_SIZE", "1")
    before = {name: os.environ.get(name) for name in SIZES}
    tokens = torch.randint(16, (8, 8), generator=torch.Generator().manual_seed(comm.rank))
    data = [{"input_ids": row, "labels": row} for row in tokens]
    start = small(transformers, comm.rank)
    mixed, alone = copy.deepcopy(start), start
    with apart():
        assert not {*SIZES} & {*os.environ}
        fitted(transformers, mixed, tmp_path, EVERY, data, [GossipCallback(EVERY, **EQUAL)])
        fitted(transformers, alone, tmp_path, EVERY, data)
    assert {name: os.environ.get(name) for name in SIZES} == before
    assert torch.allclose(vector(mixed), mean(comm, alone), atol=1e-6)
    assert comm.size == 1 or not torch.allclose(vector(alone), vector(mixed), atol=1e-3)


def test_a_wrong_number_of_steps_is_refused(transformers):
    from mpidl.run.callbacks.transformers import GossipCallback

    with pytest.raises(Fault, match="every = 0: must be at least 1"):
        GossipCallback(0)


def test_the_example_learns_on_every_rank(comm, monkeypatch, capsys, transformers):
    monkeypatch.setattr(sys, "argv", ["fine_tune.py", "--steps", "20", "--every", "5"])
    runpy.run_path(str(FINE_TUNE), run_name="__main__")
    line = capsys.readouterr().out.strip().splitlines()[-1]
    losses = [float(text) for text in line.rpartition("ranks ")[2].split(", ")]
    assert line.startswith(f"rank {comm.rank}: ")
    assert len(losses) == 2
    assert max(losses) < 4.85  # log(128) for a model that knows nothing


@pytest.fixture
def lightning():
    return pytest.importorskip("lightning", reason="lightning is not installed")


def loss(module, rows):
    return module.net(rows).pow(2).mean()


def linear(lightning, rank):
    class Net(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(4, 2)

        def training_step(self, rows, index):
            return loss(self, rows)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    torch.manual_seed(rank)
    return Net(), torch.randn(STEPS, 3, 4)


def by_hand(comm, module, batches, per_step=1):
    """Steps of SGD, with the mean of all models after every few."""
    groups = batches.view(-1, per_step, *batches.shape[1:])
    for step, group in enumerate(groups, start=1):
        total = sum(loss(module, rows) for rows in group) / per_step
        gradients = torch.autograd.grad(total, list(module.parameters()))
        for weight, gradient in zip(module.parameters(), gradients, strict=True):
            weight.data.sub_(gradient, alpha=0.1)
        if step % EVERY == 0:
            install(module, mean(comm, module))
    return vector(module)


@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_trainer_of_lightning_mixes_every_few_steps(comm, lightning, accumulated):
    from mpidl.run.callbacks.lightning import GossipCallback

    module, batches = linear(lightning, comm.rank)
    want = by_hand(comm, copy.deepcopy(module), batches, accumulated)
    trainer = lightning.Trainer(
        max_epochs=1, callbacks=[GossipCallback(EVERY, **EQUAL)], logger=False, devices=1,
        accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accumulate_grad_batches=accumulated,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    assert torch.allclose(vector(module), want, atol=1e-6)


@pytest.mark.parametrize("plain", [True, False])
def test_a_loop_of_fabric_mixes_where_it_calls(comm, lightning, plain):
    from mpidl.run.callbacks.lightning import GossipCallback

    module, batches = linear(lightning, comm.rank)
    want = by_hand(comm, copy.deepcopy(module), batches)
    net = module.net if plain else module
    fabric = lightning.Fabric(
        accelerator="cpu", devices=1, callbacks=[GossipCallback(EVERY, **EQUAL)]
    )
    model, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), 0.1))
    more = {} if plain else {"outputs": None, "batch": None, "batch_idx": 0}
    fabric.call("on_train_start", trainer=fabric, pl_module=model)
    for rows in batches:
        fabric.backward(loss(module, rows))
        optimizer.step()
        optimizer.zero_grad()
        fabric.call("on_train_batch_end", trainer=fabric, pl_module=model, **more)
    fabric.call("on_train_end", trainer=fabric, pl_module=model)
    assert torch.allclose(vector(module), want, atol=1e-6)
