"""Batch job: runs one run or an ensemble on its nodes, then submits the next job.

Some time before the nodes are taken away, and at each warning signal, the run or ensemble is asked
to stop after its round. If it then ends with exit code 75 ("start me again"), and if this job made
progress, the same job is submitted once more.
"""

import math
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import FrameType

from mpidl.ranks import launcher, stopping

if __name__ == "__main__":
    # A warning may come while the rest loads.
    stopping.listen(*stopping.WARNINGS)

from mpidl import plan
from mpidl.components import graphs
from mpidl.config.faults import Fault, Parser, command, tell
from mpidl.config.outcome import Outcome
from mpidl.ensemble import __main__, allocation, chain, launchers, nodes, shapes, sites, study
from mpidl.ensemble.chain import StopRequest
from mpidl.ensemble.folder import rounds
from mpidl.ensemble.nodes import NodeWatch
from mpidl.ensemble.sites import Site
from mpidl.storage import results_file

LOOK = 0.5
"""Seconds between two looks at the clock."""


@dataclass(frozen=True)
class Work:
    """Work of this job: a command, and its variables.

    Attributes:
        results: The file or the folder of the results.
        sheltered: Whether it is Open MPI's mpiexec, see :func:`mpidl.ranks.launcher.sheltered`.
        hosts: The nodes that are watched, see :func:`mpidl.ensemble.nodes.watched`.
    """

    command: list[str]
    environment: dict[str, str]
    results: Path
    sheltered: bool = False
    hosts: Sequence[str] = ()


