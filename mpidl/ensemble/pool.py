"""Pools of Parsl workers for runs of one shape, in this allocation or in jobs of their own."""

import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from mpidl.config.faults import Fault
from mpidl.ensemble import allocation
from mpidl.ensemble.allocation import NodeRequest
from mpidl.ensemble.keeper import Later
from mpidl.ensemble.shapes import Shape
from mpidl.ensemble.sites import Site
from mpidl.ensemble.worker import Outcome, Task, perform
from mpidl.ranks import host

APART = "import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])"
"""Python code that starts a command in its own session, so that Ctrl-C does not reach it."""

HEARTBEAT, SILENCE = 10, 60
"""Seconds between heartbeats of Parsl's managers, and seconds of silence until one is given up."""

PERIOD = 0.5
"""Seconds between Parsl's looks at the workers of this allocation, and until the first ones start.

A batch system is asked every five seconds, Parsl's default; after three refusals Parsl gives up.
"""


class Pool(Protocol):
    """Workers that take tasks."""

    def submit(self, task: Task) -> "Future[Outcome]":
        """Hand over a run to a worker."""


@contextmanager
def pool(
    site: Site, shape: Shape, request: NodeRequest, folder: Path, later: Later
) -> Iterator[Pool]:
    """Workers for runs of one shape; they end with the context.

    Runs smaller than a node go through HighThroughputExecutor, one worker for each slot of each
    node. Runs of whole nodes go through MPIExecutor, which hands out nodes; its tasks all have one
    size, and no more are submitted than fit, so that its backlog stays empty (Parsl issue 3800).

    Args:
        site: The site.
        shape: The shape of the runs.
        request: The nodes.
        folder: The folder for files of Parsl.
        later: Takes a command that runs when this process has ended, however it ended.
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
    spread = shape.exclusive and site.scheduler != "none"
    if spread:
        from parsl.executors import MPIExecutor

        provider.launcher = SimpleLauncher()
        # Parsl counts the workers of a block on each of its nodes; here they serve all nodes.
        provider.parallelism = request.nodes
        executor = MPIExecutor(
            **common,
            max_workers_per_block=request.nodes // shape.nodes,
            mpi_launcher="srun" if site.launcher == "srun" else "mpiexec",
        )
    else:
        from parsl.executors import HighThroughputExecutor

        executor = HighThroughputExecutor(**common, max_workers_per_node=shape.slots)
    # MPIExecutor does not take the command as an argument.
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
        # All three numbers are given, as Parsl writes "-ppn 2.0" where it computes one itself.
        wanted = {
            "num_nodes": self._spread.nodes,
            "num_ranks": self._spread.nodes * self._spread.per_node,
            "ranks_per_node": self._spread.per_node,
        }
        future = self._app(task, parsl_resource_specification=wanted)
        return future


def check(error: BaseException) -> None:
    """Check an error that Parsl raised for a run.

    Raises:
        Fault: If Parsl gets no nodes, so that no other run can start either.
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
            f"interface = {site.interface!r}: {host.name()} has no network interface of that name; "
            "a site file must name the one over which nodes reach the driver."
        ) from None
