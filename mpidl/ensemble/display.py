"""The display of an ensemble: a line an event, and below them where the runs are."""

import sys
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mpidl.ensemble.ledger import State
from mpidl.run.console import clock


class Display:
    """Shows events as they come; on a terminal a last line tells how far a study is.

    Args:
        runs: Of the study.
    """

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._console = Console(highlight=False, soft_wrap=True)
        self._live = Live("", console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> "Display":
        if sys.stdout.isatty():
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
        """Show a line for good."""
        self._console.print(Text(line))

    def show(self, state: State, left: float | None) -> None:
        """Show where the runs are, and the seconds left if they are known."""
        if self._live.is_started:
            told = f"  left {clock(left)}" if left is not None else ""
            self._live.update(Text(f"{self._runs} runs: {state}{told}"), refresh=True)
