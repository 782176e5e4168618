"""Parsl: workers for runs of one shape, in this allocation or in jobs of their own."""

import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mpidl.config.faults import Fault
from mpidl.ensemble import allocation
from mpidl.ensemble.keeper import Later
from mpidl.ensemble.sites import Shape, Site
from mpidl.ensemble.worker import Outcome, Task, perform
from mpidl.ranks import host

APART = "import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])"
"""Python that starts a command where signals to the driver's group, such as Ctrl-C, do not come."""

HEARTBEAT, SILENCE = 10, 60
"""Seconds between signs of life of Parsl's managers, and without any until they are given up."""

PERIOD = 0.5
"""Seconds between Parsl's looks at the workers of this allocation, and until the first ones start.

A batch system is asked every five, Parsl's default: what it refuses three times is given up.
"""


@dataclass(frozen=True)
class Request:
    """What is asked of the batch system, where the driver is not inside an allocation.

    Attributes:
        nodes: Of each job, or of the allocation.
        jobs: At a time.
        walltime: Of each job, in seconds.
    """

    nodes: int
    jobs: int
    walltime: float


class Pool(Protocol):
    """Workers that take tasks."""

    def submit(self, task: Task) -> "Future[Outcome]":
        """Hand over a run."""


@contextmanager
def pool(site: Site, shape: Shape, request: Request, folder: Path, later: Later) -> Iterator[Pool]:
    """Workers for runs of one shape; they end with the context.

    Runs smaller than a node go through HighThroughputExecutor, one worker for each slot of each
    node. Runs of whole nodes go through MPIExecutor, which hands nodes out; all its tasks are of
    one size and no more are handed over than fit, which keeps clear of its backlog (Parsl 3800).

    Args:
        site: Where.
        shape: Of the runs.
        request: Nodes.
        folder: For what Parsl writes.
        later: Gives a command when this process has ended, however that came.
    """
    import parsl
    from parsl.config import Config
    from parsl.jobs.error_handlers import windowed_error_handler
    from parsl.launchers import SimpleLauncher

    from mpidl.ensemble import providers

    provider, inside = providers.make(site, request, later), allocation.inside(site)
    common: dict[str, Any] = {
        "label": "runs",
        "address": _address(site),
        "provider": provider,
        "heartbeat_period": HEARTBEAT,
        "heartbeat_threshold": SILENCE,
        "worker_logdir_root": str(folder),
        "encrypted": True,
        "block_error_handler": True if inside else windowed_error_handler,
    }
    executor: Any
    spread = shape.whole and site.scheduler != "none"
    if spread:
        from parsl.executors import MPIExecutor

        provider.launcher = SimpleLauncher()
        # Parsl counts the workers of a block on each of its nodes; here they are for all.
        provider.parallelism = request.nodes
        executor = MPIExecutor(
            **common,
            max_workers_per_block=request.nodes // shape.nodes,
            mpi_launcher="srun" if site.launcher == "srun" else "mpiexec",
        )
    else:
        from parsl.executors import HighThroughputExecutor

        executor = HighThroughputExecutor(**common, max_workers_per_node=shape.slots)
    # MPIExecutor does not take it as an argument.
    executor.interchange_launch_cmd = [sys.executable, "-c", APART, "interchange.py"]
    config = Config(
        executors=[executor],
        run_dir=str(folder),
        retries=0,
        strategy="none" if inside else "simple",
        strategy_period=PERIOD if inside else 5,
        usage_tracking=0,
        initialize_logging=False,
    )
    with parsl.DataFlowKernel(config) as kernel:
        app = parsl.python_app(perform, data_flow_kernel=kernel)
        yield _Workers(app, shape if spread else None)


class _Workers:
    def __init__(self, app: Any, spread: Shape | None) -> None:
        self._app, self._spread = app, spread

    def submit(self, task: Task) -> "Future[Outcome]":
        if self._spread is None:
            future: Future[Outcome] = self._app(task)
            return future
        # All three numbers, as Parsl makes "-ppn 2.0" of what it works out itself.
        wanted = {
            "num_nodes": self._spread.nodes,
            "num_ranks": self._spread.nodes * self._spread.per_node,
            "ranks_per_node": self._spread.per_node,
        }
        future = self._app(task, parsl_resource_specification=wanted)
        return future


def check(error: BaseException) -> None:
    """Look at what Parsl raised for a run.

    Raises:
        Fault: If no node can be had, so that no other run fares better.
    """
    from parsl.executors.errors import BadStateException

    if isinstance(error, BadStateException):
        raise Fault(f"Parsl gets no nodes: {' '.join(error.reason.split())}")


def _address(site: Site) -> str:
    if not site.interface:
        return "127.0.0.1"
    from parsl.addresses import address_by_interface

    try:
        return str(address_by_interface(site.interface))
    except OSError:
        raise Fault(
            f"interface = {site.interface!r}: {host.name()} has no network of that name; a site "
            "file names the one over which nodes reach the driver."
        ) from None
