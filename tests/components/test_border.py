"""What builders of one's own give: taken, or refused in one sentence with the builder's name."""

from dataclasses import replace
from functools import partial

import networkx as nx
import numpy as np
import pytest
import torch

from mpidl.components import graphs, strategies
from mpidl.components.algorithms import ALGORITHMS, Algorithm, State
from mpidl.components.attacks import ATTACKS
from mpidl.components.graphs import TOPOLOGIES, Neighborhood, Sequence
from mpidl.components.graphs.sequences import Links
from mpidl.components.models import MODELS
from mpidl.components.ood import OODS, Shape, Shift, turn
from mpidl.components.placement import PLACEMENTS
from mpidl.components.strategies import SCHEDULES, STRATEGIES
from mpidl.config.faults import Fault
from mpidl.config.runfile import ScheduleSettings, StrategySettings, TopologySettings
from mpidl.devices import steps

RING = graphs.build(TopologySettings(name="ring"), 4)
LABELS = np.arange(12) % 3
VECTOR = torch.zeros(7)


def links(ends, **more):
    return Sequence(4, lambda round: Links(np.array(ends, np.int64).reshape(-1, 2), **more))


def built(name):
    return graphs.build(TopologySettings(name=name, allow_disconnected=True), 4, 3)


def weighed(name):
    view = Neighborhood(RING.graph, 0)
    return strategies.row(StrategySettings(name=name), ScheduleSettings(), view)


GARBAGE = {
    "topology": (TOPOLOGIES, built),
    "schedule": (SCHEDULES, lambda name: SCHEDULES.call(name, 0, 10.0)),
    "strategy": (STRATEGIES, weighed),
    "attack": (ATTACKS, lambda name: ATTACKS.call(name, VECTOR, None)),
    "model": (MODELS, MODELS.call),
    "algorithm": (ALGORITHMS, ALGORITHMS.call),
    "ood": (OODS, lambda name: OODS.call(name, Shape((1, 2, 2), 3))),
    "placement": (PLACEMENTS, lambda name: PLACEMENTS.call(name, LABELS, RING, 0)),
}


@pytest.fixture
def mine(monkeypatch):
    """As ``mine(section, value)``: what is made of a value that a builder of one's own gives."""

    def take(section, value):
        registry, call = GARBAGE[section]

        def own(*_):
            return value

        monkeypatch.setitem(registry, "mine", registry.add(own))
        del registry["own"]
        return call("mine")

    return take


@pytest.mark.parametrize("section", GARBAGE)
@pytest.mark.parametrize("value", [None, "text", {}, object], ids=str)
def test_what_is_nothing_of_the_kind_is_refused(mine, section, value):
    with pytest.raises(Fault, match=rf"^{section}.name = 'mine': .*(must be|gives)") as fault:
        mine(section, value)
    assert len(fault.value.sentences) == 1
    assert "must be" in str(fault.value)


@pytest.mark.parametrize(
    ("section", "value", "sentence"),
    [
        ("topology", nx.path_graph(5), "a graph of 5 nodes: .*topology.devices = 5 asks for"),
        ("topology", nx.path_graph(range(1, 5)), "gives a node 4: must be .* on nodes 0 to 3"),
        ("topology", nx.MultiGraph(nx.path_graph(4)), "gives a MultiGraph: must be"),
        ("topology", nx.Graph([(0, 1), (2, 3), (1, 1)]), "links device 1 to itself without"),
        ("topology", Sequence(5, lambda round: None), "gives a Sequence of 5 devices"),
        ("topology", Sequence(4, lambda round: None), "in round 1 it draws None: must be Links"),
        ("topology", Sequence(4, lambda round: Links([])), r"draws ends \[\]: must be an array"),
        ("topology", links([[0, 4]]), "links between devices 0 to 4: must be from 0 to 3"),
        ("topology", links([[0, 1], [0, 1]]), "a link from a device to itself, or one twice"),
        ("topology", links([[0, 1]], weight=np.ones(2)), r"weight of the shape \(2,\): must be"),
        ("schedule", float("nan"), "in round 1 it gives nan: must be a finite number"),
        ("schedule", float("inf"), "in round 1 it gives inf: must be a finite number"),
        ("strategy", 1.0, "gives 1.0: must be 3 weights"),
        ("strategy", [0.5, 0.5], r"weights of the shape \(2,\): must be \(3,\)"),
        ("attack", torch.zeros(()), r"gives a tensor \(\) of torch.float32: must be a tensor \(7,"),
        ("attack", torch.zeros(7, dtype=torch.float64), "of torch.float64: must be a tensor"),
        ("model", torch.nn.Linear, "must be a torch.nn.Module"),
        ("algorithm", Algorithm, "must be an Algorithm"),
        ("algorithm", Algorithm(give=1), "its give is 1: must be a function"),
        ("algorithm", Algorithm(order=("train",)), "its order is .*: must be 'train' and"),
        ("algorithm", Algorithm(lazy=1), "lazy is 1: must be from 0 to below 1"),
        ("algorithm", Algorithm(travels=lambda lengths: 10), "travels gives 10: must be 1,000 or"),
        ("algorithm", Algorithm(travels=lambda lengths: 1e4), "travels gives 10000.0: must be a"),
        ("algorithm", Algorithm(keeps=lambda lengths: 3), "keeps gives 3: must be a dictionary"),
        ("algorithm", Algorithm(keeps=lambda lengths: {"c": -1}), "keeps gives 'c' the length -1"),
        ("placement", [[0], [1], [2]], "gives 3 parts: must be a list of 4 arrays"),
        ("placement", [[0], [1], [2], []], r"gives device 3 an array \(0,\) of float64: must be"),
        ("placement", [[0], [1], [2], [12]], "gives device 3 places from 12 to 12: must be"),
        ("placement", [[0], [1], [2], [3, 3]], "must be different numbers from 0 to 11"),
        ("placement", [[0], [1], [2], [True]], "of bool: must be places"),
    ],
)
def test_what_does_not_fit_is_refused(mine, section, value, sentence):
    with pytest.raises(Fault, match=rf"^{section}.name = 'mine': .*{sentence}") as fault:
        mine(section, value)
    assert len(fault.value.sentences) == 1


