"""Settings of gossip in one's own loop: sections of a run file, from names and dictionaries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl import plan as planning
from mpidl.components import graphs
from mpidl.components.graphs import Topology
from mpidl.config.faults import Fault, shown
from mpidl.config.runfile import RunFile
from mpidl.config.toml import Tables
from mpidl.plan import Mixing
from mpidl.run import arguments

ARGUMENTS = {
    argument: arguments.SECTION_OF.get(argument, argument)
    for argument in (
        *("topology", "strategy", "schedule", "algorithm"),
        *("network", "attack", "backend"),
    )
}
"""Arguments that are sections of a run file, and the names of these."""

TRAINING = ("seed", "participation", "rounds")
"""Arguments that are settings of ``[training]``."""

LOG = "log"
"""The argument that is the setting of this name of ``[record]``."""

KEYS = (*ARGUMENTS, *TRAINING, LOG)


TOPOLOGY = "ring"
"""The topology where none is given."""


@dataclass(frozen=True)
class OwnSettings:
    """Settings of gossip, and the graph that they name or that was given.

    Attributes:
        file: Sections of a run file; those without an argument are the defaults.
        given: The topology, if a graph or a matrix was given in place of a name.
    """

    file: RunFile
    given: Topology | None

    def mixing(self, hosts: npt.NDArray[np.int64], rounds: int | None) -> Mixing:
        """The plan of gossip.

        Args:
            hosts: Device to rank, ``(N,)``.
            rounds: The most rounds; None if that is unknown.

        Raises:
            Fault: If the settings do not go together, or a graph that never repeats has no rounds.
        """
        topology = self.given or _built(self.file, len(hosts), rounds)
        if len(topology) != len(hosts):
            raise Fault(
                f"topology: has {len(topology)} devices, and there are {len(hosts)} models on all "
                "ranks."
            )
        return planning.make_mixing(self.file.mixing, topology, hosts)

    def tables(self) -> Tables:
        """The sections that gossip has, as in a run file, with every setting resolved."""
        of_file = self.file.tables()
        tables = {name: of_file[name] for name in ARGUMENTS.values()}
        tables["training"] = {key: of_file["training"][key] for key in TRAINING}
        if self.given is not None:
            tables["topology"] = {"name": arguments.GRAPH, "devices": len(self.given)}
        if self.file.record.log:
            tables["record"] = {LOG: self.file.record.log}
        return tables


def read(given: Mapping[str, Any], devices: int) -> OwnSettings:
    """Check arguments as a run file would be.

    Args:
        given: The value of each of :data:`KEYS`.
        devices: N.

    Raises:
        Fault: With one sentence for every setting that is wrong.
    """
    values = {key: given[key] for key in ARGUMENTS if given[key] is not None}
    values |= {key: np.asarray(v) for key, v in values.items() if isinstance(v, list | tuple)}
    if isinstance(values["strategy"], np.ndarray) and given["topology"] is TOPOLOGY:
        del values["topology"]  # a matrix has its own links
    found = arguments.read(values)
    training = {key: given[key] for key in TRAINING if given[key] is not None}
    found.tables["training"] = training
    if given[LOG]:
        found.add(LOG, "record", {LOG: given[LOG]})
    file = found.file(None, devices, ())
    if file.topology.devices not in (None, devices):
        raise Fault(
            f"topology.devices = {file.topology.devices}: must be {devices}, the number of models "
            "on all ranks."
        )
    return OwnSettings(file, found.topology(file))


def _built(file: RunFile, devices: int, rounds: int | None) -> Topology:
    section = file.topology.model_copy(update={"devices": devices})
    topology = graphs.build(section, devices, file.training.rounds)
    if topology.sequence is None or rounds is not None:
        return topology
    if topology.sequence.period is None:
        raise Fault(
            f"topology = {shown(section.file or section.name)}: has new links in each round "
            "without end, so rounds must be given: the most calls of mix()."
        )
    return graphs.build(section, devices, topology.sequence.period)


def described(settings: OwnSettings, mixing: Mixing) -> dict[str, str]:
    """A text for each setting that must be the same on every rank."""
    tables = settings.tables()
    texts = {argument: repr(tables[section]) for argument, section in ARGUMENTS.items()}
    texts["topology"] += f", graph {graphs.digest(mixing.topology)[:12]}"
    return texts | {key: str(value) for key, value in tables["training"].items()}
