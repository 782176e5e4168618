"""The terminal of the user, behind that of a launcher."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

LAUNCHER = """
import ctypes, os, pty, subprocess, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
leader, follower = pty.openpty()
words = [sys.executable, "-c", "import sys; from mpidl.run import terminal; "
         "print(sys.stdout.isatty(), terminal.columns(), file=sys.stderr)"]
subprocess.run(words, stdout=follower, check=True)
"""
"""A launcher of a name that gives its rank a terminal of its own, as Open MPI's do."""


@pytest.mark.skipif(sys.platform != "linux", reason="not Linux")
@pytest.mark.parametrize(
    ("name", "watched", "want"),
    [("prterun", 93, "93"), ("prterun", 0, "80"), ("prterun", None, "None"), ("prted", 93, "None")],
)
def test_the_terminal_that_a_launcher_gives_is_not_the_users(tmp_path, name, watched, want):
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, watched or 0, 0, 0))
    with (tmp_path / "out").open("w") as file:
        told = subprocess.run(
            [sys.executable, "-c", LAUNCHER, name],
            stdout=file if watched is None else follower,
            stderr=subprocess.PIPE,
            text=True,
        )
    os.close(leader)
    os.close(follower)
    assert told.stderr.splitlines() == [f"True {want}"]
