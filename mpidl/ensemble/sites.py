"""Sites: machines with their nodes, cut into places, their batch system, and its queues."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mpidl.config import shipped, toml
from mpidl.config.faults import Fault, nearest, shown
from mpidl.config.runfile import Count, Rate, Section
from mpidl.ranks import host

SITES = Path("launch") / "sites"
"""Folder of site files, inside what comes with mpidl and inside the current folder."""

CPUS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


def _cpus(text: str) -> str:
    ends = [part.partition("-") for part in text.split(",")] if CPUS.fullmatch(text) else []
    if not ends or any(high and int(high) < int(low) for low, _, high in ends):
        raise ValueError("no CPU list")
    return text


def _rising(nodes: list[int]) -> list[int]:
    if nodes[0] > nodes[1]:
        raise ValueError("must be the fewest and the most nodes")
    return nodes


Cpus = Annotated[list[Annotated[str, AfterValidator(_cpus)]], Field(min_length=1)]


class Node(Section):
    """A node, cut into places: some cores each, and an accelerator where the site names them.

    ``cpus`` lists the cores of each place (``"0-7,32-39"``); a number means that many places of one
    core; ``"auto"`` means a place for each core that this process may use. ``accelerators`` names
    the accelerator of each place; ``mask`` is the variable that limits a process to some of them.
    ``runs`` is the most runs on a node at a time. ``asked`` is the number of CPUs that a PBS job
    asks for on each node.
    """

    cpus: Cpus | Count | Literal["auto"] = Field(
        default="auto", description="must be a list of CPU lists such as '0-7', a number, or 'auto'"
    )
    accelerators: list[str] = Field(default_factory=list)
    mask: str = ""
    ranks_per_place: Count = 1
    runs: Count | None = None
    gigabytes: Rate | None = None
    asked: Count | None = None


class Queue(Section):
    """Limits of a queue: the fewest and the most nodes, hours, and jobs of one user.

    ``through`` is the routing queue to submit to, where this one takes no job directly.
    """

    nodes: Annotated[list[Count], Field(min_length=2, max_length=2), AfterValidator(_rising)]
    hours: Rate
    jobs: Count | None = None
    through: str = ""
    note: str = ""


class Submission(Section):
    """Options of a batch job, beside nodes and walltime."""

    account: str = ""
    queue: str = ""
    filesystems: str = ""
    select: str = ""
    options: list[str] = Field(default_factory=list)


class Figure(Section):
    """Seconds that a place takes for a sample of a data set with a model.

    ``train`` is to train on one sample once, ``evaluate`` to evaluate one sample.
    """

    data: str
    model: str
    train: Rate
    evaluate: Rate
    source: str


class Start(Section):
    """Seconds from mpiexec to the first round, and from the last one to the end."""

    fixed: Rate = 5.0
    per_rank: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.1


class Site(Section):
    """A machine.

    Attributes:
        launcher: The kind of mpiexec: Hydra of MPICH and Intel, PALS of HPE, Open MPI; or srun.
        scheduler: The batch system that hands out nodes.
        interface: The network over which nodes reach the driver; empty means only this host.
        setup: Shell lines that prepare a node of a job that the driver submitted.
        options: More options of mpiexec.
        environment: Variables of every run.
    """

    launcher: Literal["hydra", "pals", "openmpi", "srun"] = "hydra"
    scheduler: Literal["none", "pbs", "slurm"] = "none"
    interface: str = ""
    setup: list[str] = Field(default_factory=list)
    options: list[str] = Field(default_factory=list)
    environment: dict[str, str] = Field(default_factory=dict)
    node: Node = Field(default_factory=lambda: Node(cpus="auto"))
    start: Start = Field(default_factory=Start)
    submission: Submission = Field(default_factory=Submission)
    queues: dict[str, Queue] = Field(default_factory=dict)
    figures: list[Figure] = Field(default_factory=list)


PARTS: dict[str, type[Section]] = {"node": Node, "start": Start, "submission": Submission}
"""The sections of a site file that are single tables."""


def read(name: str) -> Site:
    """The site with a name, or of a file.

    Raises:
        Fault: If there is none, or with one sentence for every setting that is wrong.
    """
    path = Path(name)
    if path.suffix != ".toml":
        folders = (shipped.folder() / SITES, SITES)
        known = {file.stem: file for folder in folders for file in folder.glob("*.toml")}
        if name not in known:
            raise Fault(
                f"Unknown site {name!r}; {nearest(name, known)} The path of a site file works too."
            )
        path = known[name]
    site = _checked(path, toml.read(path, "site file"))
    count = len(place_cpus(site))
    if site.node.accelerators and len(site.node.accelerators) != count:
        raise Fault(
            f"node.accelerators = {shown(site.node.accelerators)}: must name one for each of the "
            f"{count} places in node.cpus."
        )
    return site


def _checked(path: Path, tables: toml.Tables) -> Site:
    """A site from its file's tables, with each section checked alone so that a fault names it."""
    parts: list[tuple[str, type[Section], Any]] = [
        *((key, section, tables.get(key, {})) for key, section in PARTS.items()),
        *((f"queues.{key}", Queue, queue) for key, queue in _items(tables.get("queues"))),
        *((f"figures[{key}]", Figure, figure) for key, figure in _items(tables.get("figures"))),
    ]
    sentences: list[str] = []
    for part in parts:
        try:
            toml.check(*part, None)
        except Fault as fault:
            sentences += fault.sentences
    try:
        if not sentences:
            site: Site = toml.check("site", Site, tables, None)
            return site
    except Fault as fault:
        sentences += fault.sentences
    raise Fault(*(f"{path}: {sentence}" for sentence in sentences))


def _items(tables: Any) -> list[tuple[Any, Any]]:
    if isinstance(tables, dict):
        return list(tables.items())
    return list(enumerate(tables)) if isinstance(tables, list) else []


def place_cpus(site: Site) -> list[str]:
    """The cores of each place of a node, in order."""
    cpus = site.node.cpus
    if isinstance(cpus, list):
        return cpus
    return [str(core) for core in (host.affinity() if cpus == "auto" else range(cpus))]
