"""Words that the user typed to start a command; a stand-in of a rank imports this too."""

words = ""
"""Such as ``mpidl run``; empty if it was started by ``python -m``."""


def program(prog: str) -> str:
    """The program in a usage line, with what the user typed in place of ``python -m mpidl.X``."""
    before, found, _ = prog.partition("python -m mpidl.")
    return before + words if found and words else prog
