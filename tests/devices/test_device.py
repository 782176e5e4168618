"""One device against plain torch loops written without flat vectors."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mpidl.config import seeds
from mpidl.config.runfile import EvaluationSettings, TrainingSettings
from mpidl.devices import device as device_module
from mpidl.devices.device import Device, Samples
from mpidl.devices.scores import IGNORED

NUMBER = 3
CLASSES = 4

pytestmark = pytest.mark.usefixtures("one_thread")


def samples(count=13, seed=0):
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(count, 1, 3, 3)).astype(np.float32)
    return Samples(torch.from_numpy(inputs), torch.from_numpy(draw.integers(CLASSES, size=count)))


def network(kind="plain"):
    torch.manual_seed(1)
    if kind == "plain":
        return nn.Sequential(nn.Flatten(), nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, CLASSES))
    if kind == "dropout":
        return nn.Sequential(nn.Flatten(), nn.Linear(9, 20), nn.Dropout(), nn.Linear(20, CLASSES))
    return nn.Sequential(
        nn.Conv2d(1, 5, 2), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(20, CLASSES)
    )


def device_of(model, shard, number=NUMBER, **training):
    device = Device(number, model, shard, TrainingSettings(**training))
    device.flat.adopt(torch.full((device.flat.size,), float("nan")))
    return device


def vector(device):
    slots = [*device.model.parameters(), *device.model.buffers()]
    return torch.cat([s.detach().reshape(-1) for s in slots if s.is_floating_point()])


def optimizer_of(training, parameters):
    common = {"lr": training.lr, "weight_decay": training.weight_decay}
    if training.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=training.momentum, **common)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[training.optimizer]
    return kind(parameters, betas=training.betas, **common)


def batches_of(training, count, round_):
    order = seeds.stream(training.seed, "batches", NUMBER, round_)
    size, found = training.batch_size, []
    for _ in range(training.epochs if training.steps is None else training.steps):
        epoch = order.permutation(count) if training.order == "shuffled" else np.arange(count)
        found += [epoch[start : start + size] for start in range(0, count, size)]
    return found[: training.steps]


def plain_loop(model, shard, training, rounds):
    """Train as any tutorial does; the mean loss of each round."""
    optimizer, losses = optimizer_of(training, model.parameters()), []
    model.train()
    for round_ in range(rounds):
        if training.optimizer_state == "reset":
            optimizer = optimizer_of(training, model.parameters())
        torch.manual_seed(seeds.integer(training.seed, "dropout", NUMBER, round_))
        start = [p.detach().clone() for p in model.parameters()]
        total = seen = 0
        for batch in batches_of(training, len(shard), round_):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(shard.inputs[batch]), shard.labels[batch])
            drift = sum(
                ((p - s) ** 2).sum() for p, s in zip(model.parameters(), start, strict=True)
            )
            (loss + training.proximal / 2 * drift).backward()
            optimizer.step()
            total += float(loss.detach()) * len(batch)
            seen += len(batch)
        losses.append(total / seen)
    return losses


@pytest.mark.parametrize("kind", ["plain", "norm", "dropout"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"momentum": 0.9, "weight_decay": 0.01},
        {"momentum": 0.9, "optimizer_state": "reset"},
        {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
        {"optimizer": "adam", "lr": 0.01, "betas": (0.5, 0.9), "optimizer_state": "reset"},
        {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1},
        {"proximal": 2.0, "epochs": 3},
        {"proximal": 1.0, "optimizer": "adam", "lr": 0.01},
        {"steps": 5},
        {"order": "fixed", "epochs": 2},
        {"batch_size": 100},
    ],
    ids=str,
)
def test_training_is_a_plain_torch_loop(settings, kind):
    settings = {"batch_size": 5, "epochs": 2, "seed": 9, **settings}
    shard, model = samples(), network(kind)
    device = device_of(copy.deepcopy(model), shard, **settings)
    start = vector(device)
    losses = [device.train(round_) for round_ in range(3)]
    want = plain_loop(model, shard, TrainingSettings(**settings), 3)
    floating = [b for b in model.buffers() if b.is_floating_point()]
    parts = [t.detach().reshape(-1) for t in [*model.parameters(), *floating]]
    np.testing.assert_allclose(losses, want, rtol=1e-5)
    np.testing.assert_allclose(vector(device), torch.cat(parts), rtol=1e-4, atol=1e-6)
    assert (vector(device) - start).norm() > 0.01


@pytest.mark.parametrize("rounds", [1, 2])
def test_kept_and_reset_optimizer_states_part_in_the_second_round(rounds):
    devices = [
        device_of(network(), samples(), momentum=0.9, optimizer_state=state, batch_size=5)
        for state in ("kept", "reset")
    ]
    for device in devices:
        for round_ in range(rounds):
            device.train(round_)
    assert torch.equal(*map(vector, devices)) == (rounds == 1)


def test_order_follows_from_device_and_round():
    def run(number, rounds):
        device = device_of(network(), samples(), number, batch_size=4)
        for round_ in rounds:
            device.train(round_)
        return vector(device)

    assert torch.equal(run(0, [0, 1]), run(0, [0, 1]))
    assert not torch.equal(run(0, [0]), run(1, [0]))
    assert not torch.equal(run(0, [0]), run(0, [1]))


def test_draws_elsewhere_do_not_change_training():
    quiet, noisy = (device_of(network("dropout"), samples(), batch_size=4) for _ in range(2))
    quiet.train(0)
    torch.manual_seed(77)
    noisy.train(0)
    assert torch.equal(vector(quiet), vector(noisy))


def test_the_vector_holds_parameters_and_batch_norm_statistics_but_no_counters():
    model = network("norm")
    parameters = sum(p.numel() for p in model.parameters())
    memory = torch.zeros(parameters + 2 * 5)
    device = Device(0, model, samples(), TrainingSettings(batch_size=5))
    assert device.flat.size == len(memory)
    device.flat.adopt(memory)
    assert memory[parameters:].tolist() == [0.0] * 5 + [1.0] * 5
    device.train(0)
    assert torch.equal(memory, vector(device))
    statistics = torch.cat([model[1].running_mean, model[1].running_var])
    assert torch.equal(memory[parameters:], statistics)
    assert (statistics[:5] != 0).all()
    assert model[1].num_batches_tracked == 3


def test_a_bound_vector_is_the_memory_of_the_model():
    device = device_of(network("norm"), samples(), batch_size=5)
    device.train(0)
    old, new = vector(device), torch.randn(device.flat.size).abs()
    memory = new.clone()
    device.flat.bind(memory)
    assert torch.equal(vector(device), new)
    device.train(1)
    assert torch.equal(vector(device), memory)
    assert not torch.equal(memory, new)
    assert not torch.equal(memory, old)


def test_momentum_survives_the_swap_of_memory():
    settings = {"momentum": 0.9, "batch_size": 5}
    moved, model = device_of(network(), samples(), **settings), network()
    for round_ in range(2):
        moved.train(round_)
        moved.flat.bind(vector(moved))
    plain_loop(model, samples(), TrainingSettings(**settings), 2)
    want = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    np.testing.assert_allclose(vector(moved), want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [1, 6])
def test_a_device_with_one_sample_trains(count):
    device = device_of(network("norm"), samples(count), batch_size=5)
    assert np.isfinite(device.train(0))
    assert vector(device).isfinite().all()


def test_bfloat16_trains_in_float32_memory():
    device = device_of(network(), samples(), precision="bfloat16", epochs=20, batch_size=5)
    first = device.train(0)
    assert device.train(1) < first
    assert vector(device).dtype == torch.float32


# Evaluation ----------------------------------------------------------------------------------


class Told(nn.Module):
    """Answers with the input itself, so that a test chooses the logits."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs):  # noqa: D102
        return inputs * self.scale


