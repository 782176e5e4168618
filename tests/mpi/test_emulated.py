"""Runs over networks that are late and fail, with attackers, against the same rounds in numpy."""

import numpy as np
import pytest

from mpidl.config import seeds
from tests.mpi.dense import followed

pytestmark = pytest.mark.dealt

SMALL = ("training.rounds=5", "training.steps=1", "training.batch_size=16")
LATE = ("network.delay=[0, 3]", "topology.link_probability=0.7")


@pytest.mark.parametrize(
    "settings",
    [
        LATE,
        ("network.delay=2", "placement.hosts=round_robin"),
        ("network.delay=[1, 2]", "network.delay_draw=per_round", "exchange.backend=mpi"),
        ("network.delay=[0, 2]", "network.leave=0.3", "network.outages=[[0, 1, 3]]"),
        ("network.delay=1", "strategy.name=federated"),
        ("network.delay=1", "exchange.backend=gloo"),
    ],
    ids=" ".join,
)
def test_late_vectors_are_those_of_the_whole_history(comm, parts, monkeypatch, settings):
    wanted = (f"topology.devices={comm.size + 4}", "topology.name=barabasi_albert", *SMALL)
    with parts(*wanted, *settings) as made:
        trained, mixed = followed(comm, made, monkeypatch)
        plan = made.plan
    some_late = 0
    for round_, found in enumerate(mixed):
        matrix = plan.matrix(round_)
        lags = dict(zip(map(tuple, plan.links.tolist()), plan.lags(round_), strict=True))
        for device in range(plan.devices):
            want = np.zeros(found.shape[1])
            for member in np.flatnonzero(matrix[device]):
                lag = 0 if member == device else lags[member, device]
                assert 0 <= lag <= round_
                some_late += lag > 0
                want += matrix[device, member] * trained[round_ - lag][member]
            np.testing.assert_allclose(found[device], want, rtol=1e-5, atol=1e-6)
    assert some_late


def test_who_is_away_keeps_the_model_and_learns_nothing(comm, parts, monkeypatch):
    with parts(f"topology.devices={comm.size + 2}", "network.outages=[[1, 1, 4]]", *SMALL) as made:
        trained, mixed = followed(comm, made, monkeypatch)
    for round_ in range(1, 4):
        np.testing.assert_array_equal(trained[round_][1], mixed[0][1])
        np.testing.assert_array_equal(mixed[round_][1], mixed[0][1])
    assert (trained[4][1] != mixed[0][1]).any()
    assert (mixed[1][0] != mixed[0][0]).any()


@pytest.mark.parametrize("extra", [(), ("network.delay=1",), ("exchange.backend=mpi",)], ids=str)
def test_attackers_send_lies_and_mix_the_truth(comm, parts, monkeypatch, extra):
    devices = comm.size + 3
    with parts(
        f"topology.devices={devices}",
        "attack.name=sign_flip",
        "attack.strength=2.0",
        f"attack.devices=[1, {devices - 1}]",
        "attack.from_round=1",
        *SMALL,
        *extra,
    ) as made:
        trained, mixed = followed(comm, made, monkeypatch)
        plan = made.plan
    lag = int(plan.file.network.delay)
    for round_, found in enumerate(mixed):
        then = max(0, round_ - lag)
        sent = trained[then].copy()
        if then >= 1:
            sent[plan.attackers] *= -2
        matrix = plan.matrix(round_)
        own = np.diag(matrix)[:, None]
        want = (matrix - np.diag(np.diag(matrix))) @ sent + own * trained[round_]
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


def test_noise_is_that_of_device_and_round(comm, parts, monkeypatch):
    devices = comm.size + 2
    with parts(
        f"topology.devices={devices}", "attack.name=noise", "attack.devices=0", *SMALL
    ) as made:
        trained, mixed = followed(comm, made, monkeypatch)
        plan = made.plan
    for round_, found in enumerate(mixed):
        sent, matrix = trained[round_].copy(), plan.matrix(round_)
        drawn = seeds.stream(plan.file.training.seed, "attack", 0, round_)
        sent[0] += drawn.standard_normal(sent.shape[1], np.float32)
        want = matrix @ sent
        want[0] += matrix[0, 0] * (trained[round_][0] - sent[0])
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["median", "trimmed_mean", "krum", "clipped_gossip"])
@pytest.mark.parametrize("backend", ["shared", "mpi", "gloo"])
def test_robust_rules_by_every_backend(comm, parts, monkeypatch, name, backend):
    with parts(
        f"topology.devices={comm.size + 3}",
        "topology.name=complete",
        f"strategy.name={name}",
        f"exchange.backend={backend}",
        *SMALL,
    ) as made:
        trained, mixed = followed(comm, made, monkeypatch)
    for vectors, found in zip(trained, mixed, strict=True):
        if name == "median":
            np.testing.assert_allclose(found[0], np.median(vectors, axis=0), rtol=1e-5, atol=1e-6)
        if name == "trimmed_mean":
            want = np.sort(vectors, axis=0)[1:-1].mean(axis=0)
            np.testing.assert_allclose(found, np.tile(want, (len(found), 1)), rtol=1e-5, atol=1e-6)
        if name == "krum":
            # All see the same, so all choose one of them, whose bits they take.
            assert {one.tobytes() for one in found} <= {one.tobytes() for one in vectors}
        if name == "clipped_gossip":
            np.testing.assert_allclose(found.mean(axis=0), vectors.mean(axis=0), atol=1e-5)


