"""One run, from plan to file; ``python -m mpidl.run``."""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Collective. Run the command and return its exit code; see :func:`mpidl.run.command.main`."""
    # Imported when called, as every stand-in of a rank imports this file.
    from mpidl.run import command

    return command.main(arguments)
