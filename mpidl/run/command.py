"""Command of one run: it reads the run file, builds the parts, runs the rounds, closes the file."""

import math
import os
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mpidl import plan as planning
from mpidl.components import loggers
from mpidl.components.tasks import TASKS
from mpidl.config import runfile, version
from mpidl.config.faults import Fault, Parser
from mpidl.config.outcome import Outcome, joint
from mpidl.devices import data
from mpidl.devices.data import RunData
from mpidl.plan import Plan
from mpidl.ranks import claims, hdf5, host, stopping, walltime, watchdog, world
from mpidl.ranks.world import Comm
from mpidl.run import checking, listing, live, own_code, provenance, rehearsal, resuming
from mpidl.run.console import Display
from mpidl.storage import checkpoint, code_records, results_file, run_series
from mpidl.storage.checkpoint import LoadedCheckpoint

if TYPE_CHECKING:
    from mpidl.run.rounds import Parts


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
    add("--json", action="store_true", help="with --check or --list: print JSON")
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


def text_only(options: Namespace) -> str:
    """The text of an option that only prints, such as ``--list``, without MPI; else empty.

    Raises:
        Fault: If the section to list is unknown, or the user's own code to be listed is.
    """
    if options.help:
        return parser().format_help()
    if options.version:
        return f"{version.line()}\n"
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
        world.load()
        ranks = host.launched()
        with own_code.forkable():
            file = planning.read(options.file, options.set, ranks, options.use)
            data.foresee(planning.make(file, ranks).file)

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
                with begin(comm, plan, path, options.overwrite, options.resume) as start:
                    return checking.check(comm, start.plan, start.run_data, options.json)
        return run(comm, plan, path, options.overwrite, options.resume, limit)
    return Outcome.FAILED.code


@dataclass(frozen=True)
class Caller:
    """A program that runs a plan in its own process, and goes on afterwards.

    Attributes:
        keep: Called on every rank with the parts and the data of the run, after its last round.
        quiet: Whether nothing is printed.
        dataset: A data set that it gives in place of a name.
    """

    keep: "Callable[[Parts, RunData], None]"
    quiet: bool
    dataset: object


@dataclass(frozen=True)
class Start:
    """Everything that a run needs before it writes.

    Attributes:
        parallel: Whether the results file is written in parallel.
        found: The checkpoint with which the run goes on; None if it begins.
        plan: The plan, with the samples of each device.
        run_data: The data.
    """

    parallel: bool
    found: LoadedCheckpoint | None
    plan: Plan
    run_data: RunData


@contextmanager
def begin(
    comm: Comm,
    plan: Plan,
    path: Path,
    overwrite: bool,
    resume: str | None,
    dataset: object = None,
) -> Iterator[Start]:
    """Collective. Find everything that a run needs, without writing; memory is freed at the end.

    The arguments are those of :func:`carry_out`, and a data set in place of that of the plan.

    Raises:
        Fault: If a run would be refused, so that a check refuses it too.
    """
    leads = comm.rank == 0
    with world.agreed(comm):
        parallel = rehearsal.writer(plan)
    found = None if resume is None else resuming.resumed(comm, plan, path, resume)
    run_data = data.provide(comm, plan, dataset)
    plan = replace(plan, samples=run_data.samples)
    # A task may have values too, which are known when it is called.
    answers, classes = TASKS.properties(run_data.traits.task).answers, len(run_data.traits.classes)
    least = run_series.of(classes) if answers else run_series.of(0, ())
    size = least.bytes(plan.sizes(classes))
    replaces = overwrite or found is not None
    with world.returned(run_data.close):
        with world.agreed(comm):
            if leads:
                loggers.check_packages(plan.file.record.log)
            results_file.examine(path, replaces, size, leads)
        rehearsal.rehearse(comm, plan, run_data)
        yield Start(parallel, found, plan, run_data)


def run(
    comm: Comm,
    plan: Plan,
    path: Path,
    overwrite: bool = True,
    resume: str | None = None,
    limit: float | None = None,
) -> int:
    """Collective. Run a plan and return the exit code; see :func:`carry_out`."""
    return carry_out(comm, plan, path, overwrite, resume, limit).code


def carry_out(
    comm: Comm,
    plan: Plan,
    path: Path,
    overwrite: bool = True,
    resume: str | None = None,
    limit: float | None = None,
    caller: Caller | None = None,
) -> Outcome:
    """Collective. Build the parts, run the rounds, close the file, and return the outcome.

    Args:
        comm: All ranks.
        plan: The plan of the run.
        path: The results file.
        overwrite: Whether it may replace that of a completed run.
        resume: The folder with the checkpoints from which the run goes on; empty for the folder
            beside the results file, None to begin.
        limit: Seconds after which the run must have stopped.
        caller: The program around it; None if the process is the run's own.
    """
    with claims.Hold(path) as hold:
        return _run(comm, plan, hold, overwrite, resume, limit, caller)