def test_a_later_round_is_checked_before_the_run(mine):
    late = Sequence(4, lambda round: Links(np.array([[0, 1 + 4 * (round == 2)]])))
    with pytest.raises(Fault, match="'mine': in round 3 it draws links between devices 0 to 5"):
        mine("topology", late)


def test_what_fits_is_taken(mine):
    assert mine("topology", nx.complete_graph(4)).graph.number_of_edges() == 12
    weights = mine(
        "topology", nx.Graph([(0, 1, {"weight": 0.5}), (1, 2, {"weight": 0.25}), (2, 3)])
    )
    assert "the link from 2 to 3 has no weight" in weights.amiss[0]
    assert mine("schedule", np.float32(2)) == 2.0
    assert mine("attack", VECTOR) is VECTOR
    assert [part.tolist() for part in mine("placement", np.arange(8).reshape(4, 2))][3] == [6, 7]


SHIFT = Shift(apply=lambda inputs, labels, rng: (inputs, labels))
IMAGES = np.zeros((12, 1, 2, 2), np.float32)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"apply": lambda inputs, labels, rng: None}, "apply gives None: must be inputs and"),
        (
            {"apply": lambda inputs, labels, rng: (inputs[:1], labels)},
            "apply gives inputs of the s",
        ),
        (
            {"apply": lambda inputs, labels, rng: (inputs * 1.0, labels + 0.5)},
            "labels of the shape",
        ),
        ({"apply": lambda inputs, labels, rng: (inputs.astype(float), labels)}, "type float64"),
        ({"apply": lambda inputs, labels, rng: (inputs, labels + 3)}, "must be from 0 to 2"),
        (
            {"eligible": lambda inputs, labels: labels},
            "eligible gives values of the shape .* int64",
        ),
        ({"eligible": lambda inputs, labels: True}, r"eligible gives values of the shape \(\)"),
        ({"reserved": lambda labels: None}, "reserved gives values of the shape"),
    ],
)
def test_what_a_shift_does_is_checked(mine, changes, sentence):
    shift = mine("ood", replace(SHIFT, **changes))
    rng = np.random.default_rng(0)
    with pytest.raises(Fault, match=f"^ood.name = 'mine': .*{sentence}"):
        shift.reserved(LABELS) if "reserved" in changes else turn(shift, IMAGES, LABELS, 0.5, rng)


def test_targets_of_a_sample_may_be_several_numbers(mine):
    targets = np.ones((12, 3), np.float32)
    turned, relabeled, mask = turn(
        mine("ood", SHIFT), IMAGES, targets, 0.5, np.random.default_rng(0)
    )
    assert (turned.shape, relabeled.shape, mask.shape) == (IMAGES.shape, (12, 3), (12,))


def state(**more):
    return State(torch.zeros(5), torch.zeros(5), 5, 3, **more)


def rebind(name, own):
    setattr(own, name, torch.ones(7))


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (lambda own: own.x * 2, r"it returns tensor.*: must change the state in place"),
        (partial(rebind, "x"), "it puts another vector in place of state.x: must change it in pl"),
        (partial(rebind, "vector"), "another vector in place of state.vector"),
        (lambda own: own.kept.update(d=1), r"changes which vectors are kept \(d\)"),
        (
            lambda own: own.kept.update(c=torch.ones(3)),
            r"keeps 'c' as \(3,\) of .*: must be \(2,\)",
        ),
        (lambda own: own.kept.update(c=None), r"keeps 'c' as None: must be \(2,\)"),
    ],
)
def test_steps_change_the_state_in_place(step, sentence):
    with pytest.raises(Fault, match=r"^algorithm.name = 'mine': in round 1 for device 3 it .*"):
        steps.take_step("mine", step, state(kept={"c": torch.ones(2)}))
    with pytest.raises(Fault, match=sentence):
        steps.take_step("mine", step, state(kept={"c": torch.ones(2)}))
    steps.take_step(
        "mine", lambda own: own.kept.update(c=torch.zeros(2)), state(kept={"c": VECTOR[:2]})
    )


@pytest.mark.parametrize(
    ("series", "sentence"),
    [
        ({"mass": 1.0, "other": 2.0}, r"records 'other': must be a name in its series \('mass'\)"),
        ({"mass": "much"}, "records 'much' as 'mass': must be a number"),
    ],
)
def test_values_that_are_recorded_are_numbers_of_the_series(series, sentence):
    with pytest.raises(Fault, match=sentence):
        steps.recorded("mine", state(series=series), ("mass",))
    steps.recorded("mine", state(series={"mass": np.float32(1)}), ("mass",))
