"""Live logging of a run's series on rank 0, which neither delays a run nor ends it."""

import queue
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components.loggers import LOGGERS, Logged, Logger
from mpidl.config.faults import Fault
from mpidl.config.own_traceback import own_error
from mpidl.plan import Plan
from mpidl.storage.round_values import SECONDS, spent

Array = npt.NDArray[Any]
Values = Mapping[str, Array]
Tell = Callable[[str], None]
Watch = Callable[[int, Values], None]

PATIENCE = 60.0
"""Seconds that loggers have at the end for what they have not sent yet."""


class LiveLog:
    """Hands the rounds of a run to its loggers, in a thread of its own.

    A logger that fails is told once, and left out from then on.

    Args:
        names: The loggers; none on ranks that log nothing.
        run: The run.
        hosts: Device to rank, ``(N,)``.
        attackers: Devices that attack.
        tell: Prints a warning.

    Attributes:
        completed: Whether the run is completed, which loggers hear at the end.
    """

    def __init__(
        self, names: Sequence[str], run: Logged, hosts: Array, attackers: Sequence[int], tell: Tell
    ) -> None:
        self._hosts, self._attackers, self._tell = hosts, attackers, tell
        self.completed = False
        self._loggers: dict[str, Logger] = {}
        self._troubles: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._rounds: queue.SimpleQueue[tuple[int, Mapping[str, float]] | None]
        self._rounds = queue.SimpleQueue()
        for name in names:
            self._try(name, partial(self._open, name, run))
        self._say()
        self._thread = threading.Thread(target=self._work, daemon=True) if self._loggers else None
        if self._thread is not None:
            self._thread.start()

    def _open(self, name: str, run: Logged) -> None:
        self._loggers[name] = LOGGERS.call(name, run)

    def watch(self, round_: int, values: Values) -> None:
        """Log one finished round; ``values`` holds ``(N,)`` or ``(N, C)`` for each series."""
        if self._thread is not None:
            self._rounds.put((round_ + 1, summary(values, self._hosts, self._attackers)))
            self._say()

    def close(self) -> None:
        """Close the loggers, which may send what is left for a while."""
        if self._thread is not None:
            self._rounds.put(None)
            self._thread.join(PATIENCE)
            if self._thread.is_alive():
                self._troubles.put(f"record.log: loggers do not end within {PATIENCE:.0f} s")
            self._thread = None
        self._say()

    def _work(self) -> None:
        while (item := self._rounds.get()) is not None:
            round_, values = item
            for name, logger in list(self._loggers.items()):
                self._try(name, partial(logger.log, round_, values))
        for name, logger in list(self._loggers.items()):
            self._try(name, partial(logger.close, self.completed))

    def _try(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except (Exception, SystemExit) as error:  # packages of others raise anything
            self._loggers.pop(name, None)
            self._troubles.put(_told(name, error))

    def _say(self) -> None:
        while not self._troubles.empty():
            self._tell(self._troubles.get())


def _told(name: str, error: BaseException) -> str:
    """What is said of a logger that fails; of one's own its traceback."""
    if (own := own_error(error)) is not None:
        return "\n".join([f"record.log: {name} failed and logs nothing more:", *own.lines()])
    if isinstance(error, Fault):
        return f"{error} It logs nothing."
    words = " ".join(str(error).split()) or "no reason given"
    return f"record.log: {name} failed and logs nothing more ({type(error).__name__}: {words})"


def both(first: Watch, second: Watch) -> Watch:
    """A function that calls two functions with each finished round."""

    def watch(round_: int, values: Values) -> None:
        first(round_, values)
        second(round_, values)

    return watch


def logged(plan: Plan, path: Path, first: int) -> Logged:
    """The run of a plan, for its loggers.

    Args:
        plan: The plan of the run.
        path: Its results file.
        first: The rounds that are done.
    """
    return Logged(path, plan.file.name, settings(plan.file.text()), first)


def settings(text: str) -> dict[str, Any]:
    """The settings of a resolved run file by ``section.key``, without those that are unset."""
    return {
        f"{section}.{key}": value
        for section, table in tomllib.loads(text).items()
        if isinstance(table, Mapping)
        for key, value in table.items()
    }


def summary(values: Values, hosts: Array, attackers: Sequence[int] = ()) -> dict[str, float]:
    """Numbers of one round for people.

    Of seconds of phases those of the slowest rank, of bytes the sum over all devices, of simulated
    seconds the largest; of everything else mean and least of all devices that do not attack.
    Numbers that were not measured in the round are left out.

    Args:
        values: For each series the values of all devices, ``(N,)`` or ``(N, C)``.
        hosts: Device to rank, ``(N,)``.
        attackers: Devices that attack.
    """
    honest = ~np.isin(np.arange(len(hosts)), list(attackers))
    timed = {key: taken[None] for key, taken in values.items() if key.startswith(SECONDS)}
    found = {f"{SECONDS}{phase}": float(taken[0]) for phase, taken in spent(timed, hosts).items()}
    for key, series in values.items():
        if series.ndim > 1 or key in timed or key == "finite":
            continue
        known = series[honest & ~np.isnan(series)]
        if not len(known):
            continue
        if key.startswith("bytes_"):
            found[key] = float(np.nansum(series))
        elif key == "simulated_seconds":
            found[key] = float(np.nanmax(series))
        else:
            found |= {f"{key}/mean": float(known.mean()), f"{key}/min": float(known.min())}
    return found
