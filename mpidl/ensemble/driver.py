"""Works off a study: hands runs to workers, retries, stops in time, and tells how it goes."""

import itertools
import math
import signal
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType

from mpidl import results, world
from mpidl.ensemble import keeper, pool, sites
from mpidl.ensemble.cost import MARGIN
from mpidl.ensemble.folder import Attempt, Folder, finished, record
from mpidl.ensemble.pool import Request
from mpidl.ensemble.sites import Shape, Site
from mpidl.ensemble.study import Run, Study
from mpidl.ensemble.worker import Outcome, Task
from mpidl.progress import clock

WARNINGS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals by which a batch system tells that the time is over."""

LOOK = 1.0
"""Seconds between two looks at what goes on."""

LOST = 5
"""Times that a run may get lost with its worker before it counts as failed."""

PATIENCE = 60.0
"""Seconds after which a run that has ended counts as lost if its worker says nothing."""

LINES = 12
"""Lines of a failed run's output that are shown."""

USERS_FAULT = 2
"""Exit code of a run that no second attempt makes right."""


@dataclass
class State:
    """Where the runs of a study are."""

    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"waiting {self.waiting}  running {self.running}  done {self.done}"
        return f"{counts}  failed {len(self.failed)}"


@dataclass(frozen=True)
class Orders:
    """What a driver is told.

    Attributes:
        retries: Attempts after the first one.
        ends: When the nodes are taken away, in seconds since 1970; None if never.
    """

    retries: int = 1
    ends: float | None = None


