"""Outcomes of a run, with their exit codes and messages."""

from collections.abc import Iterable
from enum import Enum
from pathlib import Path


class Outcome(Enum):
    """Outcome of a run; commands that start runs end with the same exit codes.

    Attributes:
        code: The exit code.
    """

    COMPLETED = 0, "results in {path}"
    """After its last round."""

    FAILED = 1, ""
    """By a fault of the program, which prints a traceback."""

    UNSAVED = (
        1,
        "stopped, as no checkpoint can be written ({trouble}); the rounds so far are in {path}; "
        "--resume goes on",
    )
    """Its state cannot be saved."""

    REFUSED = 2, ""
    """By a fault of the user, which prints its sentences."""

    DIVERGED = 3, "stopped, as training.nonfinite says; the rounds so far are in {path}"
    """A loss is not finite."""

    STOPPED = 75, "interrupted; the rounds so far are in {path}; --resume goes on"
    """Stopped by a signal or at the end of its time; it is to be started again."""

    INTERRUPTED = 130, "interrupted; the rounds so far are in {path}; --resume goes on"
    """Stopped by Ctrl-C; the code is that of shells."""

    def __init__(self, code: int, words: str) -> None:
        self.code, self._words = code, words

    def message(self, path: Path, trouble: str = "") -> str:
        """The message of a run at its end.

        Args:
            path: The results file.
            trouble: The reason if no checkpoint can be written.
        """
        return self._words.format(path=path, trouble=trouble)


def joint(codes: Iterable[float]) -> Outcome | None:
    """The outcome of all ranks, each of which asks to stop with an exit code, or has 0 to go on.

    Ctrl-C has precedence; None if no rank asks to stop.
    """
    code = int(max(codes))
    return next((o for o in (Outcome.STOPPED, Outcome.INTERRUPTED) if o.code == code), None)
