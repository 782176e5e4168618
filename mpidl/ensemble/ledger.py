"""Ledger of a study's runs, which are counted, logged, tried again or given up."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mpidl.config.outcome import Outcome as Ending
from mpidl.ensemble import launchers
from mpidl.ensemble.cost import MARGIN
from mpidl.ensemble.folder import Attempt, Folder, finished, record, rounds
from mpidl.ensemble.study import Run
from mpidl.ensemble.worker import Outcome
from mpidl.storage import results_file

LOST = 5
"""Times that a run may lose its worker without progress before it counts as failed."""

LINES = 12
"""Lines of a failed run's output that are shown."""

PROGRESS = ("begin", "start", "done", "end")
"""Events by which a study goes on as it should."""

FINAL = (Ending.REFUSED.code, Ending.DIVERGED.code)
"""Exit codes of runs that are not tried again, as a second attempt would end alike."""


@dataclass
class State:
    """Counts of the runs of a study."""

    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"waiting {self.waiting}  running {self.running}  done {self.done}"
        return f"{counts}  failed {len(self.failed)}"


class Ledger:
    """Keeps account of the runs of a study.

    Args:
        folder: The folder of the study.
        estimates: Expected seconds of each run, by name, as far as they are known.
        retries: Attempts after the first one.
        show: Shows a line.
        brief: Whether to leave out the events of :data:`PROGRESS`.

    Attributes:
        state: The counts of the runs.
    """

    def __init__(
        self,
        folder: Folder,
        estimates: Mapping[str, float],
        retries: int,
        show: Callable[[str], None],
        brief: bool = False,
    ) -> None:
        self._folder, self._estimates, self._retries = folder, estimates, retries
        self._show, self._brief = show, brief
        self._attempts, self._losses = Counter[str](), Counter[str]()
        self._got: dict[str, int] = {}
        before = finished(folder.attempts()).values()
        self._took = [attempt.seconds for attempt in before]
        self._ratios = [
            attempt.seconds / attempt.estimate for attempt in before if attempt.estimate
        ]
        self._learn()
        self.state = State()

    def expected(self, run: Run) -> float | None:
        """Seconds that a run takes at most: its estimate, corrected by the runs that have ended.

        Without an estimate it is the median time of the runs that have ended, or None.
        """
        known = self._estimates.get(run.name)
        likely = self._usual if known is None else self._ratio * known
        return None if likely is None else MARGIN * likely

    def _learn(self) -> None:
        self._usual = median(self._took) if self._took else None
        self._ratio = median(self._ratios) if self._ratios else 1.0

    def say(self, event: str, name: str, text: str = "") -> None:
        """Log an event, and show it."""
        line = self._folder.log(event, name, text)
        if not (self._brief and event in PROGRESS):
            self._show(line)

    def done(self, run: Run) -> bool:
        """Whether the results file of a run is completed."""
        return results_file.completed(self._folder.results(run.name))

    def begin(self, runs: Sequence[Run]) -> list[Run]:
        """Count the runs, and return those that are not done."""
        left = [run for run in runs if not self.done(run)]
        self.state.done, self.state.waiting = len(runs) - len(left), len(left)
        return left

    def hand_over(self) -> None:
        """Count a waiting run as running."""
        self.state.waiting -= 1
        self.state.running += 1

    def put_back(self) -> bool:
        """Count a running run as waiting; False, as it is not over."""
        self.state.running -= 1
        self.state.waiting += 1
        return False

    def lose(self, run: Run, why: str) -> bool:
        """Record that a run's worker is gone, or is silent, and return whether the run is over."""
        got, before = rounds(self._folder.results(run.name)), self._got.get(run.name, 0)
        # A run that makes progress comes to its end, however often its nodes are taken away.
        self._losses[run.name] = 1 if got > before else self._losses[run.name] + 1
        self._got[run.name] = got
        self.say("lost", run.name, why)
        if self.done(run):
            over = self._finish()
            self.say("done", run.name, str(self.state))
            return over
        return self._give_up(run) if self._losses[run.name] >= LOST else self.put_back()

    def judge(self, run: Run, outcome: Outcome, stopping: bool) -> bool:
        """Record the outcome of an attempt, and return whether the run is over.

        Args:
            run: The run.
            outcome: The outcome of the attempt.
            stopping: Whether runs were asked to stop.
        """
        name, code, done = run.name, outcome.code, self.done(run)
        if outcome.asked and code is not None and launchers.stopped(code, done):
            outcome = replace(outcome, code=Ending.STOPPED.code)
        self._attempts[name] += 1
        self._keep(run, outcome)
        text = f"{outcome.seconds:.1f} s on {outcome.host}, slot {outcome.slot}"
        if done:
            self._took.append(outcome.seconds)
            if name in self._estimates:
                self._ratios.append(outcome.seconds / self._estimates[name])
                text += f", expected {self._estimates[name]:.1f}"
            self._learn()
            if outcome.code:
                text += f", exit code {outcome.code} after its end"
            over = self._finish()
            self.say("done", name, f"{text}; {self.state}")
            return over
        if stopping or outcome.code == Ending.STOPPED.code:
            self._attempts[name] -= 1
            self.say("stopped", name, text)
            return self.put_back()
        attempt = f"attempt {self._attempts[name]}, exit code {outcome.code}"
        self.say("fault", name, f"{attempt}, {text}")
        again = outcome.code not in FINAL and self._attempts[name] <= self._retries
        return self.put_back() if again else self._give_up(run)

    def _finish(self) -> bool:
        self.state.running -= 1
        self.state.done += 1
        return True

    def _give_up(self, run: Run) -> bool:
        self.state.running -= 1
        self.state.failed.append(run.name)
        self.say("failed", run.name, f"for good; {self._folder.logs / run.name}.txt ends so:")
        for line in self._folder.last_words(run.name, LINES):
            self._show(self._folder.quote(line))
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


def median(values: Sequence[float]) -> float:
    """The median; the upper of the two middle values if their number is even."""
    return sorted(values)[len(values) // 2]
