"""Driver of a study: hands runs to workers, retries, stops in time, and reports progress."""

import itertools
import math
import os
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from mpidl.config.outcome import Outcome as Ending
from mpidl.ensemble import keeper, nodes, pool
from mpidl.ensemble.allocation import NodeRequest
from mpidl.ensemble.cost import MARGIN
from mpidl.ensemble.folder import Folder
from mpidl.ensemble.ledger import Ledger, State
from mpidl.ensemble.shapes import Shape
from mpidl.ensemble.sites import Site
from mpidl.ensemble.study import Run, Study, phases
from mpidl.ensemble.timing import Orders, Timing
from mpidl.ensemble.words import so_many
from mpidl.ensemble.worker import Outcome, Task
from mpidl.ranks import stopping
from mpidl.run.console import clock

LOOK = 1.0
"""Seconds between two looks at the running runs."""

PATIENCE = 60.0
"""Seconds after which a run that has ended counts as lost if its worker says nothing."""


class Driver:
    """Runs all runs of a study.

    Args:
        study: The study.
        site: The site on which it runs.
        folder: The folder of its results; no other driver works there.
        request: The nodes.
        orders: Attempts, and the end of the nodes.
        estimates: Expected seconds of each run, by name, as far as they are known.
        tell: Shows a line.
        show: Shows the counts of the runs, and the seconds left if they are known.
    """

    def __init__(
        self,
        study: Study,
        site: Site,
        folder: Folder,
        request: NodeRequest,
        orders: Orders,
        estimates: Mapping[str, float],
        tell: Callable[[str], None],
        show: Callable[[State, float | None], None],
    ) -> None:
        self._study, self._site, self._folder = study, site, folder
        self._request, self._orders, self._estimates = request, orders, estimates
        self._show = show
        self._ledger = Ledger(folder, estimates, orders.retries, tell, orders.brief)
        self._mark = uuid.uuid4().hex
        self._seen: set[str] = set()
        self._ended: dict[str, float] = {}
        self._timing = Timing(request, orders, self._ledger.expected)
        self._asked: list[int] = []
        self._stopping = False

    @property
    def state(self) -> State:
        """The counts of the runs."""
        return self._ledger.state

    @property
    def _over(self) -> bool:
        """Whether no further run starts."""
        return self._stopping or bool(self._asked)

    def work(self) -> int:
        """Work until no run is left or the time is over, and return the exit code.

        It is 0 when all runs are done, 1 if some failed, 75 if some are left, 130 after Ctrl-C.
        """
        ledger, name, runs = self._ledger, self._study.name, self._study.runs
        left = ledger.begin(runs)
        ledger.say("begin", name, f"{len(runs)} runs, {self.state.done} done before")
        walltime = self._timing.walltime
        for run in left:
            if (expected := ledger.expected(run) or 0.0) > walltime:
                reason = f"expected {clock(expected)}, more than the walltime of {clock(walltime)}"
                ledger.say("long", run.name, f"{reason}; it goes on from checkpoints")
        with keeper.kept(self._mark) as later, self._listening():
            for shape, group in phases(left, self._site):
                if not self._over and self._time_for_some(group):
                    self._work_off(shape, group, later)
        code = self._code()
        ledger.say("end", name, f"{self.state}; exit code {code}")
        return code

    def _work_off(self, shape: Shape, group: Sequence[Run], later: keeper.Later) -> None:
        """Run what has one shape, as far as there are nodes for it."""
        waiting, parsl = deque(self._longest_first(group)), self._folder.path / "parsl"
        self._leave_out(nodes.lost(nodes.watched(self._site, self._request.hosts)))
        if self._enough(shape):
            with pool.pool(self._site, shape, self._request, parsl, later) as workers:
                self._phase(workers, shape, waiting)
        if waiting and not self._enough(shape):
            text = f"{so_many(len(waiting), 'run')} of {so_many(shape.nodes)} wait for another job"
            self._ledger.say("left", self._study.name, text)

    def _enough(self, shape: Shape) -> bool:
        """Whether there are nodes enough for a run."""
        return shape.nodes <= self._request.nodes

    def _leave_out(self, lost: Collection[str]) -> None:
        """Count nodes of this allocation no more that are down."""
        if gone := set(lost).intersection(self._request.hosts):
            hosts = [name for name in self._request.hosts if name not in gone]
            self._request = replace(self._request, nodes=len(hosts), hosts=hosts)
            text = f"{nodes.told(gone)}; {so_many(len(hosts))} left"
            self._ledger.say("down", self._study.name, text)

    def _longest_first(self, runs: Sequence[Run]) -> list[Run]:
        return sorted(runs, key=lambda run: -self._estimates.get(run.name, 0.0))

    def _phase(self, workers: pool.Pool, shape: Shape, waiting: deque[Run]) -> None:
        room = max(1, shape.at_once(self._request.nodes) * self._request.jobs)
        flying: dict[Future[Outcome], Run] = {}
        while flying or (waiting and self._some_can_start(waiting, shape)):
            self._heed()
            for run in self._next(waiting, room - len(flying)):
                waiting.remove(run)
                flying[self._submit(workers, run, shape)] = run
            ready, _ = wait(flying, timeout=LOOK, return_when=FIRST_COMPLETED)
            if not flying:
                time.sleep(LOOK)
            silent = {future for future, run in flying.items() if self._silent(run)}
            for future in ready | silent:
                run = flying.pop(future)
                if not self._settle(run, future):
                    waiting.append(run)
            self._look(flying.values(), waiting, room)

    def _next(self, waiting: Sequence[Run], room: int) -> list[Run]:
        """The runs that can start now, at most so many."""
        if self._over or room < 1:
            return []
        # A run that a killed driver left behind may still go on; it is not started twice.
        busy = self._folder.going_on()
        able = (run for run in waiting if run.name not in busy and self._timing.now(run))
        return list(itertools.islice(able, room))

    def _silent(self, run: Run) -> bool:
        """Whether a run ended long ago, and Parsl has not returned its outcome."""
        ended = self._ended.get(run.name)
        return ended is not None and time.monotonic() - ended > PATIENCE

    def _time_for_some(self, waiting: Sequence[Run]) -> bool:
        return any(map(self._timing.fits, waiting))

    def _some_can_start(self, waiting: Sequence[Run], shape: Shape) -> bool:
        return self._enough(shape) and not self._over and self._time_for_some(waiting)

    def _submit(self, workers: pool.Pool, run: Run, shape: Shape) -> "Future[Outcome]":
        own = replace(shape, ranks=run.ranks, per_node=-(-run.ranks // shape.nodes))
        path = self._folder.files / f"{run.name}.toml"
        path.write_text(run.file.text(), encoding="utf-8")
        self._ledger.hand_over()
        return workers.submit(
            Task(
                run.name,
                str(self._folder.path),
                self._mark,
                self._site,
                own,
                self._timing.needed(run),
                self._orders.ends,
                self._timing.reserve,
            )
        )

    def _settle(self, run: Run, future: "Future[Outcome]") -> bool:
        """Record how an attempt at a run ended, and return whether the run is over."""
        self._seen.discard(run.name)
        self._ended.pop(run.name, None)
        if not future.done():
            return self._ledger.lose(run, "its worker says nothing")
        if error := future.exception():
            pool.check(error)
            # Parsl raises many kinds of errors: the worker or its node is gone.
            return self._ledger.lose(run, f"{type(error).__name__}: {error}".splitlines()[0])
        outcome = future.result()
        self._timing.learn(run, outcome)
        self._leave_out(outcome.lost)
        if outcome.code is None:
            return self._ledger.put_back()
        if outcome.lost and not self._ledger.done(run):
            return self._ledger.lose(run, nodes.told(outcome.lost))
        return self._ledger.judge(run, outcome, self._over)

    def _look(self, flying: Iterable[Run], waiting: Iterable[Run], room: int) -> None:
        """Log runs that began, note those that ended, and show the time left."""
        claims = self._folder.going_on()
        for run in flying:
            claim = claims.get(run.name)
            if claim is None and (run.name in self._seen or self._stopping):
                self._ended.setdefault(run.name, time.monotonic())
            elif claim is not None and run.name in self._seen:
                self._ended.pop(run.name, None)
            elif claim is not None and claim.driver == self._mark:
                self._seen.add(run.name)
                where = f"{run.ranks} ranks on {claim.host}, slot {claim.slot}"
                self._ledger.say("start", run.name, where)
        expected = [self._ledger.expected(run) or math.nan for run in waiting]
        left = sum(expected) / MARGIN / room
        self._show(self.state, left if left > 0 else None)

    def _code(self) -> int:
        if signal.SIGINT in self._asked:
            return Ending.INTERRUPTED.code
        if self.state.waiting:
            return Ending.STOPPED.code
        return 1 if self.state.failed else 0

    def _heed(self) -> None:
        """Ask the running runs to stop if a signal came or the time is over."""
        if self._stopping or not (self._asked or self._timing.over()):
            return
        self._stopping = True
        self._folder.stop(self._mark)
        why = signal.Signals(self._asked[0]).name if self._asked else "the time is over"
        self._ledger.say("stop", self._study.name, f"{why}: runs end after their round")

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Let a signal end the work when all running runs have ended, a second Ctrl-C at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGINT and number in self._asked:
                keeper.end(self._mark, patience=0.0)
                os._exit(Ending.INTERRUPTED.code)
            self._asked.append(number)
            if number == signal.SIGHUP:
                stopping.print_into_files_only()

        numbers = signal.SIGINT, *stopping.heeded(*stopping.WARNINGS)
        before = {number: signal.signal(number, ask) for number in numbers}
        # Those that came while the command loaded.
        self._asked[:0] = stopping.asked
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
