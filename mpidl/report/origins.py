"""Origins of runs, told apart by content: graphs from files, and data."""

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
"""Hexadecimal digits by which a content is called that has no name of its own."""

PUBLISHED = "published"
"""What the content of published data is called, and that of runs from before it was recorded."""


def graph(one: Summary, names: Mapping[str, str]) -> dict[str, Any]:
    """Which graph a run from a file has, as settings by which runs are told apart.

    One of the published study has its kind, and which one of its kind it is counts as a seed.
    Any other one is what its file holds.

    Args:
        one: The run.
        names: What graphs are called, from :func:`named`.
    """
    if found := known(one):
        kind, seed = found
        return {GRAPH: kind, f"{GRAPH}.seed": seed}
    return {GRAPH: names[one.graph]}


def known(one: Summary) -> tuple[str, int] | None:
    """Kind and seed of a graph of the published study; None for one whose links may fail."""
    plain = one.graph == graphs.digest_of(one.devices, one.edges)
    return study.known(one.edges, one.devices) if plain else None


def named(runs: Mapping[str, Summary]) -> dict[str, str]:
    """What each graph from a file is called, by its digest.

    By the shortest end of its path that is no other graph's, as files are mostly called by what
    is in them; where one path had several graphs by their digests too.
    """
    paths: dict[str, set[Path]] = {}
    for one in runs.values():
        file = one.settings.get("topology.file")
        if file is not None and known(one) is None:
            paths.setdefault(one.graph, set()).add(Path(str(file)).with_suffix(""))
    depth = max((len(path.parts) for found in paths.values() for path in found), default=0)
    called: dict[str, str] = {}
    for parts in range(1, depth + 1):
        ends = {
            digest: {"/".join(path.parts[-parts:]) for path in found}
            for digest, found in paths.items()
        }
        for digest, own in ends.items():
            others = set().union(*(ends[other] for other in ends if other != digest))
            if digest not in called and not own & others:
                called[digest] = min(own)
    for digest in paths.keys() - called.keys():
        called[digest] = f"{min(path.name for path in paths[digest])} {digest[:SHOWN]}"
    return {digest: printable(name) for digest, name in called.items()}


def data(one: Summary) -> dict[str, str]:
    """The content of a run's data, as a setting by which runs are told apart."""
    digest = str(one.made.get(schema.DATA_DIGEST))
    return {DATA: PUBLISHED if as_published(one) else digest[:SHOWN]}


def as_published(one: Summary) -> bool:
    """Whether a run's data are those that are published, as far as its file tells."""
    recorded = schema.DATA_DIGEST in one.made
    return not recorded or one.made.get(schema.DATA_PUBLISHED) == "yes"
