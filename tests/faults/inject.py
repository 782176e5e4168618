"""A run that pauses at one call of one rank, so that a fault can be done to it just there.

As ``python inject.py PLACE RANK CALL FOLDER ...``: with its ``CALL``-th call (from 0) of ``PLACE``,
such as ``mpidl.devices.device:Device.train``, rank ``RANK`` writes its process into
``FOLDER/paused`` and waits for ``FOLDER/go``; once it hears a signal, ``FOLDER/heard`` is there.
The rest are arguments of ``mpidl.run``.
"""

import itertools
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path

from mpidl.ranks import host, standin, stopping

place, rank, call = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
folder = Path(sys.argv[4])
del sys.argv[1:5]


def pause():
    """Stay here until the test says go."""
    draft = folder / "pausing"
    draft.write_text(str(os.getpid()))
    draft.rename(folder / "paused")
    while not (folder / "go").exists():
        if stopping.asked:
            (folder / "heard").touch()
        time.sleep(0.02)


def patch():
    """Put the pause in front of the call."""
    module, _, names = place.partition(":")
    holder = import_module(module)
    *path, name = names.split(".")
    for part in path:
        holder = getattr(holder, part)
    real, calls = getattr(holder, name), itertools.count()

    def paused(*arguments, **keywords):
        if (host.first_number(host.RANKED) or 0) == rank and next(calls) == call:
            pause()
        return real(*arguments, **keywords)

    setattr(holder, name, paused)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    standin.fork_from_one("mpidl.run.command")
    from mpidl.run import command

    patch()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    standin.end_with(command.main)
