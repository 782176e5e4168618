"""What a run shows on rank 0: a line a round, and a short table at the end."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

Values = Mapping[str, npt.NDArray[Any]]
PHASES = ("train", "wait", "exchange", "mix", "evaluate", "record")


class Display:
    """Follows the rounds on a terminal, or prints a plain line a round where there is none.

    Args:
        rounds: R.
        quiet: Show nothing (every rank but 0).
    """

    def __init__(self, rounds: int, quiet: bool) -> None:
        self._rounds, self._quiet = rounds, quiet
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=True)
        self._started = time.monotonic()
        self._last: Values = {}
        self._bar: Progress | None = None
        self._live: Live | None = None
        if self.console.is_terminal and not quiet:
            self._bar = Progress(
                TextColumn("round"),
                MofNCompleteColumn(),
                BarColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[told]}"),
                console=self.console,
            )
            self._task = self._bar.add_task("rounds", total=rounds, told="")
            self._live = Live(self._bar, console=self.console, refresh_per_second=4)
            self._live.start()

    def watch(self, round_: int, values: Values) -> None:
        """Show one finished round; ``values`` holds ``(N,)`` for each scalar series."""
        self._last = {**self._last, **{k: v for k, v in values.items() if not np.isnan(v).all()}}
        if self._quiet:
            return
        told = summary(values)
        if self._bar is not None:
            self._bar.update(self._task, completed=round_ + 1, told=told)
            return
        elapsed = time.monotonic() - self._started
        left = elapsed / (round_ + 1) * (self._rounds - round_ - 1)
        self.console.print(f"round {round_ + 1}/{self._rounds}  {told}  left {clock(left)}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()

    def table(self, hops: npt.NDArray[np.int64]) -> Table:
        """The last scores of all devices, by their distance from the OOD source."""
        table = Table(title=r"after the last round: mean over devices \[min, max]")
        moment = "mixed" if "iid_accuracy_mixed" in self._last else "trained"
        table.add_column("hops from OOD data", no_wrap=True)
        for column in ("devices", "IID accuracy", "OOD accuracy"):
            table.add_column(column, justify="right")
        groups = [("all", np.ones(len(hops), bool))]
        if (hops >= 0).any():
            groups += [(_hops(h), hops == h) for h in np.unique(hops)]
        for name, chosen in groups:
            cells = [
                spread(
                    self._last.get(f"{kind}_accuracy_{moment}", np.full(len(hops), np.nan))[chosen]
                )
                for kind in ("iid", "ood")
            ]
            table.add_row(name, str(int(chosen.sum())), *cells)
        return table


def _hops(hops: int) -> str:
    return {0: "0 (source)", -1: "never reached"}.get(int(hops), str(hops))


def spread(values: npt.NDArray[Any]) -> str:
    """Mean, least and greatest of some accuracies."""
    if not len(values) or np.isnan(values).all():
        return "-"
    return f"{np.nanmean(values):.3f} [{np.nanmin(values):.3f}, {np.nanmax(values):.3f}]"


def summary(values: Values) -> str:
    """One line of a round: accuracies, consensus distance, seconds by phase of the slowest rank."""
    parts = []
    for kind in ("iid", "ood"):
        for moment in ("mixed", "trained"):
            found = values[f"{kind}_accuracy_{moment}"]
            if not np.isnan(found).all():
                parts.append(f"{kind.upper()} {np.nanmean(found):.3f} ± {np.nanstd(found):.3f}")
                break
    distance = values["consensus_distance"]
    if not np.isnan(distance).all():
        parts.append(f"consensus {np.sqrt(np.nanmean(distance**2)):.3g}")
    seconds = [f"{phase} {values[f'seconds_{phase}'].max():.2f}" for phase in PHASES]
    return "  ".join([*parts, " ".join(seconds) + " s"])


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