def parser() -> Parser:
    """The command line of ``python -m mpidl.ensemble.job``."""
    parser = Parser(prog="python -m mpidl.ensemble.job", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--site", default="local", help="a site's name or file")
    add("--script", default="", help="what is submitted again")
    help = f"without them, those of ${chain.WORDS}"
    add("words", nargs="...", metavar="run|ensemble ...", help=help)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Start what the words ask for, wait for its end, submit the next job; return the exit code."""
    requests = listen()
    return command(lambda: _main(arguments, requests))


def _main(arguments: Sequence[str] | None, requests: Sequence[StopRequest]) -> int:
    options = parser().parse_args(arguments)
    site = sites.read(options.site)
    hosts, ends = allocation.hosts(site), allocation.ends(site)
    _print_machine(site, hosts, ends)
    stop = allocation.stop(ends)
    work = parse_work(options.site, site, hosts, chain.words_to_start(options.words), stop)
    if ends is not None:
        # A run stops in time even where no launcher passes on what this process asks.
        work.environment[chain.ENDS] = str(int(ends))
    before = rounds(work.results)
    code = start(work, stop, requests)
    print(f"mpidl: exit code {code}", flush=True)
    if code != Outcome.STOPPED.code or not allocation.number(site):
        return code
    try:
        chain.check_wanted(requests, stop)
        if rounds(work.results) <= before:
            raise Fault(f"No job follows: this job made no progress with {work.results}.")
        chain.again(site, options.script, work.results)
    except Fault as fault:
        tell(fault)
        return code
    return 0


def parse_work(
    name: str, site: Site, hosts: Sequence[str], words: Sequence[str], ends: float | None
) -> Work:
    """The work that words ask for, on the nodes of this job.

    Raises:
        Fault: If they name nothing that can be started.
    """
    if words[:1] == ["run"]:
        return _run(site, hosts, words[1:])
    if words[:1] == ["ensemble"]:
        return _ensemble(name, site, words[1:], ends)
    raise Fault(
        "Nothing to start: say 'run [-n RANKS] FILE.toml ...' or 'ensemble STUDY.toml ...', behind "
        f"the script's name or in {chain.WORDS}."
    )


def _run(site: Site, hosts: Sequence[str], words: Sequence[str]) -> Work:
    """A run, on as many ranks as it has devices or its nodes have room for."""
    known = Parser(prog="run", add_help=False)
    known.add_argument("-n", type=int)
    ranks_asked, rest = known.parse_known_args(words)
    known.add_argument("file", nargs="?", type=Path)
    known.add_argument("--set", action="append", default=[])
    known.add_use()
    known.add_argument("--out", type=Path, default=Path("results"))
    own, _ = known.parse_known_args(rest)
    room = len(hosts) * len(shapes.places(site)) * site.node.ranks_per_place
    file = plan.read(own.file, own.set, ranks_asked.n or room, own.use)
    topology = graphs.build(file.topology, ranks_asked.n or room, file.training.rounds)
    ranks = ranks_asked.n or study.ranks_of(file, topology, room)
    shape = shapes.shape(site, ranks)
    if shape.nodes > len(hosts):
        raise Fault(f"{ranks} ranks take {shape.nodes} nodes; this job has {len(hosts)}.")
    plan.make(file, ranks, topology)
    if shape.nodes < len(hosts):
        print(f"mpidl: {ranks} ranks take {shape.nodes} of {len(hosts)} nodes", flush=True)
    if not {"--resume", "--overwrite"}.intersection(rest):
        # The next job goes on where this one stops.
        rest.append("--resume")
    # The run has its nodes for itself.
    shape = replace(shape, slots=1)
    starts = launchers.command(site, shape, hosts[: shape.nodes])
    return Work(
        [*starts, sys.executable, "-m", "mpidl.run", *rest],
        launchers.environment(site, shape, 0, os.environ),
        own.out / f"{file.name}.h5",
        site.launcher == "openmpi",
        nodes.watched(site, hosts[: shape.nodes]),
    )


def _ensemble(name: str, site: Site, words: Sequence[str], ends: float | None) -> Work:
    """An ensemble, with the time that this job has left."""
    options = __main__.parser().parse_args(words)
    command = [sys.executable, "-m", "mpidl.ensemble", *words, "--site", name]
    if ends is not None:
        command += ["--walltime", allocation.clock(allocation.left(ends))]
    return Work(command, os.environ | site.environment, options.out / study.name_of(options.study))


def listen() -> list[StopRequest]:
    """Collect warning signals, also those that came while this module loaded."""
    requests: list[StopRequest] = []

    def take(number: int, frame: FrameType | None) -> None:
        requests.append(chain.request(number))

    for number in stopping.heeded(*stopping.WARNINGS):
        signal.signal(number, take)
    requests[:0] = map(chain.request, stopping.asked)
    return requests


def start(work: Work, stop: float | None, requests: Sequence[StopRequest]) -> int:
    """Start the work, ask it to stop where there is a reason to, and return its exit code."""
    print(f"$ {shlex.join(work.command)}", flush=True)
    with launcher.sheltered(work.sheltered):
        child = subprocess.Popen(work.command, env=work.environment)
    with NodeWatch(work.hosts) as watch:
        asked = _wait(child, lambda: _reason(stop, requests, watch), watch)
    code = child.returncode
    if asked and launchers.stopped(code, _over(work.results)):
        return Outcome.STOPPED.code
    return code if code >= 0 else 128 - code


def _wait(child: subprocess.Popen[bytes], reason: Callable[[], str], watch: NodeWatch) -> bool:
    """Wait for the work's end; return whether it was asked to stop on the way."""
    asked = -math.inf
    while True:
        with suppress(subprocess.TimeoutExpired):
            child.wait(LOOK)
            return asked > 0
        if why := reason():
            if asked < 0:
                print(f"mpidl: {why}; asked to stop after this round", flush=True)
            asked = launchers.ask(child, asked)
        watch.end_overdue(child)


def _over(results: Path) -> bool:
    """Whether a run is completed; an ensemble, which has a folder, says so by its exit code."""
    return results.is_dir() or results_file.completed(results)


def _reason(stop: float | None, requests: Sequence[StopRequest], watch: NodeWatch) -> str:
    """Why the work is asked to stop; empty as long as it is not."""
    if requests:
        return signal.Signals(requests[0].signal).name
    if allocation.left(stop) < 0:
        return "the time is over"
    return watch.reason


def _print_machine(site: Site, hosts: Sequence[str], ends: float | None) -> None:
    """Print the job, nodes, versions and variables that a reader of the log wants to know."""
    versions, starter = [], "srun" if site.launcher == "srun" else "mpiexec"
    for name in ("mpidl", "torch", "mpi4py", "h5py", "numpy"):
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    until = ", time left unknown: work is not asked to stop in time"
    if ends is not None:
        until = f", {allocation.clock(allocation.left(ends))} left"
    facts = {
        "job": f"{allocation.number(site) or 'none'}, {len(hosts)} nodes{until}: {' '.join(hosts)}",
        "modules": os.environ.get("LOADEDMODULES", "none").replace(":", " "),
        "python": f"{platform.python_version()} {sys.executable}",
        "packages": ", ".join(versions),
        "launcher": f"{site.launcher}: {shutil.which(starter)}",
        "variables": shlex.join(f"{key}={value}" for key, value in site.environment.items()),
    }
    for key, value in facts.items():
        print(f"mpidl: {key:9}  {value}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
