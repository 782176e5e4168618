"""``mpiexec -n N python -m mpidl.bench``: is this machine as fast as it should be?"""

import json
import os
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    from mpidl.ranks import standin

    standin.fork_from_one("mpidl.bench.__main__")

from mpidl.config import version
from mpidl.config.faults import Fault, Parser
from mpidl.exchange import kernels
from mpidl.ranks import accelerators, hdf5, host, mpi_library, world
from mpidl.ranks.world import Comm
from mpidl.run import provenance
from mpidl.run.hardware import describe

if TYPE_CHECKING:
    import torch

PARTS = ("start", "mix", "exchange", "round", "checkpoint")

KINDS = ("auto", "cpu", "cuda", "xpu")


def prepare(arguments: Sequence[str]) -> None:
    """Import what the ranks need; see :func:`mpidl.ranks.standin.fork_from_one`."""
    with suppress(Fault):
        if told(parser().parse_args(arguments)):
            return
        world.load()
        hdf5.load()
        from mpidl.bench import begin, exchange, kernel, loop, saving  # noqa: F401
        from mpidl.run import build  # noqa: F401


def parser() -> Parser:
    """The command line of ``python -m mpidl.bench``."""
    parser = Parser(
        prog="mpiexec -n N python -m mpidl.bench",
        description="Time the exchange, the kernel, a round, checkpoints and the start here.",
        add_help=False,
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} or all (the default)")
    add("--megabytes", type=float, nargs="+", default=[1.0, 20.0, 80.0], help="sizes of a vector")
    add("--repetitions", type=int, default=8, help="how often each way is timed")
    add("--dir", type=Path, default=Path(), help="where checkpoints are written; the disk matters")
    add("--accelerator", default="auto", help=f"{', '.join(KINDS)}: what holds the vectors")
    add("--json", action="store_true", help="for programs")
    add("-h", "--help", action="store_true", help="this text")
    add("--version", action="store_true", help="version and commit")
    return parser


def told(options: Namespace) -> str:
    """The text where nothing but a text is asked for, which needs no MPI; else empty."""
    if options.help:
        return parser().format_help()
    return f"{version.line()}\n" if options.version else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Collective. Run the command; the exit code is 0, or 2 for a user's fault."""
    try:
        options = parser().parse_args(arguments)
    except Fault as fault:
        world.refuse(fault)
    if text := told(options):
        if host.leads():
            print(text, end="")
        return 0
    with world.world() as comm:
        from mpidl.bench import begin, exchange, kernel, loop, saving

        ready = time.time()
        wanted = check(options)
        hardware, woke = wake(comm, options.accelerator)
        here = machine(comm.size, hardware)
        found: dict[str, object] = {"machine": here}
        lines = [" ".join(f"{key} {value};" for key, value in here.items())]
        if "start" in wanted:
            first = begin.measure(comm, ready, hardware=hardware, woke=woke)
            found["start"], lines = first, [*lines, *begin.told(first)]
        if "mix" in wanted:
            mixed = kernel.measure(comm, options.megabytes, options.repetitions, hardware)
            found["mix"], lines = mixed, [*lines, *kernel.told(mixed)]
        if "exchange" in wanted:
            ways = exchange.measure(comm, options.megabytes, options.repetitions, hardware)
            found["exchange"], lines = ways, [*lines, *exchange.told(ways)]
        if "round" in wanted:
            turn = loop.measure(comm, 10 * options.repetitions, hardware)
            found["round"], lines = turn, [*lines, *loop.told(turn)]
        if "checkpoint" in wanted:
            sizes, count = options.megabytes, options.repetitions
            saved = saving.measure(comm, sizes, count, options.dir, hardware)
            found["checkpoint"], lines = saved, [*lines, *saving.told(saved)]
        if comm.rank == 0:
            print(json.dumps(found, indent=2) if options.json else "\n".join(lines), flush=True)
        return 0
    return 1


def check(options: Namespace) -> set[str]:
    """What is to be timed.

    Raises:
        Fault: If there is no such part, a number is not one to time by, or the folder no folder.
    """
    parts, megabytes, repetitions = options.parts, options.megabytes, options.repetitions
    for part in parts:
        if part not in (*PARTS, "all"):
            raise Fault(f"No part {part!r} to time; there are {', '.join(PARTS)} and all.")
    for size in megabytes:
        if not 0 < size <= 1e6:
            raise Fault(f"--megabytes {size:g}: must be above 0 and at most 1,000,000.")
    if not 1 <= repetitions <= 10**6:
        raise Fault(f"--repetitions {repetitions}: must be from 1 to 1,000,000.")
    if options.accelerator not in KINDS:
        raise Fault(f"--accelerator {options.accelerator!r}: must be one of {', '.join(KINDS)}.")
    if not os.access(options.dir, os.W_OK | os.X_OK):
        raise Fault(f"--dir {options.dir}: must be a folder that can be written.")
    return set(PARTS) if not parts or "all" in parts else set(parts)


def wake(comm: Comm, wanted: str) -> tuple["torch.device", float]:
    """Collective. The hardware of this rank, and the seconds until it had taken a number.

    Raises:
        Fault: If the wanted kind is not there, or ranks find several.
    """
    import torch

    inner = world.node(comm)
    began = time.monotonic()
    with world.agreed(comm):
        hardware = accelerators.choose(inner, wanted)
    accelerators.common_kind(comm, hardware.type)
    torch.ones(1, device=hardware)
    accelerators.settle(hardware)
    inner.Free()
    return hardware, time.monotonic() - began


def machine(ranks: int, hardware: "torch.device") -> dict[str, object]:
    """Where and on what the times were taken."""
    import torch

    found: dict[str, object] = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "commit": version.commit()[:10] or "unknown",
        "ranks": ranks,
        "cores": host.cores(),
        "mpi": mpi_library.version(),
        "waiting": provenance.waiting(),
        "torch": str(torch.__version__),
        "kernel": kernels.used(hardware),
        "last cache": f"{kernels.CACHE >> 20} MB",
    }
    if hardware.type != "cpu":
        count = getattr(torch, hardware.type).device_count()
        found["accelerator"] = f"{describe(hardware)}, {count} for the node's ranks"
    return found


if __name__ == "__main__":
    standin.end_with(main)
