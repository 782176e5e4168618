"""The outcome of a run: its exit code, and what it says then."""

from collections.abc import Iterable
from enum import Enum
from pathlib import Path


class Outcome(Enum):
    """How a run ends; commands that start runs end with the same exit codes.

    Attributes:
        code: The exit code.
    """

    COMPLETED = 0, "results in {path}"
    """After its last round."""

    FAILED = 1, ""
    """By a fault of the program's, whose traceback says all."""

    UNSAVED = (
        1,
        "stopped, as no checkpoint can be written ({trouble}); the rounds so far are in {path}; "
        "--resume goes on",
    )
    """As its state cannot be saved."""

    REFUSED = 2, ""
    """By a fault of the user's, whose sentences say all."""

    DIVERGED = 3, "stopped, as training.nonfinite says; the rounds so far are in {path}"
    """As a loss is not finite."""

    STOPPED = 75, "interrupted; the rounds so far are in {path}; --resume goes on"
    """As a signal or the end of its time asked for; it wants to be started again."""

    INTERRUPTED = 130, "interrupted; the rounds so far are in {path}; --resume goes on"
    """As Ctrl-C asked for; the code is the one that shells have."""

    def __init__(self, code: int, words: str) -> None:
        self.code, self._words = code, words

    def told(self, path: Path, trouble: str = "") -> str:
        """What a run says at its end.

        Args:
            path: The results file.
            trouble: Why no checkpoint can be written, where that is so.
        """
        return self._words.format(path=path, trouble=trouble)


def asked(codes: Iterable[float]) -> Outcome | None:
    """What all ranks end with, where each wants to stop with an exit code, or 0 to go on.

    Ctrl-C counts most; None where nobody wants to stop.
    """
    found = int(max(codes))
    return next((o for o in (Outcome.STOPPED, Outcome.INTERRUPTED) if o.code == found), None)
