"""Faults of users and of machines, with messages that say what is wrong and what is allowed."""

import argparse
import difflib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn

from mpidl.config import typed
from mpidl.config.outcome import Outcome

WIDTH = 80
"""Most characters of a value that a message shows."""


class Fault(ValueError):  # noqa: N818
    """A fault of the user, printed once by rank 0 before the program ends with exit code 2.

    Each sentence names the value that is wrong and what is allowed. Raise it only where every rank
    raises the same, or within :func:`mpidl.ranks.world.agreed`.

    Attributes:
        outcome: The outcome of a command that ends by it.
        device: The device that it was found at, if others may have the like: of such faults of all
            ranks, that of the lowest device is told. None for any other fault.
    """

    outcome = Outcome.REFUSED

    def __init__(self, *sentences: str, device: int | None = None) -> None:
        super().__init__("\n".join(sentences))
        self.sentences, self.device = sentences, device

    def lines(self) -> Iterator[str]:
        """The lines that a command prints: each sentence on one."""
        for sentence in self.sentences:
            yield f"mpidl: {printable(sentence)}"


class OwnError(Fault):
    """An error in the user's own code, told once, by its traceback from the code's first line on.

    It ends a command with exit code 1, and is raised where a :class:`Fault` may be raised.
    """

    outcome = Outcome.FAILED

    def lines(self) -> Iterator[str]:
        """The lines that a command prints: those of the traceback."""
        for sentence in self.sentences:
            yield from ("mpidl: an error in code of one's own", *sentence.splitlines())


class Breakdown(RuntimeError):  # noqa: N818
    """A fault of the machine, printed in one sentence by the rank that has it; it ends the job."""


def shown(value: object) -> str:
    """A value as a message shows it: on one line, cut if it is long."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 4]} ..."


def entry(values: Sequence[object], place: int) -> str:
    """A clause that names the wrong entry of a list; empty if the list has only one."""
    if len(values) < 2:
        return ""
    return f"; entry {place + 1:,} of {len(values):,} is {shown(values[place])}"


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause with the known name that is nearest to a wrong one, or with all known names."""
    known = sorted(known)
    match = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {match[0]!r}?" if match else f"known: {', '.join(known)}."


def printable(text: str) -> str:
    """A text on one line, with control characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def first_line(error: BaseException) -> str:
    """The first line of an error's text without the stop at its end; its type if it has no text."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def tell(fault: Fault) -> None:
    """Print a user's fault."""
    for line in fault.lines():
        print(line, file=sys.stderr, flush=True)


def command(work: Callable[[], int]) -> int:
    """Call the work of a command without MPI, and return its exit code.

    The code is that of ``work``, 2 after a user's fault, which is printed, 1 after an error in the
    user's own code, 130 after Ctrl-C, and 141 if the reader of the output has closed it.
    """
    try:
        return work()
    except Fault as fault:
        tell(fault)
        return fault.outcome.code
    except KeyboardInterrupt:
        return Outcome.INTERRUPTED.code
    except BrokenPipeError:
        # The reader has closed the output; the rest of the buffer must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        from mpidl.config.own_traceback import own_error

        own = own_error(error)
        if own is None:
            raise
        tell(own)
        return own.outcome.code


class _Version(argparse.Action):
    """Prints version and commit, which are only looked up when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from mpidl.config import version

        print(version.line())
        parser.exit()


class Parser(argparse.ArgumentParser):
    """A parser that raises a :class:`Fault`, so that all mistakes are printed once and alike.

    Attributes:
        offers: By argument, what a shell offers for it beside anything else that it may be.
    """

    def __init__(self, *, add_help: bool = True, **named: Any) -> None:
        super().__init__(add_help=False, **named)
        self.offers: dict[str, list[str]] = {}
        self.prog = typed.program(self.prog)
        if add_help:
            self.add_argument("-h", "--help", action="help", help="this text")
            text = "version and commit"
            self.add_argument("--version", action=_Version, nargs=0, help=text)

    def add_texts(self) -> None:
        """Add ``--help`` and ``--version`` as options whose :meth:`text` one rank can print."""
        self.add_argument("-h", "--help", action="store_true", help="this text")
        self.add_argument("--version", action="store_true", help="version and commit")

    def text(self, options: argparse.Namespace) -> str:
        """The text that ``--help`` or ``--version`` of :meth:`add_texts` asks for; else empty."""
        if options.help:
            return self.format_help()
        if not options.version:
            return ""
        from mpidl.config import version

        return f"{version.line()}\n"

    def add_use(self, inner: bool = False) -> None:
        """Add the option ``--use``, which names code of the user's own.

        Args:
            inner: Whether this is the parser of a command of a command, which has it too.
        """
        default: Any = argparse.SUPPRESS if inner else []
        help = "a file or a module with code of your own, loaded first; as often as needed"
        self.add_argument(
            "--use", action="append", default=default, metavar="FILE|MODULE", help=help
        )

    def add_quiet(self) -> None:
        """Add the option ``--quiet``, by which a command tells warnings and faults alone."""
        help = "tell warnings and faults alone: no progress, no summary"
        self.add_argument("--quiet", action="store_true", help=help)

    def error(self, message: str) -> NoReturn:
        """Raise a fault instead of printing on every rank."""
        command = self.prog.removeprefix("mpiexec -n N ")
        raise Fault(f"{message[:1].upper()}{message[1:]}; see {command} --help.")
