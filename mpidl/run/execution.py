"""Execution of a plan: it finds data, builds the parts, runs the rounds, closes the file."""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mpidl import plan as planning
from mpidl.components import loggers
from mpidl.components.tasks import TASKS
from mpidl.config.outcome import Outcome, joint
from mpidl.devices import data
from mpidl.devices.data import RunData
from mpidl.plan import Plan
from mpidl.ranks import claims, stopping, walltime, world
from mpidl.ranks.world import Comm
from mpidl.run import live, provenance, rehearsal, resuming
from mpidl.run.claiming import claimed
from mpidl.run.console import Display
from mpidl.storage import checkpoint, code_records, results_file, run_series
from mpidl.storage.checkpoint import LoadedCheckpoint

if TYPE_CHECKING:
    from mpidl.run.rounds import Parts


INTERRUPTED = "interrupted while it started; nothing is changed, --resume begins or goes on"


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
    brief: bool = False,
) -> int:
    """Collective. Run a plan and return the exit code; see :func:`carry_out`."""
    return carry_out(comm, plan, path, overwrite, resume, limit, brief).code


def carry_out(
    comm: Comm,
    plan: Plan,
    path: Path,
    overwrite: bool = True,
    resume: str | None = None,
    limit: float | None = None,
    brief: bool = False,
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
        brief: Whether only warnings are printed.
        caller: The program around it; None if the process is the run's own.
    """
    leads = comm.rank == 0
    with claims.Hold(path) as hold:
        if resuming.finished(comm, plan, path, resume, brief):
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
                print(INTERRUPTED, flush=True)
            if early is None and not claimed(comm, hold, resume is not None):
                early = Outcome.STOPPED
            if early is not None:
                return early
            with world.agreed(comm):
                results_file.claim(path, overwrite, leads, beside, goes_on)
            if leads and not brief and (caller is None or not caller.quiet):
                print(provenance.title(plan), flush=True)
            return _work(comm, start, path, limit, brief, caller)


def _work(
    comm: Comm,
    start: Start,
    path: Path,
    limit: float | None,
    brief: bool,
    caller: Caller | None,
) -> Outcome:
    leads, plan, run_data, found = comm.rank == 0, start.plan, start.run_data, start.found
    quiet = not leads or (caller is not None and caller.quiet)

    from mpidl.run import build, rounds

    with build.parts(comm, plan, run_data, path, start.parallel, found) as parts:
        first = len(parts.snapshot.rounds)
        size, attackers = plan.file.training.rounds, plan.attackers
        display = Display(size, quiet, first, attackers, plan.hosts, brief)
        if leads:
            _tell_before(comm, start, parts, display)
        # A program has no command that would go on.
        parts.saver.on_stop = caller is None
        # One rank that knows the end of the time stops all ranks.
        near = stopping.Ends(walltime.left(limit, ask=leads)).near
        names, logged = plan.file.record.log if leads else [], live.logged(plan, path, first)
        log = live.LiveLog(names, logged, plan.hosts, plan.attackers, display.console.print)
        watch = live.both(display.watch, log.watch)
        hearing = stopping.listening(signal.SIGINT, *stopping.WARNINGS)
        with closing(log), closing(display), hearing:
            outcome = stop_wanted(comm) or rounds.run_rounds(parts, watch, near, first)
            completed = log.completed = outcome is Outcome.COMPLETED
        parts.recorder.close(completed)
        if completed:
            parts.saver.discard()
            display.tell(display.table(plan.hops()))
            for sentence in [] if run_data.traits.sequence else display.failures():
                display.console.print(sentence)
        trouble = parts.saver.give_up() if outcome is Outcome.UNSAVED else ""
        if caller is None:
            show = display.tell if completed else display.console.print
            show(outcome.message(path, trouble))
        else:
            caller.keep(parts, run_data)
    return outcome


def _tell_before(comm: Comm, start: Start, parts: "Parts", display: Display) -> None:
    """Tell, on rank 0, what a reader should know before the first round."""
    plan, found = start.plan, start.found
    facts = plan, start.run_data, parts.gossip.exchange, start.parallel, parts.hardware
    for line in provenance.notes(comm, *facts):
        display.tell(line)
    for line in provenance.cautions(plan, start.run_data, parts.hardware):
        display.console.print(line)
    if found is not None:
        display.tell(f"goes on after round {len(parts.snapshot.rounds)}, from {found.path}")
        now = planning.codes(plan.file)
        for sentence in code_records.differences(found.head.story.code, now):
            display.console.print(sentence)


def stop_wanted(comm: Comm) -> Outcome | None:
    """Collective. The outcome of all ranks, if some were asked to stop while the run started."""
    own = stopping.wish()
    return joint(comm.allgather(0 if own is None else own.code))
