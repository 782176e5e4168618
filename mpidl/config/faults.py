"""A user's fault: what was wrong, in sentences a person can act on."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from mpidl.config.outcome import Outcome

WIDTH = 80
"""Characters of a value that a sentence shows."""


class Fault(ValueError):  # noqa: N818
    """A fault of the user's, told once from rank 0 before the program ends with exit code 2.

    Each sentence names the value that was wrong and what is allowed. Raise it only where every
    rank raises the same, or raise it within :func:`mpidl.ranks.world.agreed`.
    """

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


class Breakdown(RuntimeError):  # noqa: N818
    """A fault of the machine's, told in one sentence by the rank that has it; it ends the job."""


def shown(value: object) -> str:
    """A value as a sentence shows it: on one line, and cut where it is long."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 4]} ..."


def entry(values: Sequence[object], place: int) -> str:
    """Which entry of a list is wrong, to follow a sentence; nothing where there is only one."""
    if len(values) < 2:
        return ""
    return f"; entry {place + 1:,} of {len(values):,} is {shown(values[place])}"


def printable(text: str) -> str:
    """A text on one line, with escapes for what would do something to a terminal or a file."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def tell(fault: Fault) -> None:
    """Print the sentences of a user's fault, each on one line whatever it quotes."""
    for sentence in fault.sentences:
        print(f"mpidl: {printable(sentence)}", file=sys.stderr, flush=True)


def command(work: Callable[[], int]) -> int:
    """Do what a command without MPI does; its exit code.

    It is what ``work`` returns, 2 after a user's fault, which is told, 130 after Ctrl-C, and 141
    where nobody reads on.
    """
    try:
        return work()
    except Fault as fault:
        tell(fault)
        return Outcome.REFUSED.code
    except KeyboardInterrupt:
        return Outcome.INTERRUPTED.code
    except BrokenPipeError:
        # Whoever reads has seen enough; what is still in the buffer must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


class _Version(argparse.Action):
    """Prints version and commit; they are not looked for unless they are asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from mpidl.config import version

        print(version.told())
        parser.exit()


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is a :class:`Fault`, so that it is told once and in one way."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.add_help:
            told = "version and commit"
            self.add_argument("--version", action=_Version, nargs=0, help=told)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing on every rank."""
        command = self.prog.removeprefix("mpiexec -n N ")
        raise Fault(f"{message[:1].upper()}{message[1:]}; see {command} --help.")
