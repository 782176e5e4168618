"""Whole runs on any number of ranks: hosting, sums that are known, and who may learn from whom."""

from itertools import chain

import numpy as np
import pytest
import torch
from torch.nn import functional

from mpidl.config import runfile
from mpidl.config.faults import Fault
from mpidl.config.outcome import Outcome
from mpidl.devices import building
from mpidl.devices.device import Device, Samples
from mpidl.plan import KINDS
from mpidl.ranks import claims
from mpidl.run import command, execution

pytestmark = pytest.mark.dealt

SCORES = [f"{kind}_{what}" for kind in ("iid", "ood") for what in ("loss", "accuracy")]


def bits(found):
    """The series that depend on the run file alone, as bytes."""
    return {
        key: values.tobytes()
        for key, values in found.items()
        if key.startswith(("series", "graph")) and "seconds_" not in key and "bytes_" not in key
    }


def everyone(comm, own):
    """The vectors of all devices ``(N, P)`` from each rank's ``{device: (P,)}``."""
    found = dict(chain.from_iterable(part.items() for part in comm.allgather(own)))
    return np.array([found[device] for device in sorted(found)])


def initial(parts):
    return building.make_model(parts.plan, parts.run_data, 0)


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()


# Hosting -------------------------------------------------------------------------------------


VIT = ("model.name=vit", "model.width=8", "model.heads=2", "model.layers=1", "model.hidden=8")
DIRICHLET = ("strategy.name=weighted", "placement.name=dirichlet", "placement.label_alpha=0.1")


@pytest.mark.parametrize(
    ("hosts", "settings"),
    [
        ("blocks", ("strategy.name=degree", "topology.name=star", "training.momentum=0.9")),
        ("round_robin", ("strategy.name=degree", *VIT)),
        ("blocks", ("strategy.name=federated", "training.optimizer=adam", "training.lr=0.01")),
        ("round_robin", ("strategy.name=federated",)),
        ("blocks", ("strategy.name=random", "training.participation=0.5")),
        ("round_robin", ("strategy.name=unweighted", "topology.link_probability=0.5")),
        ("round_robin", ("strategy.name=degree_similarity", "topology.link_probability=0.7")),
        ("blocks", ("exchange.mixing=sequential", "training.init=per_device", *DIRICHLET)),
    ],
    ids=lambda part: part if isinstance(part, str) else part[0].partition("=")[2],
)
def test_hosting_does_not_change_a_bit(comm, program, hosts, settings):
    devices = f"topology.devices={2 * comm.size + 1}"
    alone = program(devices, *settings, alone=True)
    hosted = program(devices, *settings, f"placement.hosts={hosts}")
    assert np.isfinite(alone["series/iid_loss_mixed"][-1]).all()
    assert hosted["placement/rank"].max() == comm.size - 1
    assert bits(hosted) == bits(alone)


# What a run is, in closed form -----------------------------------------------------------------


@pytest.mark.parametrize("settings", [(), ("topology.link_probability=0.6",)], ids=["", "links"])
def test_every_backend_gives_the_same_bits_and_gives_them_twice(comm, program, settings):
    wanted = (f"topology.devices={comm.size + 3}", "training.rounds=3", *settings)
    first = bits(program(*wanted, name="first"))
    for backend in ("shared", "mpi", "gloo"):
        for turn in ("one", "two"):
            found = program(*wanted, f"exchange.backend={backend}", name=f"{backend}-{turn}")
            assert bits(found) == first


@pytest.mark.parametrize("strategy", ["unweighted", "federated", "weighted"])
def test_complete_graph_and_one_step_are_one_step_on_all_data(comm, parts, finish, strategy):
    devices, lr, rounds = 2 * comm.size, 0.5, 3
    with parts(
        f"topology.devices={devices}",
        f"data.train_samples={20 * devices}",
        "topology.name=complete",
        f"strategy.name={strategy}",
        "training.steps=1",
        "training.batch_size=20",
        f"training.lr={lr}",
        f"training.rounds={rounds}",
    ) as made:
        found = everyone(comm, finish(made))
        shards = [*chain.from_iterable(s.values() for s in comm.allgather(made.run_data.shards))]
        model = initial(made)
    assert [len(labels) for _, labels in shards] == [20] * devices
    inputs, labels = (torch.from_numpy(np.concatenate(part)) for part in zip(*shards, strict=True))
    start = flat(model)
    for _ in range(rounds):
        model.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        with torch.no_grad():
            for weight in model.parameters():
                weight -= lr * weight.grad
    assert np.abs(flat(model) - start).max() > 0.01
    for vector in found:
        np.testing.assert_allclose(vector, flat(model), rtol=1e-4, atol=1e-6)
    assert np.ptp(found, axis=0).max() < 1e-6


