"""Providers of nodes for Parsl: this allocation, or jobs of the batch system.

A job counts as live until the batch system says that it has ended: a job that waits, is held or is
suspended is live, and so is one that was asked to end and still runs.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parsl.jobs.states import JobState, JobStatus
from parsl.launchers import MpiExecLauncher, SimpleLauncher, SrunLauncher
from parsl.providers import LocalProvider, PBSProProvider, SlurmProvider

from mpidl.config.faults import Fault
from mpidl.ensemble import allocation
from mpidl.ensemble.allocation import NodeRequest
from mpidl.ensemble.keeper import Later
from mpidl.ensemble.shapes import places
from mpidl.ensemble.sites import Site

LOGIN = "#!/bin/bash -l"
"""First line of a job's script: only a login shell has the command ``module``."""

WAITS, GOES_ON = JobState.PENDING, JobState.RUNNING
STATES = dict.fromkeys("BRESU", GOES_ON) | dict.fromkeys("FXC", JobState.COMPLETED)
"""Parsl's state for each of PBS's states; a job in another state counts as waiting."""

UNIQUE = "awk '!seen[$0]++' \"$PBS_NODEFILE\""
"""Shell command that lists each node of a job once."""


class Pbs(PBSProProvider):
    """Jobs of PBS, each queried alone, as ``qstat -F json`` lists only the first of several.

    Args:
        later: Takes a command that runs when this process has ended.
        arguments: Arguments of Parsl's provider.
    """

    def __init__(self, later: Later, **arguments: Any) -> None:
        super().__init__(**arguments)  # type: ignore[no-untyped-call]
        self.template_string = f"{LOGIN}\n{self.template_string.partition(chr(10))[2]}"
        self._later, self._jobs = later, self.max_blocks
        self._live = set[str]()

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl") -> str:
        """Ask for a job."""
        job: str = super().submit(command, tasks_per_node, job_name)  # type: ignore[no-untyped-call]
        self._live.add(job)
        self._later("qdel", job)
        return job

    def _status(self) -> None:
        for job in sorted(self._live):
            known = self.resources[job]
            try:
                state = STATES.get(allocation.described(job)["job_state"], WAITS)
            except Fault as fault:
                if not allocation.gone(fault):
                    continue
                state = JobState.COMPLETED
            if state == JobState.COMPLETED:
                self._live.discard(job)
            if not known["status"].terminal:
                paths = (known["job_stdout_path"], known["job_stderr_path"])
                known["status"] = JobStatus(state, None, None, *paths)
        self._leave_room()

    def cancel(self, job_ids: Sequence[object]) -> list[bool]:
        """Take jobs out of the queue, or end them."""
        done = []
        for job in map(str, job_ids):
            try:
                allocation.ask("qdel", job)
                done.append(True)
            except Fault as fault:
                done.append(allocation.gone(fault))
            if done[-1]:
                self.resources[job]["status"] = JobStatus(JobState.COMPLETED)
        self._leave_room()
        return done

    def _leave_room(self) -> None:
        """Limit Parsl's jobs by those that still run but that Parsl takes as ended."""
        left = sum(self.resources[job]["status"].terminal for job in self._live)
        self.max_blocks = self._jobs - left


class Slurm(SlurmProvider):
    """Jobs of Slurm; a job that is suspended, or in a state unknown to Parsl, is live."""

    def __init__(self, later: Later, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._later = later

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl") -> str:
        """Ask for a job."""
        job: str = super().submit(command, tasks_per_node, job_name)
        self._later("scancel", job)
        return job

    def _status(self) -> None:
        super()._status()  # type: ignore[no-untyped-call]
        for known in self.resources.values():
            if known["status"].state in (JobState.HELD, JobState.UNKNOWN):
                known["status"].state = WAITS


def make(site: Site, request: NodeRequest, later: Later) -> Any:
    """The provider of a site's nodes.

    Args:
        site: The site.
        request: The nodes.
        later: Takes a command that runs when this process has ended, however it ended.
    """
    launcher: Any = SimpleLauncher()
    if request.nodes > 1 and site.scheduler == "slurm":
        launcher = SrunLauncher(overrides="--ntasks-per-node=1 --overlap")
    elif request.nodes > 1:
        binding = "--cpu-bind" if site.launcher == "pals" else "-bind-to"
        launcher = MpiExecLauncher(bind_cmd=binding, overrides="-ppn 1")
    programs = str(Path(sys.executable).parent)
    ready = f"export PATH={shlex.quote(programs)}:$PATH"
    exports = [f"export {key}={shlex.quote(value)}" for key, value in site.environment.items()]
    unique = [_listing(request.hosts)] if site.scheduler == "pbs" else []
    if allocation.inside(site):
        on_path = programs in os.environ.get("PATH", "").split(os.pathsep)
        return LocalProvider(  # type: ignore[no-untyped-call]
            init_blocks=1,
            min_blocks=1,
            max_blocks=1,
            nodes_per_block=request.nodes,
            launcher=launcher,
            worker_init="\n".join([*exports, *unique, *([] if on_path else [ready])]),
        )
    ends = f"export MPIDL_ENDS=$(( $(date +%s) + {int(request.walltime)} ))"
    there = f"cd {shlex.quote(str(Path.cwd()))}"
    setup = [_or_end(line) for line in (*site.setup, there)]
    arguments: dict[str, Any] = {
        "init_blocks": 0,
        "min_blocks": 0,
        "max_blocks": request.jobs,
        "nodes_per_block": request.nodes,
        "launcher": launcher,
        "walltime": allocation.clock(request.walltime),
        "worker_init": "\n".join([ends, *setup, *exports, ready, *unique]),
    }
    submission = site.submission
    if site.scheduler == "slurm":
        return Slurm(
            later,
            **arguments,
            partition=submission.queue or None,
            account=submission.account or None,
            scheduler_options="\n".join(submission.options),
            exclusive=True,
        )
    filesystems = (
        [f"#PBS -l filesystems={submission.filesystems}"] if submission.filesystems else []
    )
    return Pbs(
        later,
        **arguments,
        account=submission.account or None,
        queue=submission.queue or None,
        cpus_per_node=site.node.asked or len(places(site)),
        select_options=submission.select,
        scheduler_options="\n".join([*filesystems, *submission.options]),
    )


def _listing(hosts: Sequence[str]) -> str:
    """Shell code that lists the nodes to use, each once: MPIExecutor hands out a file's lines."""
    names = f"printf '%s\\n' {shlex.join(hosts)}" if hosts else UNIQUE
    return f'nodes=$(mktemp) && {names} >"$nodes" && export PBS_NODEFILE=$nodes\n'


def _or_end(line: str) -> str:
    """A line of shell that ends the job where it fails."""
    message = shlex.quote(f"mpidl: the job ends, as this fails: {line}")
    return f"{{ {line}\n}} || {{ echo {message} >&2; exit 2; }}"
