"""Console of a run, on rank 0: one line for each round, and a short table at the end."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mpidl.report import failures
from mpidl.run import terminal
from mpidl.storage import measured, schema
from mpidl.storage.round_values import SECONDS, spent

Array = npt.NDArray[Any]
Values = Mapping[str, Array]

SEEN = 0.005
"""Seconds below which a phase is not shown."""

LIGHT = 1e-3
"""Masses below which push-sum is named as a cause if a loss is not finite."""

PHASES = ("train", "weights", "wait", "exchange", "mix", "evaluate", "record")


class Display:
    """Shows the rounds on a terminal; without a terminal it prints one line for each round.

    Args:
        rounds: R.
        quiet: Whether to show nothing (on every rank but 0).
        first: The first round of this start.
        attackers: Devices whose accuracies are left out.
        hosts: Device to rank, ``(N,)``; None if each device has its own rank.
        brief: Whether to show warnings alone.
    """

    def __init__(
        self,
        rounds: int,
        quiet: bool,
        first: int = 0,
        attackers: Sequence[int] = (),
        hosts: npt.NDArray[np.int64] | None = None,
        brief: bool = False,
    ) -> None:
        self._rounds, self._quiet, self._first = rounds, quiet, first
        self._attackers, self._hosts = list(attackers), hosts
        self._lost, self._brief = False, brief
        width = None if quiet else terminal.columns()
        self.console = Console(
            quiet=quiet,
            # Names and messages of others are told as they are.
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=True,
            force_terminal=width is not None,
            width=width,
        )
        self._started = time.monotonic()
        self._last: Values = {}
        self._bar: Progress | None = None
        self._live: Live | None = None
        if self.console.is_terminal and not quiet and not brief:
            self._bar = Progress(
                TextColumn("round"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._task = self._bar.add_task("rounds", total=rounds, completed=first)
            self._live = Live(self._view(), console=self.console, refresh_per_second=4)
            self._live.start()

    def tell(self, what: "str | Table") -> None:
        """Show what is no warning."""
        if not self._brief:
            self.console.print(what)

    def watch(self, round_: int, values: Values) -> None:
        """Show one finished round; ``values`` holds ``(N,)`` or ``(N, C)`` for each series."""
        if self._quiet:
            return
        self._tell_lost(round_, values)
        honest = self._honest(values)
        self._last = {**self._last, **{k: v for k, v in honest.items() if not np.isnan(v).all()}}
        if self._brief:
            return
        taken = seconds(values, self._hosts)
        line = "  ".join(text for text in (scores(self._last), taken) if text)
        if self._bar is not None and self._live is not None:
            self._bar.update(self._task, completed=round_ + 1)
            self._live.update(self._view(line))
            return
        elapsed = time.monotonic() - self._started
        left = elapsed / (round_ + 1 - self._first) * (self._rounds - round_ - 1)
        parts = f"round {round_ + 1}/{self._rounds}", line, f"left {clock(left)}"
        self.console.print("  ".join(part for part in parts if part))

    def _honest(self, values: Values) -> Values:
        """The same values, without those of attackers on the test sets."""
        honest, tests = dict(values), tuple(f"{kind}_" for kind in schema.KINDS)
        for key in [key for key in honest if key.startswith(tests) and self._attackers]:
            honest[key] = honest[key].copy()
            honest[key][self._attackers] = np.nan
        return honest

    def _tell_lost(self, round_: int, values: Values) -> None:
        """Report once if a training loss is not finite."""
        lost = np.flatnonzero(values.get("finite", np.ones(1)) == 0)
        if len(lost) and not self._lost:
            self._lost = True
            named = failures.named(lost)
            warning = f"round {round_ + 1}: the training loss of {named} is not finite"
            self.console.print(warning + _light(values.get("mass"), lost))

    def _view(self, line: str = "starting") -> Group:
        return Group(self._bar or "", line)

    def close(self) -> None:
        """Restore the terminal."""
        if self._live is not None:
            self._live.stop()

    def failures(self) -> list[str]:
        """A sentence for each kind of failure to learn, of models with classes."""
        keys = [f"iid_class_accuracy_{moment}" for moment in ("mixed", "trained")]
        by_class = next((self._last[key] for key in keys if key in self._last), None)
        if by_class is None:
            return []
        losses = self._last.get("train_loss", np.full(len(by_class), np.nan)).copy()
        losses[self._attackers] = np.nan
        return failures.sentences(by_class, losses)

    def table(self, hops: Array) -> Table:
        """The last scores of all devices, by their distance from the OOD source."""
        honest = ~np.isin(np.arange(len(hops)), self._attackers)
        devices_text = "devices" if honest.all() else "devices that do not attack"
        table = Table(title=f"after the last round: mean over {devices_text} [min, max]")
        shown = tabled(self._last)
        table.add_column("hops from OOD data", no_wrap=True)
        for column in ("devices", *shown):
            table.add_column(column, justify="right")
        groups = [("all", honest)]
        if (hops >= 0).any():
            groups += [(_hops(h), honest & (hops == h)) for h in np.unique(hops)]
        for name, chosen in groups:
            nothing = np.full(len(hops), np.nan)
            cells = [
                spread(self._last.get(key, nothing)[chosen], column.endswith("accuracy"))
                for column, key in shown.items()
            ]
            table.add_row(name, str(int(chosen.sum())), *cells)
        return table


def _hops(hops: int) -> str:
    return {0: "0 (source)", -1: "never reached"}.get(int(hops), str(hops))


def tabled(values: Values) -> dict[str, str]:
    """The columns of the last table, each with its series: accuracies, or else losses.

    Args:
        values: For each series that has been measured, its last values.
    """
    found = {kind: measured.names(values, kind) for kind in schema.KINDS}
    if measured.chief(values) == "accuracy" or not any(found.values()):
        return {f"{kind.upper()} accuracy": own.get("accuracy", "") for kind, own in found.items()}
    return {f"{kind.upper()} loss": own["loss"] for kind, own in found.items() if "loss" in own}


def spread(values: Array, share: bool = True) -> str:
    """Mean, least and greatest of some accuracies, or of numbers that are no shares."""
    if not len(values) or np.isnan(values).all():
        return "-"
    three = float(np.nanmean(values)), float(np.nanmin(values)), float(np.nanmax(values))
    mean, low, high = (f"{value:.3f}" if share else f"{value:.3g}" for value in three)
    return f"{mean} [{low}, {high}]"


def _about(values: Array, name: str) -> str:
    """Mean ± standard deviation of a value over devices; accuracy goes without its name."""
    mean, deviation = np.nanmean(values), np.nanstd(values)
    if name == "accuracy":
        return f"{mean:.3f} ± {deviation:.3f}"
    return f"{name} {mean:.4g} ± {deviation:.2g}"


def scores(values: Values) -> str:
    """Mean ± standard deviation over devices of accuracies, or losses, and of a task's own values.

    Then the consensus distance, and with a described network the simulated seconds until the last
    device has ended.

    Args:
        values: For each series that has been measured, its last values, ``(N,)``.
    """
    parts = []
    for kind in schema.KINDS:
        found = measured.names(values, kind)
        if measured.chief(values) == "accuracy":
            found.pop("loss", None)
        if found:
            told = ", ".join(_about(values[key], name) for name, key in found.items())
            parts.append(f"{kind.upper()} {told}")
    if "consensus_distance" in values:
        distance = np.sqrt(np.nanmean(values["consensus_distance"] ** 2))
        parts.append(f"consensus {distance:.3g}")
    if values.get("simulated_seconds", np.zeros(1)).max() > 0:
        parts.append(f"simulated {values['simulated_seconds'].max():,.4g} s")
    return "  ".join(parts)


def seconds(values: Values, hosts: npt.NDArray[np.int64] | None = None) -> str:
    """Seconds of each phase on the slowest rank, without phases that are too short to show.

    They add up to the round: a rank's are those of all devices that it hosts; see
    :func:`mpidl.storage.round_values.spent`.

    Args:
        values: For each series its values in the round, ``(N,)``.
        hosts: Device to rank, ``(N,)``; None if each device has its own rank.
    """
    series = {f"{SECONDS}{phase}": values[f"{SECONDS}{phase}"] for phase in PHASES}
    hosts = np.arange(len(next(iter(series.values())))) if hosts is None else hosts
    slowest = spent({key: taken[None] for key, taken in series.items()}, hosts)
    shown = [f"{phase} {taken[0]:.2f}" for phase, taken in slowest.items() if taken[0] >= SEEN]
    return " ".join([*shown, "s"]) if shown else ""


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours = f"{minutes // 60}:{minutes % 60:02}" if minutes >= 60 else f"{minutes}"
    return f"{hours}:{rest:02}"


def _light(mass: Array | None, devices: Array) -> str:
    """A clause that push-sum divides by tiny masses, if it does."""
    if mass is None or not (mass[devices] < LIGHT).any():
        return ""
    least = np.nanmin(mass[devices])
    return (
        f", and push_sum divides by masses as small as {least:.1g}: use more even weights, as with "
        "a higher strategy.temperature, or algorithm.steps = 'by_mass' if no mass is 0"
    )
