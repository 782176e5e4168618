"""Gossip in a loop that is not mpidl's: against the dense matrix, and with torch's own things."""

import copy
import shutil
import sys
import threading
from itertools import product

import networkx as nx
import numpy as np
import pytest
import torch
from torch import nn

from mpidl import Fault, Gossip
from mpidl.components.algorithms import ALGORITHMS
from mpidl.ranks import watchdog
from mpidl.run.own_loop import models as own_models
from mpidl.run.own_loop.flight import Flight
from mpidl.run.own_loop.models import SMALL
from tests.deal import slow_but
from tests.mpi import own_loop_oracle as oracle
from tests.mpi.dense import everyone
from tests.mpi.test_library import handles

ROUNDS = 6
TREE = {"topology": "chain", "strategy": "unweighted"}
SETTINGS = {
    "dsgd": {},
    "consensus": {"algorithm": {"name": "dsgd", "order": "consensus"}},
    "relay_sum": TREE,
    "push_sum": {"strategy": "degree"},
    "federated": {"algorithm": "dsgd", "strategy": "federated"},
}
"""What differs from the defaults of Gossip, by case; others are algorithms with these."""

CASES = [*sorted(ALGORITHMS), "consensus", "federated"]
BACKENDS = ("shared", "mpi", "gloo")
PRODUCT = [*product(CASES, BACKENDS), ("federated", "allreduce")]


def made(case):
    """The arguments of a case."""
    return {"algorithm": case, **SETTINGS.get(case, {})}


def own_devices(comm):
    """Devices of this rank: in turn, and one rank has one more."""
    devices = range(2 * comm.size + 1)
    return [i for i in devices if (i + 1) % comm.size == comm.rank]


def follow(gossip, models, goals, rounds=ROUNDS):
    """Step and mix."""
    for _ in range(rounds):
        for number, model in models.items():
            if gossip.trains[number]:
                model -= oracle.step(model, goals[number])
        gossip.mix()


@pytest.mark.parametrize(
    ("case", "backend"),
    [
        pytest.param(*pair, marks=[] if at % len(BACKENDS) == at // len(BACKENDS) % 3 else slow)
        for slow in [pytest.mark.slow]
        for at, pair in enumerate(PRODUCT)
    ],
)
def test_every_algorithm_is_the_dense_matrix(comm, one_thread, case, backend):
    count = 2 * comm.size + 1
    start, goals = oracle.points(count), oracle.points(count, 1)
    models = {number: start[number].copy() for number in own_devices(comm)}
    with Gossip(models, **made(case), backend=backend, communicator=comm) as gossip:
        follow(gossip, models, goals)
        plan = gossip._parts.mixing
    reckoned = getattr(oracle, "dsgd" if case == "federated" else case)(plan, ROUNDS, goals)
    np.testing.assert_allclose(everyone(comm, models), reckoned, rtol=0, atol=1e-12)


def net(key=0, dtype=torch.float64):
    """A module with batch-norm statistics; its numbers differ by key."""
    torch.manual_seed(key)
    layers = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)
    return nn.Sequential(*layers).to(dtype)


def numbers(model):
    """All floating numbers of a module, ``(P,)``."""
    tensors = [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors]).numpy()


def before(comm):
    """The numbers of ``net(rank)`` of all ranks, ``(N, P)``."""
    return np.array([numbers(net(rank)) for rank in range(comm.size)])


@pytest.fixture(params=[SMALL, 0], ids=["beside", "inside"])
def memory(monkeypatch, request):
    """Parameters are beside the memory of the exchange, as small ones are, or in it."""
    monkeypatch.setattr(own_models, "SMALL", request.param)


def test_a_module_keeps_its_parameters_and_gets_its_memory_back(comm, memory):
    model = net(comm.rank)
    held = list(model.parameters())
    with Gossip(model, communicator=comm) as gossip:
        gossip.mix()
        reckoned = gossip._parts.mixing.matrix() @ before(comm)
        np.testing.assert_allclose(numbers(model), reckoned[comm.rank], atol=1e-12)
        assert (gossip.round, gossip.trains) == (1, True)
        assert (gossip.bytes > 0) == (comm.size > 1)
        apart = np.linalg.norm(reckoned - reckoned.mean(axis=0), axis=1)[comm.rank]
        assert gossip.distance() == pytest.approx(apart, abs=1e-12)
    assert all(a is b for a, b in zip(held, model.parameters(), strict=True))
    model(torch.ones(5, 3, dtype=torch.float64)).sum().backward()
    np.testing.assert_allclose(numbers(model)[:26], reckoned[comm.rank][:26], atol=1e-12)


