"""Command ``python -m mpidl.run``, on a rank or its stand-in."""

import signal

# While modules load, Ctrl-C ends a rank without a traceback, and requests to stop are recorded.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from mpidl.ranks import stopping  # noqa: E402

stopping.listen(*stopping.WARNINGS)

from mpidl.ranks import standin  # noqa: E402

standin.fork_from_one("mpidl.run.command")

from mpidl.run.command import main  # noqa: E402

signal.signal(signal.SIGINT, signal.default_int_handler)
standin.end_with(main)
