"""Results files made by hand, whose numbers are known."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import networkx as nx
import numpy as np
import pytest

from mpidl import plan
from mpidl.components import graphs
from mpidl.storage import layout, schema

Write = Callable[..., Path]


def write_file(
    path: Path,
    ood: Any,
    iid: Any = None,
    *,
    graph: nx.Graph | None = None,
    sources: Sequence[int] = (0,),
    settings: Sequence[str] = (),
    done: int | None = None,
    completed: bool = True,
    moments: Sequence[str] = ("trained", "mixed"),
    classes: int = 10,
    series: dict[str, Any] | None = None,
) -> Path:
    """Write a results file as the recorder would.

    Args:
        path: The file; folders are made.
        ood: OOD accuracy, ``(R, N)``; also the IID one where that is not given.
        iid: IID accuracy, ``(R, N)``.
        graph: On devices 0..N-1, which may have names; a ring by default.
        sources: Devices with OOD data.
        settings: ``section.key=value`` each, of the run file.
        done: Rounds counted as whole; all by default.
        completed: Whether the run came to its end.
        moments: When accuracy was measured.
        classes: How many there are.
        series: Other series, ``(R, N)``, by name.
    """
    ood = np.atleast_2d(np.asarray(ood, float))
    iid = ood if iid is None else np.atleast_2d(np.asarray(iid, float))
    rounds, devices = ood.shape
    graph = nx.to_directed(nx.cycle_graph(devices) if graph is None else graph)
    edges = sorted((int(i), int(j)) for i, j in graph.edges)
    matrix = (nx.to_numpy_array(graph, range(devices), weight=None) > 0).T + np.eye(devices)
    matrix = matrix / matrix.sum(axis=1, keepdims=True)
    hops = np.full(devices, -1)
    if sources:
        found = nx.multi_source_dijkstra_path_length(graph, set(sources), weight=None)
        hops[list(found)] = list(found.values())
    told = [
        f'name="{path.stem}"',
        f"training.rounds={rounds}",
        f"topology.devices={devices}",
    ]
    file = plan.read(None, [*told, *settings], devices)
    named = {"name": np.array(names, object)} if (names := graph.graph.get("names")) else {}
    skipped = tuple(moment for moment in schema.MOMENTS if moment not in moments)
    recorded = {
        key: variable
        for key, variable in schema.SERIES.items()
        if not skipped or not key.endswith(skipped)
    }
    contents = layout.Contents(
        sizes={"round": rounds, "device": devices, "class": classes},
        series=recorded,
        static={
            "graph": {
                **named,
                "edges": np.array(edges, np.int64).reshape(len(edges), 2),
                "probability": np.ones(len(edges)),
                "W": matrix,
                "centrality": matrix.sum(axis=0),
                "stationary": graphs.stationary(matrix),
                "eigenvalue": -np.sort(-np.abs(np.linalg.eigvals(matrix))),
                "hops": hops,
            },
            "placement": {
                "samples": np.full(devices, 100),
                "ood_samples": np.where(np.isin(np.arange(devices), sources), 10, 0),
                "source": np.isin(np.arange(devices), sources).astype(np.int64),
                "rank": np.zeros(devices, np.int64),
                "labels": np.full((devices, classes), 100 // classes),
            },
        },
        labels={"class": [str(one) for one in range(classes)]},
        attributes={
            "mpidl": "0.1.0",
            "commit": "0" * 40,
            "run_file": file.text(),
            "started": "2026-01-01T00:00:00+00:00",
            "command": "by hand",
            "ranks": 1,
            "hosts": "host",
            "backend": "shared",
            "kernel": "native",
            "parameters": 100,
        },
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    layout.create(path, contents)
    rows = {f"ood_accuracy_{moment}": ood for moment in moments}
    rows |= {f"iid_accuracy_{moment}": iid for moment in moments}
    rows |= {key: np.ones((rounds, devices)) for key in recorded if key.startswith("seconds_")}
    rows |= {
        f"{kind}_loss_{moment}": 1 - rows[f"{kind}_accuracy_{moment}"]
        for kind in schema.KINDS
        for moment in moments
    }
    rows |= {
        "train_loss": 1 - iid,
        "consensus_distance": np.ones((rounds, devices)),
        "bytes_sent": np.full((rounds, devices), 400),
        "bytes_received": np.full((rounds, devices), 400),
        "simulated_seconds": np.cumsum(np.ones((rounds, devices)), axis=0),
        **(series or {}),
    }
    done = rounds if done is None else done
    with h5py.File(path, "r+") as stored:
        for key, values in rows.items():
            stored[f"series/{key}"][:done] = np.asarray(values)[:done]
        for moment in moments:
            stored[f"series/iid_class_accuracy_{moment}"][:done] = iid[:done, :, None]
        stored[schema.ROUNDS_DONE][()] = done
        stored[schema.COMPLETED][()] = int(completed)
    return path


@pytest.fixture(scope="session")
def write() -> Write:
    """Writes a results file whose curves are given."""
    return write_file