@pytest.mark.parametrize("algorithm", ["dsgd", "gradient_tracking", "choco"])
def test_what_is_learned_while_models_travel_is_kept(comm, algorithm, memory):
    twins = net(comm.rank), net(comm.rank)
    extra = 0.25 + comm.rank
    for travels, model in enumerate(twins):
        with Gossip(model, algorithm=algorithm, communicator=comm) as gossip:
            for _ in range(3):
                gossip.start() if travels else gossip.mix()
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter += extra
                if travels:
                    gossip.finish()
    np.testing.assert_allclose(*map(numbers, twins), rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [
        (torch.float32, 1e-6),
        (torch.bfloat16, 1e-2),
        (torch.float16, 1e-3),
        (np.float64, 1e-12),
        (np.float16, 1e-3),
    ],
    ids=str,
)
def test_tensors_and_arrays_change_in_place_in_their_own_type(comm, kind, tolerance):
    start = oracle.points(comm.size)
    whole = start[comm.rank].astype(kind if isinstance(kind, type) else np.float64)
    if isinstance(kind, torch.dtype):
        whole = torch.from_numpy(whole).to(kind)
    # A view, and one that is not contiguous, of memory that the caller looks at.
    model = [whole[:9], whole[9:][::2], whole[10:][::2]]
    with Gossip(model, communicator=comm) as gossip:
        gossip.mix()
        reckoned = (gossip._parts.mixing.matrix() @ start)[comm.rank]
    found = np.asarray(whole.double() if isinstance(whole, torch.Tensor) else whole)
    np.testing.assert_allclose(found, reckoned, atol=2 * tolerance)


def test_only_what_learns_and_is_named_travels(comm):
    model, start = net(comm.rank), before(comm)
    model[0].bias.requires_grad_(False)
    with Gossip(model, only=["0.*", "1.running_mean"], communicator=comm) as gossip:
        gossip.mix()
        # Weights 12, and the means; the bias in between is frozen.
        assert gossip._parts.mixing.devices == comm.size
        reckoned = start[comm.rank].copy()
        columns = [*range(12), *range(len(reckoned) - 8, len(reckoned) - 4)]
        reckoned[columns] = (gossip._parts.mixing.matrix() @ start)[comm.rank, columns]
        np.testing.assert_allclose(numbers(model), reckoned, atol=1e-12)
        model[0].bias.requires_grad_(True)
        with pytest.raises(Fault, match=r"^0\.bias was frozen when Gossip was made"):
            gossip.mix()


@pytest.mark.parametrize(
    "case",
    slow_but(CASES, "gradient_tracking", "choco"),
)
def test_a_loop_that_goes_on_from_its_state_is_the_same_bit_for_bit(comm, case):
    count = 2 * comm.size + 1
    goals, finals = oracle.points(count, 1), []
    saved = state = None
    for turns in ((6,), (2, 4)):
        models = {number: oracle.points(count)[number] for number in own_devices(comm)}
        for turn, rounds in enumerate(turns):
            with Gossip(models, **made(case), communicator=comm) as gossip:
                if turn:
                    for number, model in models.items():
                        model[:] = saved[number]
                    gossip.load_state_dict(state)
                follow(gossip, models, goals, rounds)
                saved, state = copy.deepcopy(models), gossip.state_dict()
            for model in models.values():
                model += 1
        finals.append(saved)
    for number, model in finals[0].items():
        assert model.tobytes() == finals[1][number].tobytes()


