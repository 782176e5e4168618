"""Command ``mpiexec -n N python -m mpidl.bench``: is this machine as fast as it should be?"""

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

from mpidl.config import runfile, version
from mpidl.config.faults import Fault, Parser
from mpidl.exchange import kernels
from mpidl.ranks import accelerators, hdf5, host, mpi_library, world
from mpidl.ranks.world import Comm
from mpidl.run import own_code, provenance
from mpidl.run.hardware import describe

if TYPE_CHECKING:
    import torch

PARTS = ("start", "mix", "exchange", "round", "checkpoint")

KINDS = ("auto", "cpu", "cuda", "xpu")


def prepare(arguments: Sequence[str]) -> None:
    """Import what the ranks need; see :func:`mpidl.ranks.standin.fork_from_one`."""
    with suppress(Fault):
        options = parser().parse_args(arguments)
        if parser().text(options):
            return
        mpi_library.load()
        hdf5.load()
        from mpidl.bench import begin, exchange, kernel, loop, saving  # noqa: F401
        from mpidl.run import build  # noqa: F401

        with own_code.forkable():
            runfile.begin(options.use)


def parser() -> Parser:
    """The command line of ``python -m mpidl.bench``."""
    parser = Parser(
        prog="mpiexec -n N python -m mpidl.bench",
        description="Time exchange, kernel, round, checkpoints and start on this machine.",
        epilog="Exit codes: 0 done, 2 wrong input, 130 Ctrl-C.",
        add_help=False,
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} or all (the default)")
    text = "sizes of a vector, in megabytes (1 20 80)"
    add("--megabytes", type=float, nargs="+", default=[1.0, 20.0, 80.0], metavar="SIZE", help=text)
    text = "how often each way is timed (8)"
    add("--repetitions", type=int, default=8, metavar="N", help=text)
    text = "folder of the checkpoints; its disk is timed"
    add("--dir", type=Path, default=Path(), metavar="DIR", help=text)
    add(
        "--accelerator",
        default="auto",
        metavar="KIND",
        help=f"{', '.join(KINDS)}: the hardware that holds the vectors",
    )
    parser.add_use()
    add("--json", action="store_true", help="print JSON")
    parser.add_texts()
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Collective. Run the command and return its exit code: 0, or 2 for a user's fault."""
    try:
        options = parser().parse_args(arguments)
    except Fault as fault:
        world.refuse(fault)
    if text := parser().text(options):
        if host.leads():
            print(text, end="")
        return 0
    with world.world() as comm:
        from mpidl.bench import begin, exchange, kernel, loop, saving

        ready = time.time()
        with world.agreed(comm):
            runfile.begin(options.use)
        parts = check(options)
        hardware, woke = wake(comm, options.accelerator)
        here = machine(comm.size, hardware)
        results: dict[str, object] = {"machine": here}
        lines = [" ".join(f"{key} {value};" for key, value in here.items())]
        if "start" in parts:
            first = begin.measure(comm, ready, hardware=hardware, woke=woke)
            results["start"], lines = first, [*lines, *begin.lines(first)]
        if "mix" in parts:
            mixed = kernel.measure(comm, options.megabytes, options.repetitions, hardware)
            results["mix"], lines = mixed, [*lines, *kernel.lines(mixed)]
        if "exchange" in parts:
            ways = exchange.measure(comm, options.megabytes, options.repetitions, hardware)
            results["exchange"], lines = ways, [*lines, *exchange.lines(ways)]
        if "round" in parts:
            turn = loop.measure(comm, 10 * options.repetitions, hardware)
            results["round"], lines = turn, [*lines, *loop.lines(turn)]
        if "checkpoint" in parts:
            sizes, count = options.megabytes, options.repetitions
            saved = saving.measure(comm, sizes, count, options.dir, hardware)
            results["checkpoint"], lines = saved, [*lines, *saving.lines(saved)]
        if comm.rank == 0:
            print(json.dumps(results, indent=2) if options.json else "\n".join(lines), flush=True)
        return 0
    return 1


def check(options: Namespace) -> set[str]:
    """The parts to time.

    Raises:
        Fault: If a part is unknown, a number is out of range, or the folder cannot be written.
    """
    parts, megabytes, repetitions = options.parts, options.megabytes, options.repetitions
    for part in parts:
        if part not in (*PARTS, "all"):
            raise Fault(f"Unknown part {part!r}; known: {', '.join(PARTS)} and all.")
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


def wake(comm: Comm, setting: str) -> tuple["torch.device", float]:
    """Collective. The hardware of this rank, and the seconds until it held a first number.

    Raises:
        Fault: If the kind of hardware is missing, or ranks find several kinds.
    """
    import torch

    inner = world.node(comm)
    began = time.monotonic()
    with world.agreed(comm):
        hardware = accelerators.choose(inner, setting)
    accelerators.common_kind(comm, hardware.type)
    torch.ones(1, device=hardware)
    accelerators.settle(hardware)
    inner.Free()
    return hardware, time.monotonic() - began


def machine(ranks: int, hardware: "torch.device") -> dict[str, object]:
    """Facts about the machine on which the times are taken."""
    import torch

    facts: dict[str, object] = {
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
        facts["accelerator"] = f"{describe(hardware)}, {count} for the node's ranks"
    return facts


if __name__ == "__main__":
    standin.end_with(main)