LOGITS = torch.tensor(
    [
        [2.0, 0.0, 0.0],
        [0.0, 1.0, 0.0],
        [0.0, 0.0, 3.0],
        [5.0, 0.0, 0.0],
        [0.0, 4.0, 0.0],
    ]
)
LABELS = torch.tensor([0, 1, 2, 1, 1])
"""Four of five right; of class 1 two of three; nobody is of class 3."""


def score(evaluation, inputs=LOGITS, labels=LABELS, classes=4):
    device = device_of(Told(), Samples(inputs, labels))
    return device.evaluate(Samples(inputs, labels), classes, EvaluationSettings(**evaluation))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 512])
def test_loss_and_exact_accuracy_do_not_depend_on_the_batch(size):
    found = score({"batch_size": size})
    assert found.accuracy == 0.8
    assert found.loss == pytest.approx(float(functional.cross_entropy(LOGITS, LABELS)), rel=1e-6)
    np.testing.assert_array_equal(found.by_class, np.float32([1, 2 / 3, 1, np.nan]))


@pytest.mark.parametrize(
    ("size", "padded"), [(1, 4 / 5), (2, 4 / 6), (3, 4 / 6), (4, 4 / 8), (5, 4 / 5), (512, 4 / 512)]
)
def test_padded_accuracy_is_divided_by_whole_batches(size, padded):
    found = score({"batch_size": size, "accuracy": "padded"})
    assert found.accuracy == padded
    assert found.loss == score({"batch_size": size}).loss
    np.testing.assert_array_equal(found.by_class, score({}).by_class)


