"""Launching of a run on several ranks from a program that has one: mpiexec, its output, its end."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from mpidl.config.faults import Breakdown, Fault
from mpidl.config.outcome import Outcome
from mpidl.ranks import host, launcher
from mpidl.ranks.importer import PR_SET_PDEATHSIG

PACKAGES = Path(__file__).parents[2]
"""The folder from which mpidl is imported."""

SHOWN = 40
"""Most lines of errors that an exception has."""


def launch(ranks: int, arguments: Sequence[str], show: Callable[[str], None]) -> Outcome:
    """Run ``mpidl.run`` under mpiexec, and return its outcome.

    Args:
        ranks: Number of ranks.
        arguments: The arguments of the command.
        show: Called with each line that it prints.

    Raises:
        Fault: If it refuses the run, or there is no mpiexec.
        Breakdown: If it fails; the message has its traceback.
        KeyboardInterrupt: After Ctrl-C, when it has ended.
    """
    mpiexec = host.mpiexec()
    if mpiexec is None:
        raise Fault("ranks: there is no mpiexec on the path, which would start them.")
    command = [mpiexec, "-n", str(ranks), sys.executable, "-m", "mpidl.run", *arguments]
    path = os.pathsep.join(filter(None, [str(PACKAGES), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        command,
        env={**host.unlaunched(os.environ), "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C in a terminal comes to this program alone, which passes it on.
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )
    errors: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    listener = threading.Thread(target=errors.extend, args=[process.stderr], daemon=True)
    listener.start()
    with process:
        try:
            interrupted = _follow(mpiexec, process, process.stdout, show)
            listener.join()
        finally:
            if process.poll() is None:
                process.kill()
    if interrupted or process.returncode == Outcome.INTERRUPTED.code:
        raise KeyboardInterrupt
    return _outcome(process.returncode, [line.rstrip("\n") for line in errors])


def _follow(
    mpiexec: str,
    process: "subprocess.Popen[str]",
    lines: IO[str],
    show: Callable[[str], None],
) -> bool:
    """Show what a process prints until it ends; whether it was asked to end by Ctrl-C."""
    interrupted = False
    while True:
        try:
            for line in lines:
                show(line.rstrip("\n"))
            process.wait()
            return interrupted
        except KeyboardInterrupt:
            interrupted = True
            process.send_signal(launcher.request(mpiexec))


def _end_with_parent() -> None:
    """Let the kernel end mpiexec, and so its ranks, when this program ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _outcome(code: int, errors: list[str]) -> Outcome:
    """The outcome of a command with an exit code, which is raised if it is a fault."""
    told = [line.removeprefix("mpidl: ") for line in errors if line.startswith("mpidl: ")]
    if code == Outcome.REFUSED.code and told:
        raise Fault(*told)
    known = Outcome.COMPLETED, Outcome.DIVERGED, Outcome.STOPPED
    outcome = next((one for one in known if one.code == code), None)
    if outcome is None:
        last = "\n".join(errors[-SHOWN:])
        raise Breakdown(f"mpiexec ended with exit code {code}:\n{last}")
    return outcome