def test_a_state_in_the_middle_of_a_training_has_its_begin(comm):
    finals = []
    for stops in (False, True):
        model = oracle.points(comm.size)[comm.rank]
        arguments = {"algorithm": "gradient_tracking", "communicator": comm}
        gossip = Gossip(model, **arguments)
        gossip.mix()
        model -= 1
        if stops:
            state = copy.deepcopy(gossip.state_dict())
            gossip.close()
            gossip = Gossip(model, **arguments)
            gossip.load_state_dict(state)
        model -= 2
        gossip.mix()
        gossip.close()
        finals.append(model.tobytes())
    assert finals[0] == finals[1]


def half(view, /, own: float = 0.5):
    others = len(view.members) - 1
    return np.array([own, *[(1 - own) / others] * others]) if others else np.ones(1)


def star(devices, seed, /):
    return nx.star_graph(devices - 1)


def rows(count):
    """A mixing matrix of all links, its rows unlike, ``(N, N)``."""
    weights = np.arange(1.0, 1 + count**2).reshape(count, count)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "arguments",
    [
        lambda count: {"topology": rows(count), "strategy": "given"},
        lambda count: {"strategy": rows(count).tolist()},
        lambda count: {"topology": nx.star_graph(count - 1), "strategy": half},
        lambda count: {"topology": star, "strategy": {"name": half, "own": 0.5}},
    ],
)
def test_graphs_matrices_and_functions_stand_in_for_names(comm, arguments):
    given = arguments(comm.size)
    start = oracle.points(comm.size)
    model = start[comm.rank].copy()
    with Gossip(model, **given, communicator=comm) as gossip:
        gossip.mix()
    matrix = rows(comm.size)
    if "topology" in given and given["strategy"] != "given":
        matrix = np.zeros((comm.size, comm.size))
        matrix[0], matrix[1:, 0] = 0.5 / max(1, comm.size - 1), 0.5
        np.fill_diagonal(matrix, 0.5 if comm.size > 1 else 1.0)
    np.testing.assert_allclose(model, (matrix @ start)[comm.rank], atol=1e-12)


def replaced(model):
    model[0] = nn.Linear(3, 4).double()


def moved(model):
    model[3].weight.data = model[3].weight.data.clone()


def cut(model):
    model[3].bias.data = model[3].bias.data[:1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (replaced, "^0 was replaced by another: gossip mixes those"),
        (moved, "^3.weight is in other memory than after the last mix()"),
        (cut, "^3.bias is in other memory than after the last mix(), or of another size"),
    ],
)
def test_tensors_that_are_replaced_are_named(comm, change, sentence, memory):
    model = net()
    with Gossip(model, communicator=comm) as gossip:
        gossip.mix()
        change(model)
        with pytest.raises(Fault, match=sentence.replace("()", r"\(\)")):
            gossip.mix()