def same(one, other):
    assert sorted(one) == sorted(other)
    for key in one:
        if key.startswith(("series/seconds_", "series/bytes_", "placement/rank")):
            continue
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


@pytest.mark.parametrize(
    "settings",
    [
        (*LATE, "network.leave=0.2"),
        ("strategy.name=median", "attack.name=noise", "network.delay=[0, 2]"),
        ("strategy.name=trimmed_mean", "algorithm.name=exact_diffusion", "network.jitter=0.5"),
        ("strategy.name=krum", "attack.name=same_value", "attack.devices=random:20%"),
        ("algorithm.name=quasi_global_momentum", "network.delay=1", "attack.name=sign_flip"),
    ],
    ids=" ".join,
)
def test_hosting_gives_the_same_bits(comm, program, settings):
    wanted = (
        f"topology.devices={comm.size + 4}",
        *("network.latency=0.1", "network.step_seconds=0.2", "network.stragglers=2"),
        *SMALL,
        *settings,
    )
    same(program(*wanted), program(*wanted, alone=True, name="alone"))
    same(program(*wanted), program(*wanted, "placement.hosts=round_robin", name="robin"))


def test_backends_give_the_same_bits(comm, program):
    wanted = (f"topology.devices={comm.size + 3}", *LATE, "attack.name=sign_flip", *SMALL)
    first, *others = (
        program(*wanted, f"exchange.backend={backend}", name=backend)
        for backend in ("shared", "mpi", "gloo")
    )
    for other in others:
        same(first, other)


# What is recorded


def test_lags_times_and_attackers_are_in_the_results_file(comm, program, planned):
    settings = (
        f"topology.devices={comm.size + 4}",
        *LATE,
        *("network.latency=0.5", "attack.name=sign_flip", "attack.devices=[0, 2]"),
        *SMALL,
    )
    found, made = program(*settings), planned(*settings)
    np.testing.assert_array_equal(found["graph/edges"], made.links)
    for round_ in range(5):
        np.testing.assert_array_equal(found["graph/lag"][round_], made.lags(round_))
    assert np.flatnonzero(found["placement/attacker"]).tolist() == [0, 2]
    times = found["series/simulated_seconds"]
    assert (np.diff(times, axis=0) >= 0).all()
    assert times.max() > 0.5


def test_without_a_network_there_is_no_time_and_nothing_is_late(comm, program):
    found = program(f"topology.devices={comm.size + 2}", *SMALL)
    assert (found["series/simulated_seconds"] == 0).all()
    assert "graph/lag" not in found
    assert not found["placement/attacker"].any()


def test_equal_devices_take_steps_and_messages_as_the_closed_form_says(comm, program):
    found = program(
        f"topology.devices={comm.size + 2}",
        *SMALL,
        *("network.latency=0.25", "network.bandwidth=1000.0", "network.step_seconds=0.5"),
    )
    size = found["series/simulated_seconds"]
    parameters = 64 * 8 + 8 + 8 * 10 + 10
    want = (np.arange(5) + 1) * (0.5 + 0.25 + 4 * parameters / 1000)
    np.testing.assert_allclose(size, np.repeat(want[:, None], comm.size + 2, axis=1), rtol=1e-12)


# What robust rules are for


@pytest.mark.parametrize("name", ["median", "trimmed_mean", "krum", "clipped_gossip"])
def test_honest_devices_learn_in_spite_of_attackers(comm, program, name):
    wanted = (
        *("topology.devices=10", "topology.name=complete", "data.train_samples=1000"),
        *("data.test_samples=300", "training.rounds=8", "training.epochs=3", "model.hidden=[16]"),
        *("ood.name=none", "attack.name=noise", "attack.strength=5.0", "attack.devices=[1, 7]"),
    )
    given = {"trimmed_mean": ["strategy.liars=2"], "krum": ["strategy.liars=2"]}
    if comm.size > 10:
        return
    fooled = program(*wanted, "strategy.name=unweighted", name="fooled")
    robust = program(*wanted, f"strategy.name={name}", *given.get(name, []), name=name)
    honest = fooled["placement/attacker"] == 0
    key = "series/iid_accuracy_mixed"
    assert fooled[key][-1, honest].mean() < 0.5
    assert robust[key][-1, honest].mean() > 0.7