def test_without_mixing_every_device_trains_alone(comm, parts, finish):
    settings = [f"topology.devices={comm.size + 2}", "training.init=per_device"]
    with parts(*settings, "strategy.name=none", "training.rounds=3") as made:
        found = finish(made)
        for number, vector in found.items():
            shard = Samples(*map(torch.from_numpy, made.run_data.shards[number]))
            model = building.make_model(made.plan, made.run_data, number)
            alone = Device(number, model, shard, made.plan.file.training)
            alone.flat.adopt(torch.zeros(alone.flat.size))
            for round_ in range(3):
                alone.train(round_)
            np.testing.assert_array_equal(vector, flat(alone.model))


@pytest.mark.parametrize(("precision", "want"), [("float32", False), ("tf32", True)])
def test_a_run_has_the_products_of_its_precision(parts, precision, want):
    """On CUDA GPUs; flags of torch say so everywhere."""
    before = torch.backends.cudnn.allow_tf32
    with parts(f"training.precision={precision}"):
        assert torch.backends.cudnn.allow_tf32 == want
        assert torch.backends.cuda.matmul.allow_tf32 == want
    assert torch.backends.cudnn.allow_tf32 == before


def test_one_device(program):
    found = program("topology.devices=1", "topology.name=complete", alone=True)
    assert found["graph/W"].tolist() == [[1.0]]
    assert found["completed"] == 1
    assert (found["series/consensus_distance"] == 0).all()
    assert (found["series/bytes_sent"] == 0).all()
    for score in SCORES:
        trained, mixed = (found[f"series/{score}_{moment}"] for moment in ("trained", "mixed"))
        np.testing.assert_array_equal(trained, mixed)
    assert (np.diff(found["series/train_loss"], axis=0) < 0).all()


def test_one_sample_on_every_device(comm, program):
    devices = comm.size + 2
    found = program(f"topology.devices={devices}", f"data.train_samples={devices}")
    assert found["placement/samples"].tolist() == [1] * devices
    assert found["placement/ood_samples"].sum() == 1
    assert np.isfinite(found["series/train_loss"]).all()
    assert np.isfinite(found["series/iid_loss_mixed"]).all()


def test_one_sample_on_some_devices(comm, program):
    found = program(
        f"topology.devices={comm.size + 2}",
        "placement.name=dirichlet",
        "placement.sample_alpha=1e-3",
        "strategy.name=weighted",
    )
    assert found["placement/samples"].min() == 1
    assert found["placement/samples"].sum() == 120
    assert np.isfinite(found["series/train_loss"]).all()


def test_equal_models_stay_when_nothing_is_learned(comm, parts, finish):
    with parts(f"topology.devices={2 * comm.size}", "training.lr=1e-30") as made:
        start = flat(initial(made))
        for vector in finish(made).values():
            np.testing.assert_allclose(vector, start, rtol=1e-6, atol=1e-12)


# What is recorded --------------------------------------------------------------------------------