def test_calls_in_a_wrong_order_are_refused(comm):
    gossip = Gossip(net(), rounds=2, communicator=comm)
    with pytest.raises(Fault, match=r"^finish\(\): start\(\) must be called before it"):
        gossip.finish()
    gossip.start()
    for call in (gossip.start, gossip.mix, gossip.state_dict, gossip.distance):
        with pytest.raises(Fault, match=r"\(\): a round was started; finish\(\) must be called"):
            call()
    gossip.finish()
    gossip.mix()
    with pytest.raises(Fault, match=r"^mix\(\): all 2 rounds are done"):
        gossip.mix()
    gossip.close()
    gossip.close()
    with pytest.raises(Fault, match=r"^mix\(\): close\(\) was called"):
        gossip.mix()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"topology": "rnig"}, "topology.name = 'rnig': unknown topology; did you mean 'ring'"),
        ({"topology": 3}, "topology = 3: must be a name, a function, a networkx graph, a matrix"),
        ({"strategy": [[2.0]]}, "topology: "),
        ({"topology": nx.path_graph(99)}, "topology: has 99 devices, and there are "),
        (
            {"topology": [[1.0]], "strategy": [[1.0]]},
            "topology must be left out where",
        ),
        ({"topology": {"name": "ring", "devices": 99}}, "topology.devices = 99: must be"),
        ({"strategy": {"name": "degree", "temprature": 2}}, "Unknown setting strategy.temprature"),
        ({"network": "slow"}, "network = 'slow': must be a dictionary"),
        ({"participation": 2.0}, "training.participation = 2.0: "),
        ({"topology": "random_matching"}, "'random_matching': has new links in each round"),
        ({"only": "head.*"}, "only = 'head.*': no parameter that learns has such a name"),
        ({"model": "net"}, "must be a torch module, a tensor or numpy array"),
        ({"model": [1.0]}, "must be a torch module, a tensor or numpy array"),
        ({"model": {}}, "model = {}: must have a model for at least one device"),
        ({"model": {"a": np.ones(3)}}, "model has the device 'a': must be a number from 0"),
        ({"model": np.arange(3)}, "The array has numbers of int64: must be float16, 32 or 64"),
        ({"model": {99: np.ones(3)}}, "must be"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_wrong_arguments_are_refused_in_a_sentence(comm, arguments, sentence):
    arguments = {"model": net(), **arguments}
    with pytest.raises(Fault) as raised:
        Gossip(**arguments, communicator=comm)
    assert sentence in str(raised.value)


@pytest.mark.ranks(2, 3, 4, 5)
@pytest.mark.parametrize(
    ("unlike", "sentence"),
    [
        ({"algorithm": "choco"}, "algorithm: must be the same on every rank; it is "),
        ({"seed": 3}, "seed: must be the same on every rank; it is 0 on rank 0 and 3 on rank 1"),
        ({"model": np.ones(4)}, "must be the same on every rank; it is 7 on rank 0 and 4 on rank"),
        ({"model": np.ones(7, np.float32)}, "type of values: must be the same on every rank"),
    ],
)
def test_ranks_that_differ_are_told_so_on_every_rank(comm, unlike, sentence):
    if comm.size == 1:
        pytest.skip("one rank does not differ")
    arguments = {"model": np.ones(7), **(unlike if comm.rank == 1 else {})}
    with pytest.raises(Fault) as raised:
        Gossip(**arguments, communicator=comm)
    assert sentence in str(raised.value)


def test_a_closed_gossip_leaves_nothing_behind(comm):
    def work():
        arrays = np.ones(5), np.zeros(5)
        with Gossip(arrays[0], communicator=comm) as first:
            second = Gossip(arrays[1], backend="mpi", communicator=comm)
            first.start()
            second.mix()
            first.finish()
            second.close()
        with pytest.raises(Fault, match="unknown algorithm"):
            Gossip(arrays[0], algorithm="adam", communicator=comm)

    work()
    taken, before = handles(), (sys.excepthook, watchdog.on_duty, torch.get_num_threads())
    for _ in range(3):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        work()
    assert handles() == taken
    assert (sys.excepthook, watchdog.on_duty, torch.get_num_threads()) == before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
@pytest.mark.parametrize("compiled", ["", "eager", "inductor"])
def test_an_optimizer_goes_on_with_its_momentum(comm, compiled):
    """Of equal models mixing changes nothing: loops with it and without it are alike."""
    if compiled == "inductor" and not shutil.which("g++"):
        pytest.skip("torch compiles with g++, which is not here")
    twins = [
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double().requires_grad_()
        for _ in range(2)
    ]
    twins[1].load_state_dict(twins[0].state_dict())
    for model in twins:
        model.load_state_dict(comm.bcast(twins[0].state_dict()))
    for mixes, model in enumerate(twins):
        called = torch.compile(model, backend=compiled) if compiled else model
        optimizer = torch.optim.AdamW(called.parameters(), 0.1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
        with Gossip(called, "complete", only="*", communicator=comm) as gossip:
            for turn in range(4):
                torch.manual_seed(turn)
                for _ in range(2):
                    inputs = torch.randn(8, 3, dtype=torch.float64)
                    called(inputs).sub(1).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
                if mixes:
                    gossip.mix()
    np.testing.assert_allclose(*map(numbers, twins), atol=1e-9)


def test_an_error_of_all_ranks_lets_the_round_land_that_is_under_way(comm, monkeypatch):
    real, landed = Flight.land, []
    monkeypatch.setattr(Flight, "land", lambda flight: (landed.append(flight), real(flight)))
    gossip = Gossip(np.zeros(9), communicator=comm)
    gossip.start()
    with pytest.raises(Fault, match="mine"), gossip:
        raise Fault("mine")
    assert len(landed) == 1
