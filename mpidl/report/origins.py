"""Origins of runs: the content of their graphs' files and of their data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpidl.components import graphs
from mpidl.config.faults import printable
from mpidl.report.labels import DATA, GRAPH
from mpidl.report.paper import graphs as study
from mpidl.report.summary import Summary
from mpidl.storage import schema

SHOWN = 6
"""Hexadecimal digits that name a content without a name of its own."""

PUBLISHED = "published"
"""Name for the content of published data, and of older runs that did not record it."""


def graph(summary: Summary, names: Mapping[str, str]) -> dict[str, Any]:
    """The graph of a run, if it is from a file, as settings in which runs may differ.

    A graph of the published study has its kind, and its number within the kind as a seed. Any other
    graph has a name for its content.

    Args:
        summary: The run.
        names: Names of graphs, from :func:`named`.
    """
    if published := known(summary):
        kind, seed = published
        return {GRAPH: kind, f"{GRAPH}.seed": seed}
    return {GRAPH: names[summary.graph]}


def known(summary: Summary) -> tuple[str, int] | None:
    """Kind and seed of a graph of the published study; None for one whose links may fail."""
    plain = summary.graph == graphs.digest_of(summary.devices, summary.edges)
    return study.known(summary.edges, summary.devices) if plain else None


def named(runs: Mapping[str, Summary]) -> dict[str, str]:
    """Names of the graphs from files, by digest.

    A name is the shortest end of the file's path that is no other graph's; if one path had several
    graphs, their digests follow.
    """
    paths: dict[str, set[Path]] = {}
    for summary in runs.values():
        file = summary.settings.get("topology.file")
        if file is not None and known(summary) is None:
            paths.setdefault(summary.graph, set()).add(Path(str(file)).with_suffix(""))
    depth = max((len(path.parts) for own_paths in paths.values() for path in own_paths), default=0)
    names: dict[str, str] = {}
    for parts in range(1, depth + 1):
        ends = {
            digest: {"/".join(path.parts[-parts:]) for path in own_paths}
            for digest, own_paths in paths.items()
        }
        for digest, own in ends.items():
            others = set().union(*(ends[other] for other in ends if other != digest))
            if digest not in names and not own & others:
                names[digest] = min(own)
    for digest in paths.keys() - names.keys():
        names[digest] = f"{min(path.name for path in paths[digest])} {digest[:SHOWN]}"
    return {digest: printable(name) for digest, name in names.items()}


def data(summary: Summary) -> dict[str, str]:
    """The content of a run's data, as a setting in which runs may differ."""
    digest = str(summary.made.get(schema.DATA_DIGEST))
    return {DATA: PUBLISHED if as_published(summary) else digest[:SHOWN]}


def as_published(summary: Summary) -> bool:
    """Whether a run's data are the published data, as far as its file says."""
    recorded = schema.DATA_DIGEST in summary.made
    return not recorded or summary.made.get(schema.DATA_PUBLISHED) == "yes"
