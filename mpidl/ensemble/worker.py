"""Worker's part of a run, called by Parsl: start it on its slot, watch it, return its outcome."""

import ctypes
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from mpidl.ensemble import launchers, nodes
from mpidl.ensemble.folder import Claim, Folder
from mpidl.ensemble.nodes import NodeWatch
from mpidl.ensemble.shapes import Shape
from mpidl.ensemble.sites import Site
from mpidl.ranks import host, launcher
from mpidl.ranks.walltime import MOMENTS

PERIOD = 1.0
"""Seconds between two looks at a run."""

BEAT = 10
"""Looks after which a claim is renewed."""

NOT_FOUND = 127
"""Exit code of a run whose launcher cannot be started, as shells have it."""

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Task:
    """A run, as a worker gets it.

    Attributes:
        name: The name of the run.
        folder: The folder of the study.
        driver: The mark of the driver that asks for it.
        estimate: Seconds of time left that it needs to start.
        ends: The moment when the nodes are taken away, in seconds since 1970, if the driver knows.
        reserve: Seconds before that in which no run goes on.
    """

    name: str
    folder: str
    driver: str
    site: Site
    shape: Shape
    estimate: float
    ends: float | None
    reserve: float


@dataclass(frozen=True)
class Outcome:
    """Outcome of an attempt at a run.

    Attributes:
        code: Exit code of mpiexec, negative for a signal; None if it was not started.
        started: The moment of its start, in seconds since 1970.
        seconds: Seconds that it took.
        asked: Whether it was asked to stop.
        left: Seconds until its nodes are taken away.
        lost: Those of its nodes that are down.
    """

    code: int | None
    started: float
    seconds: float
    host: str
    slot: int
    asked: bool = False
    left: float = math.inf
    lost: Collection[str] = ()


def perform(task: Task, parsl_resource_specification: Mapping[str, Any] | None = None) -> Outcome:
    """Start a run and wait for its end; its output goes to the study's logs.

    Args:
        task: The run.
        parsl_resource_specification: Nodes and ranks; read by Parsl, which chooses the nodes.
    """
    folder, slot = Folder(Path(task.folder)), int(os.environ.get("PARSL_WORKER_RANK", "0"))
    number = 0 if task.shape.exclusive else slot
    now = time.time()
    ends = now + remaining(task.ends, os.environ)
    until = ends - task.reserve
    if now >= until or task.estimate > until - now or folder.asked_to_stop(task.driver):
        return Outcome(None, now, 0.0, host.name(), slot, left=ends - now)
    hosts = os.environ.get("PARSL_MPI_NODELIST", this_node(task.site)).split(",")
    watched = nodes.watched(task.site, hosts)
    if lost := nodes.lost(watched):
        return Outcome(None, now, 0.0, host.name(), slot, left=ends - now, lost=lost)
    words = [
        *launchers.command(task.site, task.shape, hosts, number),
        *(sys.executable, "-m", "mpidl.run", str(folder.files / f"{task.name}.toml")),
        *("--out", str(folder.path), "--resume"),
    ]
    claim = Claim(slot=slot, driver=task.driver, started=now)
    with (
        folder.claim(task.name, claim) as renew,
        open(folder.logs / f"{task.name}.txt", "a", encoding="utf-8") as log,
    ):
        print(f"$ {shlex.join(words)}", file=log, flush=True)
        try:
            with launcher.sheltered(task.site.launcher == "openmpi"):
                run = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=launchers.environment(task.site, task.shape, number, os.environ),
                    preexec_fn=_die_with_parent if sys.platform == "linux" else None,
                )
        except OSError as error:
            print(f"{words[0]} cannot be started: {error.strerror}", file=log)
            return Outcome(NOT_FOUND, now, time.time() - now, host.name(), slot)
        try:
            # The end of nodes in a submitted job is known to its workers only.
            until = until if task.ends is None else math.inf
            with NodeWatch(watched) as watch:
                asked = _watch(run, renew, folder, task, until, watch, log)
        finally:
            run.kill()
            run.wait()
    over = time.time()
    seconds, left = over - now, ends - over
    # A launcher may notice that a node died before two looks did.
    lost = watch.lost or (nodes.down(watched) if run.returncode else set())
    return Outcome(run.returncode, now, seconds, host.name(), slot, asked, left, lost)


def this_node(site: Site) -> str:
    """The name of this process's node, as the site's launcher knows it."""
    if site.scheduler == "none":
        return "localhost"
    own = os.environ.get("SLURMD_NODENAME") if site.launcher == "srun" else None
    return own or host.name()


def remaining(ends: float | None, environment: Mapping[str, str]) -> float:
    """Seconds until the nodes of this process are taken away."""
    moments = [float(environment[n]) for n in MOMENTS if environment.get(n, "").isdigit()]
    return (
        min([*moments, *([ends] if ends is not None else [])], default=float("inf")) - time.time()
    )


def _watch(
    run: subprocess.Popen[bytes],
    renew: Callable[[], None],
    folder: Folder,
    task: Task,
    until: float,
    watch: NodeWatch,
    log: TextIO,
) -> bool:
    """Wait for a run's end and renew its claim; return whether it was asked to stop on the way."""
    looks, asked = 0, -math.inf
    while True:
        with suppress(subprocess.TimeoutExpired):
            run.wait(PERIOD)
            return asked > 0
        looks += 1
        if looks % BEAT == 0:
            with suppress(OSError):
                renew()
        if watch.lost and asked < 0:
            print(f"mpidl: {watch.reason}; asked to stop after this round", file=log, flush=True)
        if asked > 0 or watch.lost or time.time() > until or folder.asked_to_stop(task.driver):
            asked = launchers.ask(run, asked)
        watch.end_overdue(run, log)


def _die_with_parent() -> None:
    """Let the kernel end mpiexec, and so its ranks, when this worker ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
