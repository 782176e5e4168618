"""Nodes of this job, watched while ranks run on them.

OpenPBS lets a job go on whose first node lives, though another one is dead, and mpiexec may wait
for that one for ever, even when the ranks of the others have given up.
"""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TextIO

from mpidl.config.faults import Fault
from mpidl.ensemble import allocation, launchers
from mpidl.ensemble.sites import Site

LOOK = 30.0
"""Seconds between two looks at the nodes."""

UNSURE = "state-unknown"
"""State of all nodes, beside ``down``, while a server starts that has not heard of them yet."""

VNODE = re.compile(r"[(+]([^(:+)]+)")
"""The name of a vnode in what PBS calls ``exec_vnode``: ``(x1:ncpus=8+x1[1]:ncpus=8)+(x2)``."""


def watched(site: Site, hosts: Sequence[str]) -> Sequence[str]:
    """Those of some nodes of this job that may die without a word: all, or none.

    Under PBS nodes may unless the only one is that of this process; Slurm ends the job.
    """
    in_pbs = site.scheduler == "pbs" and allocation.number(site)
    return hosts if in_pbs and not launchers.here(hosts) else ()


def down(hosts: Sequence[str]) -> set[str]:
    """Those of some nodes of this job that PBS says are down; none where it does not answer.

    Args:
        hosts: The names of the nodes, as PBS lists them for the job. Its vnodes may have others.
    """
    if not hosts:
        return set()
    try:
        job = allocation.described(os.environ[allocation.JOBS["pbs"]])
        vnodes = VNODE.findall(job["exec_vnode"])
        told = json.loads(allocation.ask("pbsnodes", "-v", "-F", "json", *vnodes))["nodes"]
        names = [name for vnode in told.values() if _is_down(vnode) for name in _hosts(vnode)]
    except (Fault, ValueError, KeyError, TypeError, AttributeError):
        return set()
    return {host for host in hosts if any(_same(host, name) for name in names)}


def _is_down(vnode: Mapping[str, Any]) -> bool:
    states = str(vnode["state"]).split(",")
    return "down" in states and UNSURE not in states


def _hosts(vnode: Mapping[str, Any]) -> list[str]:
    """The names that PBS has for the host of a vnode."""
    return [*str(vnode["Mom"]).split(","), str(vnode["resources_available"]["host"])]


def _same(one: str, other: str) -> bool:
    """Whether two names are those of one host; either may lack its domain."""
    (short, _, domain), (shorter, _, other_domain) = (
        name.lower().partition(".") for name in (one, other)
    )
    return short == shorter and (domain == other_domain or not (domain and other_domain))


def lost(hosts: Sequence[str]) -> set[str]:
    """Those of some nodes that are down at two looks in a row."""
    first = down(hosts)
    if not first:
        return set()
    time.sleep(LOOK)
    return first & down(hosts)


def told(names: Collection[str]) -> str:
    """The sentence about nodes that are down."""
    return f"PBS says that {listed(names)} {'is' if len(names) == 1 else 'are'} down"


def listed(names: Iterable[str]) -> str:
    """Names of nodes as a text."""
    return ", ".join(sorted(names))


class NodeWatch:
    """Watches the nodes of a run, within a ``with`` statement.

    Args:
        hosts: The names of the nodes, as PBS lists them for the job; without any it does nothing.

    Attributes:
        lost: The nodes that were down at two looks in a row.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts
        self.lost, self._since = set[str](), 0.0
        self._over = threading.Event()

    def __enter__(self) -> Self:
        if self._hosts:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._over.set()

    @property
    def reason(self) -> str:
        """Why the run is to stop; empty as long as it is not."""
        return told(self.lost) if self.lost else ""

    def end_overdue(self, run: subprocess.Popen[bytes], log: TextIO | None = None) -> None:
        """Kill a run whose nodes have been lost for longer than work may take to stop.

        Args:
            run: The launcher's process.
            log: Where it is told; None for standard output.
        """
        patience = allocation.reserve(float("inf"))
        if self.lost and time.monotonic() - self._since > patience:
            names = listed(self.lost)
            print(
                f"mpidl: {names} still down, and the run goes on; it is killed",
                file=log,
                flush=True,
            )
            run.kill()

    def _watch(self) -> None:
        before = set[str]()
        while not self.lost and not self._over.wait(LOOK):
            now = down(self._hosts)
            self._since, self.lost = time.monotonic(), before & now
            before = now
