"""Command of one run: its options, and what it does with them."""

import math
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mpidl import plan as planning
from mpidl.config import runfile
from mpidl.config.faults import Fault, Parser
from mpidl.config.outcome import Outcome
from mpidl.devices import loading
from mpidl.ranks import hdf5, host, mpi_library, stopping, walltime, watchdog, world
from mpidl.run import checking, execution, listing, own_code, resuming


def patience(text: str) -> float:
    """The seconds of ``--patience``.

    Raises:
        Fault: If they are not a number, or less than the time between two looks of the watchdog.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not watchdog.PERIOD <= seconds < math.inf:
        raise Fault(
            f"--patience {text!r}: must be a number of seconds, at least {watchdog.PERIOD:g}."
        )
    return seconds


def parser(checks: bool = False) -> Parser:
    """The command line of ``python -m mpidl.run``, or of its ``--check``."""
    parser = Parser(
        prog="mpiexec -n N python -m mpidl.run",
        description="Tell what to expect of a run: build everything, train nothing."
        if checks
        else "Train one model per device on a graph, gossip, and record.",
        epilog="Exit codes: 0 done, 1 an error, 2 wrong input, 3 a loss is not finite, "
        "75 start me again, 130 Ctrl-C.",
        add_help=False,
    )
    add = parser.add_argument
    text = "a run file (TOML); without one the embedded default"
    add("file", nargs="?", type=Path, metavar="FILE", help=text)
    add(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting"
    )
    parser.add_use()
    add("--out", type=Path, default=Path("results"), metavar="DIR", help="where NAME.h5 goes")
    add("--overwrite", action="store_true", help="replace a completed results file")
    add(
        "--check", action="store_true", help="build everything, train nothing, print what would run"
    )
    add(
        "--resume",
        nargs="?",
        const="",
        metavar="DIR",
        help="go on from the newest checkpoint, beside --out or in DIR; begin where there is none",
    )
    add("--walltime", metavar="HH:MM:SS", help="stop in time with a checkpoint and exit code 75")
    add(
        "--patience",
        metavar="SECONDS",
        help="time after which waiting ranks name a late one and end the job (1800)",
    )
    parser.add_quiet()
    add("--json", action="store_true", help="with --check or --list: print JSON")
    add(
        "--list",
        nargs="?",
        const="",
        metavar="SECTION",
        help="all topologies, strategies, data sets, models, backends; or every setting of a "
        "section of the run file",
    )
    parser.add_texts()
    return parser


def text_only(options: Namespace) -> str:
    """The text of an option that only prints, such as ``--list``, without MPI; else empty.

    Raises:
        Fault: If the section to list is unknown, or the user's own code to be listed is.
    """
    if options.help or options.version:
        return parser(options.check).text(options)
    if options.list is None:
        return ""
    if options.file is None:
        runfile.begin(options.use)
    else:
        planning.read(options.file, options.set, 1, options.use)
    return listing.text(options.list, options.json)


def prepare(arguments: Sequence[str]) -> None:
    """Import what ranks need; torch comes last, so that a fault is printed soon."""
    with suppress(Fault):
        options = parser().parse_args(arguments)
        if text_only(options):
            return
        mpi_library.load()
        ranks = host.launched()
        with own_code.forkable():
            file = planning.read(options.file, options.set, ranks, options.use)
            loading.foresee(planning.make(file, ranks).file)

        hdf5.load()
        from mpidl.run import build, rounds  # noqa: F401


def main(arguments: Sequence[str] | None = None) -> int:
    """Collective. Run the command and return its exit code.

    It is 0 when all is done, 75 if the run stopped and is to be started again, 130 after Ctrl-C,
    3 if a loss is not finite, 1 if the state cannot be saved. A user's fault ends with exit code 2,
    a program's fault with 1; see :func:`mpidl.ranks.world.world`.

    A program may call it from any thread, repeatedly. Afterwards its process is as before: signal
    handlers, communicators, torch's threads, random states and use of TF32.
    """
    try:
        options = parser().parse_args(arguments)
        text = text_only(options)
    except Fault as fault:
        world.refuse(fault)
    if text:
        if host.leads():
            print(text, end="")
        return 0
    # MPI may have taken over signals when it started.
    with world.world() as comm, stopping.listening(*stopping.WARNINGS):
        if options.patience is not None and watchdog.on_duty is not None:
            watchdog.on_duty.patience = patience(options.patience)
        time_limit = options.walltime
        limit = walltime.seconds(time_limit) if time_limit is not None else None
        if options.resume is not None and options.overwrite:
            raise Fault(
                "--resume and --overwrite must not be given together: --resume replaces nothing."
            )
        if options.quiet and options.check:
            raise Fault("--quiet: must not be given with --check, which prints what it finds.")
        if options.json and not options.check:
            raise Fault("--json: must be given with --check or --list.")
        with world.agreed(comm):
            file = planning.read(options.file, options.set, comm.size, options.use)
        own_code.check_same(comm, planning.codes(file))
        with world.agreed(comm):
            plan = planning.make(file, comm.size)
        path = options.out / f"{file.name}.h5"
        if options.check:
            # A check has nothing to save, so signals may end it.
            with stopping.unheard(*stopping.WARNINGS):
                if resuming.finished(comm, plan, path, options.resume):
                    return Outcome.COMPLETED.code
                with execution.begin(comm, plan, path, options.overwrite, options.resume) as start:
                    return checking.check(comm, start.plan, start.run_data, options.json)
        words = options.overwrite, options.resume, limit, options.quiet
        return execution.run(comm, plan, path, *words)
    return Outcome.FAILED.code
