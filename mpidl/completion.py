"""Command that prints a script by which a shell completes commands, options and files.

python -m mpidl.completion bash|zsh|fish
"""

import argparse
import io
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path
from typing import cast

from mpidl.commands import COMMANDS, HELP, VERSION, Command
from mpidl.config.faults import Fault, Parser, command

SHELLS = ("bash", "zsh", "fish")


def parser() -> Parser:
    """The command line of ``python -m mpidl.completion``."""
    parser = Parser(
        prog="python -m mpidl.completion",
        description="Print a script that lets a shell complete what follows mpidl.",
        epilog="Exit codes: 0 done, 2 wrong input.",
    )
    text = f"the shell that reads the script: {', '.join(SHELLS)}"
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=text)
    return parser


def whole() -> ArgumentParser:
    """A parser of ``mpidl`` with those of all commands, as far as what they need is installed."""
    parser = ArgumentParser(prog="mpidl", add_help=False)
    parser.add_argument(*HELP, action="store_true", help="the list of all commands")
    parser.add_argument(VERSION, action="store_true", help="version and commit")
    commands = parser.add_subparsers()
    for name, one in COMMANDS.items():
        own = _own(one)
        parents = [] if own is None else [own]
        added = commands.add_parser(name, help=one.about, parents=parents, add_help=own is None)
        offers = own.offers if isinstance(own, Parser) else {}
        for action in added._actions:
            _complete(action, offers.get(action.dest))
    return parser


def _own(one: Command) -> ArgumentParser | None:
    """The parser of a command; None if what it needs is not installed."""
    try:
        # What is missing is told by the command itself.
        with redirect_stderr(io.StringIO()):
            found: ArgumentParser = import_module(one.parser).parser()
    except (ImportError, SystemExit):
        return None
    for action in found._actions:
        if one.words and isinstance(action, argparse._SubParsersAction):
            return cast(ArgumentParser, action.choices[one.words[0]])
    return found


def _complete(action: argparse.Action, offers: Sequence[str] | None) -> None:
    """Let an argument be completed by what is offered for it, or as a file or a folder."""
    import shtab

    told = str(action.metavar)
    if offers is not None:
        action.choices = offers
    elif told == "DIR":
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    elif action.type is Path or {"FILE", "RUN", "SITE"} & {*told.split("|")}:
        action.complete = shtab.FILE  # type: ignore[attr-defined]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 done, 2 the user's fault."""

    def work() -> int:
        options = parser().parse_args(arguments)
        try:
            import shtab
        except ModuleNotFoundError:
            raise Fault("Scripts are made by shtab: pip install 'mpidl[completion]'.") from None
        print(shtab.complete(whole(), options.shell), flush=True)
        return 0

    return command(work)


if __name__ == "__main__":
    sys.exit(main())