@pytest.mark.parametrize("counted", ["exact", "padded"])
def test_how_much_fits_the_cache_changes_no_score(monkeypatch, counted):
    """Largest output: 5 x 2 x 2 numbers of a sample; so 2, then 7 samples at a time."""
    found = []
    for cache in (2 * 80, 2**24):
        monkeypatch.setattr(device_module, "CACHE", cache)
        device = device_of(network("norm"), samples())
        asked, evaluation = [], EvaluationSettings(batch_size=4, accuracy=counted)
        device.model.register_forward_pre_hook(lambda _, given, to=asked: to.append(len(given[0])))
        found.append(device.evaluate(samples(7, 1), CLASSES, evaluation))
        assert asked == ([1, 2, 2, 2, 1] if cache == 160 else [1, 4, 3])
    assert found[0].accuracy == found[1].accuracy
    assert found[0].loss == pytest.approx(found[1].loss, rel=1e-6)


def test_an_empty_test_set_gives_nan():
    found = score({}, LOGITS[:0], LABELS[:0])
    assert np.isnan([found.loss, found.accuracy, *found.by_class]).all()
    assert found.by_class.shape == (4,)


def test_evaluation_leaves_the_device_as_it_was():
    device = device_of(network("norm"), samples(), batch_size=5)
    device.train(0)
    before = vector(device)
    first, second = (
        device.evaluate(samples(7, 1), CLASSES, EvaluationSettings(batch_size=2)) for _ in range(2)
    )
    assert (first.loss, first.accuracy) == (second.loss, second.accuracy)
    np.testing.assert_array_equal(first.by_class, second.by_class)
    assert torch.equal(vector(device), before)
    assert device.model[1].num_batches_tracked == 3


# Next-token prediction -------------------------------------------------------------------------

PAD = 4
TEXT = torch.tensor([[0, 1, 2, 3, PAD, PAD], [1, 1, 1, 0, 2, PAD]], dtype=torch.uint8)
TASKS = torch.tensor([0, 1])