def _run(
    comm: Comm,
    plan: Plan,
    hold: claims.Hold,
    overwrite: bool,
    resume: str | None,
    limit: float | None,
    caller: Caller | None,
) -> Outcome:
    path, leads = hold.target, comm.rank == 0
    if resuming.finished(comm, plan, path, resume):
        if leads:
            # The run may have been killed before it did this.
            checkpoint.discard(path, plan.file.checkpoint.final)
            hold.clear()
        return Outcome.COMPLETED
    # Without a folder no other run writes there, and a fault must leave no folder behind.
    if not claimed(comm, hold, resume is not None, there=True):
        return Outcome.STOPPED
    dataset = None if caller is None else caller.dataset
    with begin(comm, plan, path, overwrite, resume, dataset) as start:
        beside, goes_on = [checkpoint.folder(path)], start.found is not None
        early = stop_wanted(comm)
        if early is not None and leads:
            message = "interrupted while it started; nothing is changed, --resume begins or goes on"
            print(message, flush=True)
        if early is None and not claimed(comm, hold, resume is not None):
            early = Outcome.STOPPED
        if early is not None:
            return early
        with world.agreed(comm):
            results_file.claim(path, overwrite, leads, beside, goes_on)
        if leads and (caller is None or not caller.quiet):
            print(provenance.title(plan), flush=True)
        return _work(comm, start, path, limit, caller)


def _work(
    comm: Comm, start: Start, path: Path, limit: float | None, caller: Caller | None
) -> Outcome:
    leads, plan, run_data, found = comm.rank == 0, start.plan, start.run_data, start.found
    quiet = not leads or (caller is not None and caller.quiet)

    from mpidl.run import build, rounds

    with build.parts(comm, plan, run_data, path, start.parallel, found) as parts:
        first = len(parts.snapshot.rounds)
        display = Display(plan.file.training.rounds, quiet, first, plan.attackers, plan.hosts)
        facts = plan, run_data, parts.gossip.exchange, start.parallel, parts.hardware
        for line in provenance.notes(comm, *facts) if leads else ():
            display.console.print(line)
        if found is not None:
            display.console.print(f"goes on after round {first}, from {found.path}")
            now = planning.codes(plan.file)
            for sentence in code_records.differences(found.head.story.code, now):
                display.console.print(sentence)
        # A program has no command that would go on.
        parts.saver.on_stop = caller is None
        # One rank that knows the end of the time stops all ranks.
        near = stopping.Ends(walltime.left(limit, ask=leads)).near
        log = live.LiveLog(plan, path, first, leads, display.console.print)
        watch = live.both(display.watch, log.watch)
        hearing = stopping.listening(signal.SIGINT, *stopping.WARNINGS)
        with closing(log), closing(display), hearing:
            outcome = stop_wanted(comm) or rounds.run_rounds(parts, watch, near, first)
            completed = log.completed = outcome is Outcome.COMPLETED
        parts.recorder.close(completed)
        if completed:
            parts.saver.discard()
            display.console.print(display.table(plan.hops()))
            for sentence in [] if run_data.traits.sequence else display.failures():
                display.console.print(sentence)
        trouble = parts.saver.give_up() if outcome is Outcome.UNSAVED else ""
        if caller is None:
            display.console.print(outcome.message(path, trouble))
        else:
            caller.keep(parts, run_data)
    return outcome


def claimed(comm: Comm, hold: claims.Hold, patient: bool, there: bool = False) -> bool:
    """Collective. Claim the results file; False if another run still writes it.

    Args:
        comm: All ranks.
        hold: The claim.
        patient: Whether to wait and see if that run goes on.
        there: Whether to claim it only if its folder exists.

    Raises:
        Fault: If another run writes it, and this one does not wait.
    """
    taken = True
    with world.agreed(comm):
        # Unlike pathlib's, this function returns False for a name that is too long.
        if comm.rank == 0 and (not there or os.path.isdir(hold.target.parent)):
            taken = hold.take(patient, lambda line: print(line, flush=True))
    return bool(comm.bcast(taken))


def stop_wanted(comm: Comm) -> Outcome | None:
    """Collective. The outcome of all ranks, if some were asked to stop while the run started."""
    own = stopping.wish()
    return joint(comm.allgather(0 if own is None else own.code))