class Driver:
    """Works off a study.

    Args:
        study: All its runs.
        site: Where they go.
        folder: Where their results go; this driver is alone there.
        request: Nodes.
        orders: How.
        estimates: Seconds of each run, by name, as far as they are known.
        tell: Shows a line.
        show: Shows where the runs are, and the seconds left if they are known.
    """

    def __init__(
        self,
        study: Study,
        site: Site,
        folder: Folder,
        request: Request,
        orders: Orders,
        estimates: Mapping[str, float],
        tell: Callable[[str], None],
        show: Callable[[State, float | None], None],
    ) -> None:
        self._study, self._site, self._folder = study, site, folder
        self._request, self._orders, self._estimates = request, orders, estimates
        self._tell, self._show = tell, show
        self._mark = uuid.uuid4().hex
        self._attempts, self._losses = Counter[str](), Counter[str]()
        self._seen: set[str] = set()
        self._ended: dict[str, float] = {}
        self._hold = 0.0
        self._asked: list[int] = []
        before = finished(folder.attempts()).values()
        self._took = [one.seconds for one in before]
        self._ratios = [one.seconds / one.estimate for one in before if one.estimate]
        self.state = State()

    def work(self) -> int:
        """Work until nothing is left or the time is over; the exit code.

        It is 0 when all runs are done, 1 if some failed, 75 if some are left, 130 after Ctrl-C.
        """
        folder, runs = self._folder, self._study.runs
        left = [run for run in runs if not results.completed(folder.results(run.name))]
        self.state.done, self.state.waiting = len(runs) - len(left), len(left)
        self._say("begin", self._study.name, f"{len(runs)} runs, {self.state.done} done before")
        left = [run for run in left if not self._hopeless(run)]
        with self._listening(), keeper.kept(self._mark):
            for shape, group in self.phases(left):
                if self._asked or not self._time_for_some(group):
                    continue
                with pool.pool(self._site, shape, self._request, folder.path / "parsl") as workers:
                    self._phase(workers, shape, deque(group))
        code = self._code()
        self._say("end", self._study.name, f"{self.state}; exit code {code}")
        return code

    def phases(self, runs: Sequence[Run]) -> Iterator[tuple[Shape, list[Run]]]:
        """Runs that lie alike on nodes, the largest first; among them the longest first."""
        groups: dict[tuple[int, int], list[Run]] = {}
        for run in runs:
            shape = sites.shape(self._site, run.ranks)
            groups.setdefault((shape.nodes, shape.places), []).append(run)
        for key in sorted(groups, reverse=True):
            found = sorted(groups[key], key=lambda run: -self._estimates.get(run.name, 0.0))
            yield sites.shape(self._site, max(run.ranks for run in found)), found

    def _phase(self, workers: pool.Pool, shape: Shape, waiting: deque[Run]) -> None:
        room = max(1, shape.at_once(self._request.nodes) * self._request.jobs)
        flying: dict[Future[Outcome], Run] = {}
        while flying or (waiting and not self._asked and self._time_for_some(waiting)):
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
        """The runs that can be handed over now."""
        if self._asked or room < 1 or time.time() < self._hold:
            return []
        # What a driver that was killed left behind may still go on, and is not started twice.
        busy = self._folder.going_on()
        able = (run for run in waiting if run.name not in busy and self._fits(run))
        return list(itertools.islice(able, room))

    def _fits(self, run: Run) -> bool:
        return self.expected(run) < self._left()

    def _left(self) -> float:
        """Seconds for which a run that begins now has its nodes."""
        if self._orders.ends is not None:
            return self._orders.ends - time.time()
        return self._request.walltime or math.inf

    def _silent(self, run: Run) -> bool:
        """Whether a run ended long ago and Parsl has not told its outcome."""
        ended = self._ended.get(run.name)
        return ended is not None and time.monotonic() - ended > PATIENCE

    def _hopeless(self, run: Run) -> bool:
        """Whether a run takes longer than these nodes are there from now on, and is given up."""
        if self._fits(run):
            return False
        told = f"expected {clock(self.expected(run))}, and the walltime is {clock(self._left())}"
        self.state.waiting -= 1
        self.state.failed.append(run.name)
        self._say("too long", run.name, told)
        return True

    def _time_for_some(self, waiting: Sequence[Run]) -> bool:
        return any(self._fits(run) for run in waiting)

    def expected(self, run: Run) -> float:
        """Seconds that a run takes at most: what is known of it, as far as it held so far."""
        known = self._estimates.get(run.name)
        if known is None:
            return MARGIN * median(self._took, 0.0)
        return MARGIN * median(self._ratios, 1.0) * known

    def _submit(self, workers: pool.Pool, run: Run, shape: Shape) -> "Future[Outcome]":
        own = replace(shape, ranks=run.ranks, per_node=-(-run.ranks // shape.nodes))
        path = self._folder.files / f"{run.name}.toml"
        path.write_text(run.file.text(), encoding="utf-8")
        self.state.waiting -= 1
        self.state.running += 1
        return workers.submit(
            Task(
                run.name,
                str(self._folder.path),
                self._mark,
                self._site,
                own,
                self.expected(run),
                self._orders.ends,
            )
        )

    def _settle(self, run: Run, future: "Future[Outcome]") -> bool:
        """Take in what became of a run; whether it is over."""
        self.state.running -= 1
        over = self._judge(run, future)
        self.state.waiting += not over
        return over

    def _judge(self, run: Run, future: "Future[Outcome]") -> bool:
        name, self._seen = run.name, self._seen - {run.name}
        self._ended.pop(name, None)
        done = results.completed(self._folder.results(name))
        error = future.exception() if future.done() else TimeoutError("no word of its worker")
        if error is not None:
            # Of Parsl, which has many kinds of them: the worker or its node is gone.
            self._losses[name] += 1
            self._say("lost", name, f"{type(error).__name__}: {str(error).splitlines()[0]}")
            if done:
                self.state.done += 1
            return done or (self._losses[name] >= LOST and self._give_up(run, []))
        outcome = future.result()
        if outcome.code is None:
            self._hold = 0.0 if self._orders.ends else time.time() + max(0.0, outcome.seconds)
            return False
        self._attempts[name] += 1
        self._keep(run, outcome)
        told = f"{outcome.seconds:.1f} s on {outcome.host}, slot {outcome.slot}"
        if outcome.code == 0 and done:
            self._took.append(outcome.seconds)
            if name in self._estimates:
                self._ratios.append(outcome.seconds / self._estimates[name])
                told += f", expected {self._estimates[name]:.1f}"
            self.state.done += 1
            self._say("done", name, f"{told}; {self.state}")
            return True
        if self._asked or outcome.code == world.AGAIN:
            self._attempts[name] -= 1
            self._say("stopped", name, told)
            return False
        self._say(
            "fault", name, f"attempt {self._attempts[name]}, exit code {outcome.code}, {told}"
        )
        again = outcome.code != USERS_FAULT and self._attempts[name] <= self._orders.retries
        return not again and self._give_up(run, self._folder.last_words(name, LINES))

    def _give_up(self, run: Run, words: Sequence[str]) -> bool:
        self.state.failed.append(run.name)
        self._say("failed", run.name, f"for good; {self._folder.logs / run.name}.txt ends so:")
        for line in words:
            self._tell(self._folder.quote(line))
        return True

    def _keep(self, run: Run, outcome: Outcome) -> None:
        self._folder.keep(
            Attempt(
                name=run.name,
                attempt=self._attempts[run.name],
                started=record(outcome.started),
                seconds=round(outcome.seconds, 3),
                code=outcome.code or 0,
                host=outcome.host,
                slot=outcome.slot,
                estimate=round(self._estimates.get(run.name, 0.0), 3),
            )
        )

    def _look(self, flying: Iterable[Run], waiting: Iterable[Run], room: int) -> None:
        """Tell which runs began, and how long all will take."""
        claims = self._folder.going_on()
        for run in flying:
            claim = claims.get(run.name)
            if claim is not None and claim.driver == self._mark and run.name not in self._seen:
                self._seen.add(run.name)
                self._say(
                    "start", run.name, f"{run.ranks} ranks on {claim.host}, slot {claim.slot}"
                )
        expected = sum(self.expected(run) for run in waiting) / MARGIN
        self._show(self.state, expected / room if expected else None)

    def _code(self) -> int:
        if signal.SIGINT in self._asked:
            return world.INTERRUPTED
        if self.state.waiting:
            return world.AGAIN
        return 1 if self.state.failed else 0

    def _say(self, event: str, name: str, told: str = "") -> None:
        self._tell(self._folder.log(event, name, told))

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Let a signal end the work when the running runs have ended; a second Ctrl-C at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGINT and number in self._asked:
                raise KeyboardInterrupt
            if not self._asked:
                self._folder.stop(self._mark)
                name = signal.Signals(number).name
                self._say("stop", self._study.name, f"{name}: runs end after their round")
            self._asked.append(number)

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, *WARNINGS)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def median(values: Sequence[float], otherwise: float) -> float:
    """The middle one of some values."""
    return sorted(values)[len(values) // 2] if values else otherwise
