"""What strategies of one's own may give, and what is said of everything else."""

from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest

from mpidl.components import strategies
from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies import STRATEGIES, Inbox
from mpidl.config.faults import Fault
from mpidl.config.runfile import ScheduleSettings

torch = pytest.importorskip("torch")

VIEW = Neighborhood(nx.star_graph(2).to_directed(), 0, round=4, samples=(1, 1, 1))
"""Of a device with two neighbors."""

VECTORS = [torch.arange(4.0) + k for k in range(3)]


@pytest.fixture
def row(monkeypatch):
    """As ``row(made)``: what becomes of what a strategy gives; ``looking`` into its inbox."""

    def call(made, looking=False, **annotations):
        def plain(view, /):
            return made

        def looks(view, inbox, /):
            return made

        function = looks if looking else plain
        function.__annotations__ = annotations
        monkeypatch.setitem(STRATEGIES, "mine", function)
        look = (lambda view: Inbox(VECTORS, lambda vector: [vector])) if looking else None
        return strategies.row(SimpleNamespace(name="mine"), ScheduleSettings(), VIEW, look)

    return call


THIRDS = np.full(3, 1 / 3)


@pytest.mark.parametrize(
    "made",
    [THIRDS, list(THIRDS), THIRDS.astype("f4"), torch.tensor(THIRDS), np.array([2.0, -1, 0])],
    ids=["array", "list", "float32", "tensor", "negative"],
)
@pytest.mark.parametrize("looking", [False, True])
def test_weights_of_any_kind_are_a_row(row, made, looking):
    found = row(made, looking)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.asarray(made, np.float64))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ([0.5, 0.5], r"weights of the shape \(2,\): must be \(3,\), one for each of view.members"),
        ([[0.5, 0.5, 0.0]], r"weights of the shape \(1, 3\): must be \(3,\)"),
        (1.0, "gives 1.0: must be 3 weights"),
        (None, "gives None: must be 3 weights|weights of the shape"),
        ("word", "gives 'word': must be 3 weights"),
        ([0.2, 0.3, 0.4], r"the weights \[0.2, 0.3, 0.4\]: their sum is 0.9, must be 1"),
        ([0.2, np.nan, 0.4], r"the weights \[0.2, nan, 0.4\]: must be finite numbers"),
        ([np.inf, -np.inf, 1], "must be finite numbers"),
        (THIRDS * (1 + 3e-6), "their sum is 1.000003, must be 1"),
        (VECTORS[0], r'the shape \(4,\): .* the mixture itself has \'-> "Tensor"\''),
    ],
)
def test_anything_else_is_told_with_device_and_round(row, made, sentence):
    told = f"^strategy.name = 'mine': in round 5 for device 0 it .*({sentence})"
    with pytest.raises(Fault, match=told) as fault:
        row(made)
    assert len(fault.value.sentences) == 1


TENSOR = [torch.Tensor, "Tensor", "torch.Tensor", "'Tensor'", '"torch.Tensor"']


@pytest.mark.parametrize("annotation", TENSOR, ids=repr)
def test_a_mixture_is_known_by_its_annotation(row, annotation):
    told = {"return": annotation}
    assert row(VECTORS[1], looking=True, **told) is VECTORS[1]
    assert strategies.combines("mine")
    wrong = "must be|in its inbox"
    for made in (VECTORS[0][:3], VECTORS[0].double(), np.zeros(4), THIRDS):
        with pytest.raises(Fault, match=wrong):
            row(made, looking=True, **told)


@pytest.mark.parametrize("annotation", [None, np.ndarray, "Array", "Tensors", "list[float]"])
def test_other_annotations_mean_weights(row, annotation):
    row(THIRDS, looking=True, **{"return": annotation})
    assert not strategies.combines("mine")


def asks(view, /):
    return np.eye(3)[0] if view.round < 3 else THIRDS


def asks_for_all(view, /):
    return np.eye(3)[0] if vars(view)["round"] < 3 else THIRDS


@pytest.mark.parametrize(
    ("strategy", "timeless"),
    [(asks, False), (asks_for_all, False), (lambda view, /: THIRDS, True)],
)
def test_what_asks_for_the_round_is_not_timeless(monkeypatch, strategy, timeless):
    monkeypatch.setitem(STRATEGIES, "mine", strategy)
    assert strategies.timeless(SimpleNamespace(name="mine"), VIEW) == timeless


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_of_those_in_the_box_random_alone_asks_for_the_round(name):
    if strategies.looks(name) or name == "given":
        pytest.skip("its rows follow from more than the neighborhood")
    section = SimpleNamespace(name=name, **_defaults(name))
    assert strategies.timeless(section, VIEW) == (name != "random")


def _defaults(name):
    return STRATEGIES.settings(name)().model_dump()
