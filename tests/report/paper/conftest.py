"""Runs on the published graphs, as the report keeps them, without files."""

from functools import cache
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from mpidl import plan
from mpidl.components import graphs
from mpidl.report import run_numbers, summary
from mpidl.storage import reader

ROOT = Path(__file__).parents[3]


@cache
def graph_of(kind, seed=0):
    path = ROOT / f"topologies/{kind}_{seed}.txt"
    return nx.from_numpy_array(np.loadtxt(path, comments="#"))


@cache
def sources_of(kind, seed):
    text = (ROOT / f"topologies/{kind}_{seed}.txt").read_text().splitlines()[1]
    return [int(one) for one in text.partition(":")[2].split()]


@cache
def settings_of(study, data, overrides):
    path = ROOT / f"launch/studies/{study}/{data}.toml"
    return reader.flat(path, plan.read(path, overrides, 33).text())


def run_like(
    levels,
    *,
    kind="ba_33_2",
    seed=0,
    data="mnist",
    strategy="degree",
    rank=1,
    study="testbed",
    overrides=(),
):
    """A summary of a run whose OOD and IID levels are given."""
    told = {"strategy.name": strategy, "training.seed": seed}
    links = graph_of(kind, seed)
    ood, iid = levels if isinstance(levels, tuple) else (levels, 0.5)
    edges = sorted(nx.to_directed(links).edges)
    source = np.zeros(len(links))
    source[sources_of(kind, seed)[rank - 1]] = 1
    numbers = {
        "ood_level": ood,
        "iid_level": iid,
        "ood_last": ood,
        "iid_last": iid,
        "difference": 200 * (ood - iid) / (ood + iid),
        "links": float(links.number_of_edges()),
        "modularity": run_numbers.modularity(tuple(edges), len(links)),
    }
    return summary.Summary(
        path=Path(kind),
        settings={**settings_of(study, data, tuple(overrides)), **told},
        made={},
        devices=len(links),
        rounds=40,
        done=40,
        completed=True,
        numbers=numbers,
        by_device={"source": source},
        curves={},
        edges=tuple(edges),
        graph=graphs.digest_of(len(links), edges),
        warnings=(),
    )


@pytest.fixture(scope="session")
def run():
    """Makes the summary of a run whose OOD and IID levels are given."""
    return run_like


@pytest.fixture(scope="session")
def stored():
    """The graph of a file in ``topologies``, and its published sources."""
    return lambda kind, seed: (graph_of(kind, seed), sources_of(kind, seed))
