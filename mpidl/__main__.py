"""Command ``mpidl``, which starts the others: ``mpidl run`` is ``python -m mpidl.run``.

Ranks and their stand-ins import this file, so it imports what it needs when it needs it.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from mpidl.commands import COMMANDS, HELP, VERSION, Command
from mpidl.config import typed


def script() -> int:
    """The console script; it imports from the current folder, as ``python -m`` does."""
    if not sys.flags.safe_path:
        with suppress(OSError):
            sys.path[0] = os.getcwd()
    return main(sys.argv[1:])


def main(arguments: Sequence[str]) -> int:
    """Start a command, which ends this process with its exit code, or print what there is.

    It returns 0 after it has printed, and 2 for a user's fault.
    """
    name, *words = arguments or HELP[:1]
    if name in COMMANDS:
        start(name, words)
    if name not in (*HELP, VERSION):
        return _refuse(name)
    from mpidl.ranks import host

    if host.leads():
        print(text() if name in HELP else _version(), flush=True)
    return 0


def start(name: str, words: Sequence[str]) -> None:
    """Start a command with some arguments, in the place of this one."""
    import runpy

    command = COMMANDS[name]
    typed.words = " ".join(["mpidl", name][: 1 if _nested(command) else 2])
    sys.argv[1:] = [*command.words, *words]
    runpy.run_module(command.module, run_name="__main__", alter_sys=True)


def _nested(command: Command) -> bool:
    """Whether it is a command of a command, whose parser adds its name by itself."""
    return bool(command.words) and not command.words[0].startswith("-")


def text() -> str:
    """The list of all commands."""
    lines = [f"  {name:10}  {command.about}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: mpidl COMMAND ...",
            "       mpiexec -n N mpidl run|check|bench|doctor ...",
            "",
            "Decentralized learning over MPI.",
            "",
            *lines,
            "",
            "mpidl COMMAND --help says more of each; mpidl --version tells version and commit.",
        ]
    )


def _version() -> str:
    from mpidl.config import version

    return version.line()


def _refuse(name: str) -> int:
    from mpidl.config.faults import Fault, nearest, tell
    from mpidl.ranks import host

    fault = Fault(f"Unknown command {name!r}; {nearest(name, (*COMMANDS, '--help', VERSION))}")
    if host.launched() > 1:
        from mpidl.ranks import world

        world.refuse(fault)
    tell(fault)
    return fault.outcome.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
