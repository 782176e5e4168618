"""Mixing matrices of a run's rounds, made again from its results file."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl import plan as planning
from mpidl.components import graphs
from mpidl.components.graphs import Topology
from mpidl.config import plugins, runfile, toml
from mpidl.config.faults import Fault, shown
from mpidl.config.runfile import RunFile
from mpidl.run.arguments import GRAPH
from mpidl.storage import reader, schema

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[np.float64]

SECTIONS = ("topology", "strategy", "schedule", "algorithm", "network", "attack", "exchange")
"""Sections of a run file that gossip needs whole."""

TRAINING = ("seed", "participation", "rounds")
"""Settings of ``[training]`` that it needs."""

VARIABLES = ("edges", "probability", "weight", "samples")
"""Variables of a results file from which graphs that do not change are made again."""


def weights(run: Path | str, round: int = 0, *, use: str | Sequence[str] = ()) -> Array:
    """The mixing matrix W of a round of a run, ``(N, N)``: ``x_i <- sum_j W[i, j] x_j``.

    It has the links that worked in that round between the devices that took part. It is made again
    from the settings and the graph in the results file, as every rank made it. A graph that changes
    is drawn again, or read again from its file; what is made is compared with the digest of the
    run's graph. With push-sum it is the W that mixes vectors and masses, whose columns sum to 1.

    Args:
        run: The results file of a run, or of a loop with :class:`mpidl.Gossip`.
        round: The round, from 0.
        use: Files and modules of the user's own that the run used.

    Raises:
        Fault: If there is no such round, weights follow from models, the run's own code is missing,
            or its graph cannot be made again.
    """
    path, used = Path(run).expanduser(), runfile.begin(use)
    found = reader.open(path, VARIABLES)
    file = _settings(found, used)
    rounds = int(found.attrs["training.rounds"])
    if not 0 <= round < rounds:
        raise Fault(f"round = {shown(round)}: the run in {path} has {rounds} rounds, from 0 on.")
    topology = _topology(path, found, file, rounds)
    mixing = planning.make_mixing(file.mixing, topology, found["rank"].to_numpy())
    if "samples" in found:
        mixing = replace(mixing, samples=tuple(found["samples"].to_numpy().tolist()))
    if mixing.looks:
        raise Fault(
            f"{path}: the weights of strategy {file.strategy.name!r} follow from models, which no "
            "results file has."
        )
    matrix: Array = mixing.matrix(round)
    return matrix


def _settings(found: "xr.Dataset", used: Sequence[str]) -> RunFile:
    """The settings of gossip in a results file; only code in ``used`` is looked up."""
    told = toml.read(found.attrs["run_file"])
    tables: toml.Tables = {name: told[name] for name in SECTIONS if name in told}
    training = told.get("training", {})
    tables["training"] = {key: training[key] for key in TRAINING if key in training}
    if tables.get("topology", {}).get("name") == GRAPH:
        tables["topology"] = {"devices": found.sizes["device"]}
    known = {code.name for code in plugins.codes(used)}

    def loaded(key: str) -> bool:
        section, _, setting = key.partition(".")
        return str(tables.get(section, {}).get(setting)).rpartition(":")[0] in known

    runfile.bring(tables, planning.KINDS, [Path.cwd()], loaded)
    try:
        return runfile.validate(tables, planning.KINDS)
    except Fault:
        recorded = json.loads(found.attrs.get(schema.CODE, "[]"))
        missing = [str(code["name"]) for code in recorded if code["name"] not in known]
        if not missing:
            raise
        raise Fault(
            f"The run used {', '.join(missing)}, code of its user's own, which no results file "
            "loads: name it by use=."
        ) from None


def _topology(path: Path, found: "xr.Dataset", file: RunFile, rounds: int) -> Topology:
    """The graph of a run: from the values in its results file, or made again by its settings.

    Raises:
        Fault: If neither is the graph of the run.
    """
    stays = _stored(found)
    if _same(stays, found, file):
        return stays
    section = file.topology.model_copy(update={"devices": found.sizes["device"]})
    made = graphs.build(section, found.sizes["device"], rounds)
    if _same(made, found, file):
        return made
    raise Fault(
        f"{path}: {section.file or section.name} makes another graph today than in this run; "
        "the results file has links and weights of a graph that changes only as a digest."
    )


def _stored(found: "xr.Dataset") -> Topology:
    """The graph with all links in a results file, as if it did not change."""
    graph = nx.empty_graph(found.sizes["device"], create_using=nx.DiGraph)
    values: dict[str, Any] = {
        key: found[key].to_numpy().tolist() for key in ("probability", "weight") if key in found
    }
    for at, (i, j) in enumerate(found["edges"].to_numpy().tolist()):
        graph.add_edge(i, j, **{key: own[at] for key, own in values.items()})
    return Topology(graph)


def _same(topology: Topology, found: "xr.Dataset", file: RunFile) -> bool:
    chances = 1.0, file.topology.link_probability
    digests = {graphs.digest(topology, chance) for chance in chances}
    return found.attrs.get(schema.GRAPH_DIGEST) in digests
