"""Settings of gossip in one's own loop: sections of a run file, from names and dictionaries."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpidl import plan as planning
from mpidl.components import graphs
from mpidl.config import runfile
from mpidl.config.faults import Fault, shown
from mpidl.config.runfile import RunFile, TopologySettings
from mpidl.config.toml import Tables
from mpidl.plan import Mixing

ARGUMENTS = {
    "topology": "topology",
    "strategy": "strategy",
    "schedule": "schedule",
    "algorithm": "algorithm",
    "network": "network",
    "attack": "attack",
    "backend": "exchange",
}
"""Arguments that are sections of a run file, and the names of these."""

TRAINING = ("seed", "participation", "rounds")
"""Arguments that are settings of ``[training]``."""

KEYS = (*ARGUMENTS, *TRAINING)


def read(given: Mapping[str, object], devices: int) -> RunFile:
    """Check arguments as a run file would be; its sections without an argument are the defaults.

    Args:
        given: The value of each of :data:`KEYS`.
        devices: N.

    Raises:
        Fault: With one sentence for every setting that is wrong.
    """
    training = {key: given[key] for key in TRAINING}
    tables: Tables = {"training": {k: v for k, v in training.items() if v is not None}}
    for argument, section in ARGUMENTS.items():
        tables[section] = _table(argument, given[argument])
    file = runfile.placed(runfile.validate(tables, planning.KINDS), [Path()])
    if file.topology.devices not in (None, devices):
        raise Fault(
            f"topology.devices = {file.topology.devices}: must be {devices}, the number of models "
            "on all ranks."
        )
    return file


def _table(argument: str, value: object) -> dict[str, object]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, Path) and argument == "topology":
        return {"file": str(value)}
    if isinstance(value, str) and argument != "network":
        return {"backend" if argument == "backend" else "name": value}
    name = "a dictionary" if argument == "network" else "a name, or a dictionary"
    raise Fault(f"{argument} = {shown(value)}: must be {name} as in a run file.")


def make(file: RunFile, hosts: npt.NDArray[np.int64], rounds: int | None) -> Mixing:
    """The plan of gossip.

    Args:
        file: The settings.
        hosts: Device to rank, ``(N,)``.
        rounds: The most rounds; None if that is unknown.

    Raises:
        Fault: If the settings do not go together, or a graph that never repeats has no rounds.
    """
    section = file.topology.model_copy(update={"devices": len(hosts)})
    topology = graphs.build(section, len(hosts), file.training.rounds)
    if topology.sequence is not None and rounds is None:
        if topology.sequence.period is None:
            raise Fault(
                f"topology = {_named(section)}: has new links in each round without end, so "
                "rounds must be given: the most calls of mix()."
            )
        topology = graphs.build(section, len(hosts), topology.sequence.period)
    return planning.make_mixing(file.mixing, topology, hosts)


def _named(section: TopologySettings) -> str:
    return shown(section.file or section.name)


def described(file: RunFile, mixing: Mixing) -> dict[str, str]:
    """A text for each setting that must be the same on every rank."""
    sections = {argument: getattr(file, name) for argument, name in ARGUMENTS.items()}
    texts = {key: repr(section.model_dump()) for key, section in sections.items()}
    texts["topology"] += f", graph {graphs.digest(mixing.topology)[:12]}"
    training = file.training
    return texts | {
        "seed": str(training.seed),
        "participation": str(training.participation),
        "rounds": str(training.rounds),
    }