@pytest.mark.parametrize("hosts", ["blocks", "round_robin"])
def test_the_last_row_is_the_score_of_the_last_vectors(comm, parts, finish, read, hosts):
    devices = f"topology.devices={2 * comm.size + 1}"
    with parts(devices, "topology.name=chain", f"placement.hosts={hosts}") as made:
        vectors = everyone(comm, finish(made))
        comm.Barrier()
        found = read(made.path)
        evaluation = made.plan.file.evaluation
        for number, device in made.devices.items():
            for kind, samples in made.tests.items():
                score = device.evaluate(samples, made.of_run.classes, evaluation)
                assert found[f"series/{kind}_loss_mixed"][-1, number] == score.loss
                assert found[f"series/{kind}_accuracy_mixed"][-1, number] == score.accuracy
            by_class = found["series/iid_class_accuracy_mixed"][-1, number]
            score = device.evaluate(made.tests["iid"], made.of_run.classes, evaluation)
            assert by_class.tolist() == pytest.approx(score.by_class.tolist(), nan_ok=True)
    distance = np.linalg.norm(vectors - vectors.mean(0, dtype=np.float64), axis=1)
    np.testing.assert_allclose(found["series/consensus_distance"][-1], distance, rtol=1e-4)
    assert distance.min() > 1e-4
    assert found["series/bytes_sent"].sum() == found["series/bytes_received"].sum()
    assert (found["series/bytes_sent"].sum() > 0) == (comm.size > 1)


@pytest.mark.parametrize("moment", ["trained", "mixed"])
def test_scores_at_the_wanted_moments_and_rounds(comm, program, moment):
    found = program(
        f"topology.devices={comm.size + 1}",
        f"evaluation.moment={moment}",
        "evaluation.every=2",
        "training.rounds=5",
    )
    for name in ("trained", "mixed"):
        keys = [f"series/{score}_{name}" for score in (*SCORES, "iid_class_accuracy")]
        for key in keys if moment == name else ():
            seen = ~np.isnan(found[key]).reshape(5, -1).all(axis=1)
            assert seen.tolist() == [False, True, False, True, True]
        assert any(key in found for key in keys) == (moment == name)
    assert np.isfinite(found["series/train_loss"]).all()


def test_the_command_from_its_arguments_to_its_file(comm, shared_path, read):
    import h5py

    devices, folder = comm.size + 3, shared_path / "new" / "folder"
    settings = ["name=small", "training.rounds=2", "training.steps=1", "strategy.temperature=0.25"]
    settings += [f"topology.devices={devices}"]
    asked = [part for setting in settings for part in ("--set", setting)]
    assert command.main([*asked, "--out", str(folder)]) == 0
    comm.Barrier()
    found = read(folder / "small.h5")
    assert (found["completed"], found["rounds_done"]) == (1, 2)
    assert found["series/train_loss"].shape == (2, devices)
    with h5py.File(folder / "small.h5", "r") as file:
        told = dict(file.attrs)
    file = runfile.read(told["run_file"], (), KINDS)
    assert file.text() == told["run_file"]
    assert (file.strategy.temperature, file.topology.devices) == (0.25, devices)
    assert told["ranks"] == comm.size
    assert told["parameters"] == (64 + 1) * 64 + (64 + 1) * 10


# Who may learn from whom -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        ("strategy.name=degree", "topology.name=complete"),
        ("strategy.name=metropolis_hastings", "topology.link_probability=0.5"),
        ("strategy.name=federated",),
        ("exchange.mixing=sequential",),
    ],
    ids=lambda settings: settings[0].partition("=")[2],
)
def test_an_inactive_device_is_neither_changed_nor_read(comm, parts, finish, settings):
    with parts(
        f"topology.devices={2 * comm.size + 2}",
        "training.participation=0.5",
        "training.rounds=1",
        *settings,
    ) as made:
        active = made.plan.active(0)
        assert len(active) == comm.size + 1
        for number, vector in made.gossip.exchange.vectors.items():
            if number not in active:
                vector.fill_(float("nan"))
        start = flat(initial(made))
        for number, vector in finish(made).items():
            if number in active:
                assert np.isfinite(vector).all()
                assert (vector != start).any()
            else:
                assert np.isnan(vector).all()


def test_inactive_devices_rest(comm, parts, finish, read):
    devices = 2 * comm.size + 2
    with parts(f"topology.devices={devices}", "training.participation=0.5") as made:
        finish(made)
        comm.Barrier()
        found = read(made.path)
        for round_ in range(2):
            active = made.plan.active(round_)
            loss = found["series/train_loss"][round_]
            assert set(np.flatnonzero(~np.isnan(loss))) == active
            rests = [i for i in range(devices) if i not in active]
            for score in SCORES:
                trained, mixed = (found[f"series/{score}_{m}"] for m in ("trained", "mixed"))
                np.testing.assert_array_equal(trained[round_, rests], mixed[round_, rests])
            if round_:
                for score in SCORES:
                    mixed = found[f"series/{score}_mixed"]
                    np.testing.assert_array_equal(mixed[round_, rests], mixed[round_ - 1, rests])


