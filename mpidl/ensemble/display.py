"""Display of an ensemble: one line for each event, and below them the counts of its runs."""

import sys
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mpidl.ensemble.ledger import State
from mpidl.run.console import clock


class Display:
    """Shows events as they come; on a terminal the last line says how far the study is.

    Args:
        runs: Number of runs of the study.
        brief: Whether to leave out how far it is.
    """

    def __init__(self, runs: int, brief: bool = False) -> None:
        self._runs, self._brief = runs, brief
        self._console = Console(highlight=False, soft_wrap=True)
        self._live = Live("", console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> "Display":
        if sys.stdout.isatty() and not self._brief:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._live.stop()

    def tell(self, line: str) -> None:
        """Show a line that stays."""
        self._console.print(Text(line))

    def show(self, state: State, left: float | None) -> None:
        """Show the counts of the runs, and the seconds left if they are known."""
        if self._live.is_started:
            time_left = f"  left {clock(left)}" if left is not None else ""
            self._live.update(Text(f"{self._runs} runs: {state}{time_left}"), refresh=True)