class Table(nn.Module):
    """Logits that depend on the present token alone."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.rows = nn.Embedding(5, 5)

    def forward(self, tokens):  # noqa: D102
        return self.rows(tokens)


def by_hand(padding):
    """Loss and hits of each sequence over the targets that count."""
    table, losses, hits = Table().rows.weight.detach().double(), [], []
    for row in TEXT.tolist():
        pairs = [(now, after) for now, after in pairwise(row) if after != padding]
        losses.append([-float(table[now].log_softmax(0)[after]) for now, after in pairs])
        hits.append([int(table[now].argmax()) == after for now, after in pairs])
    return losses, hits


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("padding", [PAD, -1])
def test_next_token_scores_leave_padding_out(padding, size):
    text = Samples(TEXT, TASKS, sequence=True, padding=padding)
    found = device_of(Table(), text).evaluate(text, 2, EvaluationSettings(batch_size=size))
    losses, hits = by_hand(padding)
    assert [len(row) for row in losses] == ([3, 4] if padding == PAD else [5, 5])
    assert found.loss == pytest.approx(np.mean(np.concatenate(losses)), rel=1e-6)
    assert found.accuracy == np.mean(np.concatenate(hits))
    np.testing.assert_allclose(found.by_class, [np.mean(row) for row in hits], rtol=1e-6)


@pytest.mark.parametrize("padding", [PAD, -1])
def test_next_token_training_leaves_padding_out(padding):
    text = Samples(TEXT, TASKS, sequence=True, padding=padding)
    device = device_of(Table(), text, batch_size=2, lr=0.5)
    loss = device.train(0)
    assert loss == pytest.approx(np.mean(np.concatenate(by_hand(padding)[0])), rel=1e-6)
    model = Table()
    for now, after in zip(TEXT[:, :-1].reshape(-1), TEXT[:, 1:].reshape(-1), strict=True):
        if after != padding:
            functional.cross_entropy(model(now.long()), after.long(), reduction="sum").backward()
    count = int((TEXT[:, 1:] != padding).sum())
    want = model.rows.weight.detach() - 0.5 * model.rows.weight.grad / count
    np.testing.assert_allclose(vector(device).view(5, 5), want, rtol=1e-5, atol=1e-6)


def test_targets_are_the_next_tokens():
    inputs, targets = Samples(TEXT, TASKS, sequence=True, padding=PAD).batch(slice(0, 1))
    assert inputs.tolist() == [[0, 1, 2, 3, PAD]]
    assert targets.tolist() == [[1, 2, 3, IGNORED, IGNORED]]


def test_parameters_of_a_vector_leave_statistics_out():
    device = device_of(network("norm"), samples())
    other = torch.arange(device.flat.size, dtype=torch.float32)
    found = list(device.flat.parameters(other))
    assert [t.shape for t in found] == [p.shape for p in device.model.parameters()]
    flat = torch.cat([t.flatten() for t in found])
    assert torch.equal(flat, other[: len(flat)])
    assert device.flat.size - len(flat) == 2 * 5
    assert found[0].data_ptr() == other.data_ptr()


KEPT = [
    {"momentum": 0.9},
    {"optimizer": "adam"},
    {"optimizer": "adamw", "optimizer_state": "reset"},
]


@pytest.mark.parametrize("training", KEPT, ids=str)
def test_another_device_goes_on_with_what_a_round_left(training):
    """Batch norm has statistics in the vector and a counter beside it."""
    shard = samples()
    first = device_of(network("norm"), shard, epochs=2, batch_size=5, **training)
    first.train(0)
    left = {name: tensor.clone() for name, tensor in first.memory().items()}
    assert set(left) == {"vector", "counters"} | (
        set() if "optimizer_state" in training else {"optimizer", "steps"}
    )
    second = device_of(network("norm"), shard, epochs=2, batch_size=5, **training)
    second.remember(left)
    assert first.train(1) == second.train(1)
    for name, tensor in first.memory().items():
        assert torch.equal(tensor, second.memory()[name]), name


def test_a_device_that_never_trained_leaves_as_much():
    fresh = device_of(network("norm"), samples(), optimizer="adam")
    trained = device_of(network("norm"), samples(), optimizer="adam")
    trained.train(0)
    shapes = [{k: v.shape for k, v in device.memory().items()} for device in (fresh, trained)]
    assert shapes[0] == shapes[1]
    assert int(fresh.memory()["steps"]) == 0
