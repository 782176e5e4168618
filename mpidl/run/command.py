"""The command: read the run file, build the parts in order, run the rounds, close the file."""

import math
import os
import signal
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mpidl import plan
from mpidl.config import version
from mpidl.config.faults import Fault, Parser
from mpidl.config.outcome import Outcome, joint
from mpidl.devices import data
from mpidl.devices.data import Stock
from mpidl.plan import Plan
from mpidl.preview import check
from mpidl.ranks import claims, hdf5, host, stopping, walltime, watchdog, world
from mpidl.ranks.world import Comm
from mpidl.run import listing, provenance, rehearsal, resuming
from mpidl.run.console import Display
from mpidl.storage import checkpoint, results_file, schema
from mpidl.storage.checkpoint import LoadedCheckpoint


def patience(text: str) -> float:
    """The seconds of ``--patience``.

    Raises:
        Fault: If they are no number, or less than the time between two looks.
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


def parser() -> Parser:
    """The command line of ``python -m mpidl.run``."""
    parser = Parser(
        prog="mpiexec -n N python -m mpidl.run",
        description="Train one model per device on a graph, gossip, and record.",
        add_help=False,
    )
    add = parser.add_argument
    add("file", nargs="?", type=Path, help="a run file (TOML); without one the embedded default")
    add(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting"
    )
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
        help="after which the ranks that wait for a late one name it and end the job (1800)",
    )
    add("--json", action="store_true", help="with --check or --list: for programs")
    add(
        "--list",
        nargs="?",
        const="",
        metavar="SECTION",
        help="all topologies, strategies, data sets, models, backends; or every setting of a "
        "section of the run file",
    )
    add("-h", "--help", action="store_true", help="this text")
    add("--version", action="store_true", help="version and commit")
    return parser


def told(options: Namespace) -> str:
    """The text where nothing but a text is asked for, which needs no MPI; else empty.

    Raises:
        Fault: If there is none of what is asked for.
    """
    if options.help:
        return parser().format_help()
    if options.version:
        return f"{version.line()}\n"
    return "" if options.list is None else listing.text(options.list, options.json)


def prepare(arguments: Sequence[str]) -> None:
    """Import what ranks need; torch only if they get so far, so that a fault is told soon."""
    with suppress(Fault):
        options = parser().parse_args(arguments)
        if told(options):
            return
        world.load()
        ranks = host.launched()
        made = plan.make(plan.read(options.file, options.set, ranks), ranks)
        data.foresee(made.file)

        hdf5.load()
        from mpidl.run import build, rounds  # noqa: F401


def main(arguments: Sequence[str] | None = None) -> int:
    """Collective. Run the command; the exit code.

    It is 0 when all is done, 75 where the run stopped and wants to be started again, 130 after
    Ctrl-C, 3 where a loss is not finite, 1 where the state cannot be saved. A user's fault ends
    with exit code 2, a program's fault with 1; see :func:`mpidl.ranks.world.world`.

    A program that calls it, from any of its threads and as often as it likes, finds its process as
    it was: signal handlers, communicators, torch's threads, random states and use of TF32.
    """
    try:
        options = parser().parse_args(arguments)
        text = told(options)
    except Fault as fault:
        world.refuse(fault)
    if text:
        if host.leads():
            print(text, end="")
        return 0
    # MPI may have taken signals for itself when it started.
    with world.world() as comm, stopping.listening(*stopping.WARNINGS):
        if options.patience is not None and watchdog.on_duty is not None:
            watchdog.on_duty.patience = patience(options.patience)
        given = options.walltime
        limit = walltime.seconds(given) if given is not None else None
        if options.resume is not None and options.overwrite:
            raise Fault("--resume goes without --overwrite: it replaces nothing.")
        if options.json and not options.check:
            raise Fault("--json: goes with --check or --list.")
        with world.agreed(comm):
            file = plan.read(options.file, options.set, comm.size)
        with world.agreed(comm):
            made = plan.make(file, comm.size)
        path = options.out / f"{file.name}.h5"
        if options.check:
            # There is nothing to save.
            with stopping.unheard(*stopping.WARNINGS):
                if resuming.finished(comm, made, path, options.resume):
                    return Outcome.COMPLETED.code
                with begin(comm, made, path, options.overwrite, options.resume) as start:
                    return check.check(comm, start.plan, start.stock, options.json)
        return run(comm, made, path, options.overwrite, options.resume, limit)
    return Outcome.FAILED.code


@dataclass(frozen=True)
class Start:
    """What a run has before it writes anything.

    Attributes:
        parallel: Whether the results file is written in parallel.
        found: The checkpoint with which the run goes on; None where it begins.
        plan: The plan, with the samples of each device.
        stock: The data.
    """

    parallel: bool
    found: LoadedCheckpoint | None
    plan: Plan
    stock: Stock


@contextmanager
def begin(
    comm: Comm, made: Plan, path: Path, overwrite: bool, resume: str | None
) -> Iterator[Start]:
    """Collective. Find all that a run needs, and write nothing; memory is given back at the end.

    The arguments are those of :func:`run`.

    Raises:
        Fault: With all that a run refuses, so that a check refuses it too.
    """
    leads = comm.rank == 0
    with world.agreed(comm):
        parallel = rehearsal.writer(made)
    found = None if resume is None else resuming.resumed(comm, made, path, resume)
    stock = data.provide(comm, made)
    made = replace(made, samples=stock.samples)
    size = schema.series_bytes(made.sizes(len(stock.traits.classes)))
    replaces = overwrite or found is not None
    with world.returned(stock.close):
        with world.agreed(comm):
            results_file.examine(path, replaces, size, leads)
        rehearsal.rehearse(comm, made, stock)
        yield Start(parallel, found, made, stock)


def run(
    comm: Comm,
    made: Plan,
    path: Path,
    overwrite: bool = True,
    resume: str | None = None,
    limit: float | None = None,
) -> int:
    """Collective. Build the parts in order, run the rounds, close the file; the exit code.

    Args:
        comm: All ranks.
        made: What the run file says.
        path: The results file.
        overwrite: Whether it may replace that of a completed run.
        resume: The folder from whose checkpoints the run goes on; empty for that beside the
            results file, None to begin.
        limit: Seconds after which it must have stopped.
    """
    with claims.Hold(path) as hold:
        return _run(comm, made, hold, overwrite, resume, limit)


def _run(
    comm: Comm,
    made: Plan,
    hold: claims.Hold,
    overwrite: bool,
    resume: str | None,
    limit: float | None,
) -> int:
    path, leads = hold.target, comm.rank == 0
    if resuming.finished(comm, made, path, resume):
        if leads:
            # It may have been killed before it could do this.
            checkpoint.discard(path, made.file.checkpoint.final)
        return Outcome.COMPLETED.code
    # Where there is no folder yet nobody writes in it, and a fault shall leave none behind.
    if not claimed(comm, hold, resume is not None, there=True):
        return Outcome.STOPPED.code
    with begin(comm, made, path, overwrite, resume) as start:
        beside, goes_on = [checkpoint.folder(path)], start.found is not None
        early = wanted(comm)
        if early is not None and leads:
            told = "interrupted while it started; nothing is changed, --resume begins or goes on"
            print(told, flush=True)
        if early is None and not claimed(comm, hold, resume is not None):
            early = Outcome.STOPPED
        if early is not None:
            return early.code
        with world.agreed(comm):
            results_file.claim(path, overwrite, leads, beside, goes_on)
        if leads:
            print(provenance.title(made), flush=True)
        return _work(comm, start, path, limit).code


def _work(comm: Comm, start: Start, path: Path, limit: float | None) -> Outcome:
    leads, made, stock, found = comm.rank == 0, start.plan, start.stock, start.found

    from mpidl.run import build, rounds

    with build.parts(comm, made, stock, path, start.parallel, found) as parts:
        first = len(parts.snapshot.rows)
        settings = made.file.training.rounds, not leads, first, made.attackers, made.hosts
        display = Display(*settings)
        told = made, stock, parts.gossip.exchange, start.parallel, parts.hardware
        for line in provenance.notes(comm, *told) if leads else ():
            display.console.print(line)
        if found is not None:
            display.console.print(f"goes on after round {first}, from {found.path}")
        # One rank that knows the end stops all.
        near = stopping.Ends(walltime.left(limit, ask=leads)).near
        with closing(display), stopping.listening(signal.SIGINT, *stopping.WARNINGS):
            outcome = wanted(comm) or rounds.run_rounds(parts, display.watch, near, first)
        completed = outcome is Outcome.COMPLETED
        parts.recorder.close(completed)
        if completed:
            parts.saver.discard()
            display.console.print(display.table(made.hops()))
            for sentence in [] if stock.traits.sequence else display.failures():
                display.console.print(sentence)
        trouble = parts.saver.give_up() if outcome is Outcome.UNSAVED else ""
        display.console.print(outcome.message(path, trouble))
    return outcome


def claimed(comm: Comm, hold: claims.Hold, patient: bool, there: bool = False) -> bool:
    """Collective. Claim the results file; False where another run still writes it.

    Args:
        comm: All ranks.
        hold: The claim.
        patient: Wait whether that run goes on.
        there: Only where its folder is there.

    Raises:
        Fault: If another run writes it, and there is no patience.
    """
    taken = True
    with world.agreed(comm):
        # Unlike pathlib's, this one says no where a name is too long.
        if comm.rank == 0 and (not there or os.path.isdir(hold.target.parent)):
            taken = hold.take(patient, lambda told: print(told, flush=True))
    return bool(comm.bcast(taken))


def wanted(comm: Comm) -> Outcome | None:
    """Collective. How all ranks end, where some were asked to stop while the run started."""
    own = stopping.wish()
    return joint(comm.allgather(0 if own is None else own.code))
