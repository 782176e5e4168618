"""Probes: parts of an installation, examined in a process of its own, which may die of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mpidl.config.faults import Fault, first_line
from mpidl.doctor import finding
from mpidl.doctor.finding import Finding
from mpidl.ranks import host

PATIENCE = 120.0
"""Seconds after which a probe counts as hanging."""

PACKAGES = Path(__file__).parents[2]
"""The folder from which mpidl is imported."""


def guarded(part: str, examine: Callable[[], Finding]) -> Finding:
    """What an examination finds; if it fails, that it does."""
    try:
        return examine()
    except Fault as fault:
        return Finding(part, "does not work", fault.sentences)
    except ImportError as error:
        remedy = f"pip install --force-reinstall {(error.name or 'mpidl').partition('.')[0]}"
        sentence = f"{part} cannot be examined ({first_line(error)}): {remedy}."
    except Exception as error:
        sentence = f"{part} cannot be examined ({type(error).__name__}: {first_line(error)})."
    return Finding(part, "cannot be examined", (sentence,))


def apart(parts: Sequence[str]) -> list[Finding]:
    """What examinations find in a process of their own, outside of any launcher.

    Where the process dies of a part, another one goes on with the next.
    """
    found = list[Finding]()
    while rest := parts[len(found) :]:
        ended = run(words(*rest))
        told = [finding.read(line) for line in ended.stdout.splitlines() if line[:1] == "{"]
        found += told
        if len(told) < len(rest):
            sentence = f"A process that looks at {rest[len(told)]} ends by it ({reason(ended)})."
            found.append(Finding(rest[len(told)], "does not work", (sentence,)))
    return found


def words(*parts: str) -> list[str]:
    """The command that examines some parts, and prints a line of JSON for each."""
    return [sys.executable, "-m", "mpidl.doctor.examinations", *parts]


def run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command outside of any launcher, without input; one that hangs is killed."""
    path = os.pathsep.join(filter(None, [str(PACKAGES), os.environ.get("PYTHONPATH")]))
    try:
        return subprocess.run(
            command,
            env={**host.unlaunched(os.environ), "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        text = f"it does not end within {PATIENCE:g} seconds"
        return subprocess.CompletedProcess(command, 1, "", text)
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def reason(ended: "subprocess.CompletedProcess[str]") -> str:
    """Why a command failed: what it said first, or Python last; or else how it ended."""
    lines = [line.strip(" \t-=*|") for line in ended.stderr.splitlines()]
    if texts := [line for line in lines if line]:
        return texts[-1 if texts[0].startswith("Traceback") else 0].rstrip(".")
    if ended.returncode < 0:
        return f"by {signal.Signals(-ended.returncode).name}"
    return f"exit code {ended.returncode}"