@pytest.mark.parametrize(
    "settings",
    [(), ("exchange.mixing=sequential", "topology.link_probability=0.7")],
    ids=["synchronous", "sequential"],
)
def test_nothing_passes_between_components(comm, shared_path, program, settings):
    """Whatever the source holds, devices of the other component have the same results, bit for bit.

    Two rings, of the even and of the odd devices; the source is device 0.
    """
    devices = 2 * comm.size + 4
    path = shared_path / "rings.edges"
    if comm.rank == 0:
        links = [f"{i} {(i + 2) % devices}" for i in range(devices)]
        path.write_text("\n".join([f"# devices: {devices}", *links]), encoding="utf-8")
    comm.Barrier()
    few, many = (
        program(
            f'topology.file="{path}"',
            "topology.allow_disconnected=true",
            "ood.sources=0",
            "strategy.name=unweighted",
            f"ood.proportion={proportion}",
            "training.rounds=4",
            *settings,
        )
        for proportion in (0.1, 1.0)
    )
    odd = np.arange(devices) % 2 == 1
    assert few["graph/hops"][odd].tolist() == [-1] * int(odd.sum())
    for key in ("train_loss", *(f"{score}_{m}" for score in SCORES for m in ("trained", "mixed"))):
        first, second = few[f"series/{key}"], many[f"series/{key}"]
        assert first[:, odd].tobytes() == second[:, odd].tobytes()
        if "loss" in key:
            assert (first[-1, ~odd] != second[-1, ~odd]).any()


def test_knowledge_does_spread_within_a_component(comm, program):
    """The counterpart of the test above: with a path from the source, all devices differ."""
    devices = comm.size + 2
    few, many = (
        program(
            f"topology.devices={devices}",
            "ood.sources=0",
            "strategy.name=unweighted",
            f"ood.proportion={proportion}",
            f"training.rounds={devices}",
        )["series/ood_loss_mixed"]
        for proportion in (0.1, 1.0)
    )
    assert (few[-1] != many[-1]).all()


def test_interrupting_one_rank_stops_all_after_the_same_round(comm, parts, read):
    from mpidl.run import rounds

    asked = []
    with parts(f"topology.devices={2 * comm.size}", "training.rounds=50") as made:
        last = comm.rank == comm.size - 1

        def end(_):
            return Outcome.STOPPED if last and len(asked) == 2 else None

        outcome = rounds.run_rounds(made, lambda round_, _: asked.append(round_), end)
        assert outcome is Outcome.STOPPED
        assert asked == [0, 1, 2]
    comm.Barrier()
    found = read(made.path)
    assert (found["completed"], found["rounds_done"]) == (0, 3)
    assert np.isfinite(found["series/train_loss"][:3]).all()
    assert np.isnan(found["series/train_loss"][3:]).all()


def test_a_file_that_another_run_writes_is_left_to_it(comm, planned, shared_path, monkeypatch):
    for name in ("STALE", "BEAT", "LOOK"):
        monkeypatch.setattr(claims, name, 0.01)
    path = shared_path / "run.h5"
    claim = shared_path / ".run.h5.claim"
    with claims.Hold(path) as other:
        if comm.rank == 0:
            other.take(False, print)
        comm.Barrier()
        with pytest.raises(Fault, match="Another run writes"):
            execution.run(comm, planned(), path)
        assert execution.run(comm, planned(), path, resume="") == Outcome.STOPPED.code
        assert [entry.name for entry in shared_path.iterdir()] == [claim.name]
        comm.Barrier()
    comm.Barrier()
    assert execution.run(comm, planned(), path, resume="") == 0
    comm.Barrier()
    assert [entry.name for entry in shared_path.iterdir()] == [path.name]
