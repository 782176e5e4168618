"""Numbers of a run beside its curves: of its graph, of predicted arrival, of costs.

:func:`mpidl.report.summary.of` says what each name means. Shapes: N devices.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components import graphs
from mpidl.report import measures
from mpidl.storage import schema
from mpidl.storage.round_values import SECONDS, spent

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]
Edges = tuple[tuple[int, int], ...]
"""Links as pairs (source, destination), each direction alone."""


def devices(run: "xr.Dataset", edges: Edges) -> dict[str, Array]:
    """What is known of each device whatever it learned, ``(N,)`` each.

    Args:
        run: An opened run.
        edges: Its links.
    """
    devices = run.sizes["device"]
    heard = np.bincount(np.array([i for _, i in edges], int), minlength=devices)
    stationary = run["stationary"].to_numpy() if "stationary" in run else np.full(devices, np.nan)
    names = {"name": run["name"].to_numpy()} if "name" in run else {}
    return {
        **names,
        "hops": run["hops"].to_numpy(),
        "source": run["source"].to_numpy(),
        "degree": heard,
        "stationary": stationary,
        "passage": measures.passage(run),
    }


def graph(run: "xr.Dataset", edges: Edges, by_device: Mapping[str, Array]) -> dict[str, float]:
    """Numbers of the graph and its sources.

    Args:
        run: An opened run.
        edges: Its links.
        by_device: What :func:`devices` says.
    """
    sources = by_device["source"] == 1
    degree = measures.mean(by_device["degree"][sources])
    moduli = run["eigenvalue"].to_numpy() if "eigenvalue" in run else np.empty(0)
    gap = 1 - moduli[1] if len(moduli) > 1 else float("nan")
    weight = by_device["stationary"][sources].sum() if sources.any() else float("nan")
    return {
        "links": float(len({frozenset(edge) for edge in edges})),
        "modularity": modularity(edges, run.sizes["device"]),
        "gap": float(np.clip(gap, 0, 1)),
        "source_links": degree,
        "source_degree": degree / max(1, run.sizes["device"] - 1),
        "source_stationary": float(weight),
    }


def passage(by_device: Mapping[str, Array]) -> dict[str, float]:
    """Numbers that compare predicted and measured arrival, over devices that are no source.

    Args:
        by_device: What :func:`devices` says, and ``rounds_to_threshold``.
    """
    others = by_device["source"] != 1
    passage, measured = by_device["passage"][others], by_device["rounds_to_threshold"][others]
    known = np.isfinite(passage).any()
    hops = np.where(by_device["hops"] < 0, np.nan, by_device["hops"])[others]
    return {
        "source_passage": math.log10(measures.mean(passage)) if known else float("nan"),
        "passage_spearman": measures.spearman(passage, measured) if known else float("nan"),
        "hops_spearman": measures.spearman(hops, measured),
    }


@lru_cache(maxsize=4096)
def modularity(edges: Edges, devices: int) -> float:
    """Modularity of the communities of the undirected graph by greedy merging; NaN without links.

    See :func:`mpidl.components.graphs.modularity`.
    """
    graph = nx.empty_graph(devices)
    graph.add_edges_from(edges)
    return graphs.modularity(graph, graphs.communities(graph))


def costs(run: "xr.Dataset") -> dict[str, float]:
    """How far models were apart at last, and what the run took."""
    consensus = run["consensus_distance"].to_numpy()
    consensus = consensus[np.isfinite(consensus).any(axis=1)]
    keys = (key for key in schema.SERIES if key.startswith(SECONDS) and key in run)
    phases = {key: run[key].to_numpy() for key in keys}
    seconds = sum(phase.sum() for phase in spent(phases, run["rank"].to_numpy()).values())
    return {
        "consensus_last": math.sqrt(measures.mean(consensus[-1] ** 2))
        if len(consensus)
        else float("nan"),
        "seconds": float(seconds),
        "bytes": float(run["bytes_sent"].to_numpy().clip(min=0).sum()),
    }
