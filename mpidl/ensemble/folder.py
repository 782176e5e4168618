"""Folder of a study: its driver's lock, claims on running runs, the log, and all attempts."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mpidl.config.faults import Fault
from mpidl.ranks import claims, host
from mpidl.storage import results_file

END = 4000
"""Bytes of a log's end that are read."""


@dataclass(frozen=True, kw_only=True)
class Claim(claims.Claim):
    """Claim on a run that goes on: its slot and its driver."""

    slot: int
    driver: str


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run that came to its end, in seconds; what ``attempts.jsonl`` holds.

    Attributes:
        code: Exit code of mpiexec; negative for a signal.
        estimate: Seconds that were expected.
    """

    name: str
    attempt: int
    started: str
    seconds: float
    code: int
    host: str
    slot: int
    estimate: float


class Folder:
    """The folder of a study's results.

    ``NAME.h5`` is a results file, ``runs/NAME.toml`` its run file, ``logs/NAME.txt`` its output.
    ``log.txt`` lists all events, ``attempts.jsonl`` all attempts; ``claims/`` has a file for each
    run that goes on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs, self.files = self.path / "logs", self.path / "runs"
        self.claims = self.path / "claims"

    def results(self, name: str) -> Path:
        """The results file of a run."""
        return self.path / f"{name}.h5"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only driver that works here.

        Raises:
            Fault: If there is another one, or the folder cannot be written.
        """
        try:
            for folder in (self.path, self.logs, self.files, self.claims):
                folder.mkdir(parents=True, exist_ok=True)
            # A lock of the process, so that no child keeps it; the kernel drops it with the driver.
            lock = open(self.path / "driver", "a+", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise Fault(f"Cannot write to {self.path}: {error.strerror}.") from None
        with lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                lock.seek(0)
                raise Fault(_refusal(self.path, lock.read().strip(), error)) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {host.name()}")
            lock.flush()
            yield
            lock.truncate(0)

    def claim(self, name: str, claim: Claim) -> AbstractContextManager[Callable[[], None]]:
        """Hold a claim on a run; yields what renews it."""
        return claims.held(self.claims / name, claim)

    def going_on(self) -> dict[str, Claim]:
        """The runs that are claimed, by name; void claims are dropped."""
        held = dict[str, Claim]()
        for path in self.claims.iterdir():
            claim = claims.read(path, Claim)
            with suppress(OSError):
                if claim is None or not claims.void(claim, time.time() - path.stat().st_mtime):
                    held |= {path.name: claim} if claim is not None else {}
                else:
                    path.unlink()
        return held

    def stop(self, driver: str) -> None:
        """Ask the workers of a driver to end their runs."""
        claims.put(self.path / "stop", driver)

    def asked_to_stop(self, driver: str) -> bool:
        """Whether the workers of a driver shall end their runs."""
        with suppress(OSError):
            return (self.path / "stop").read_text(encoding="utf-8") == driver
        return False

    def log(self, event: str, name: str, text: str = "") -> str:
        """Add an event to the log that a person reads, and return its line."""
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        return self._write(f"{now}  {event:9}  {name}  {text}".rstrip())

    def quote(self, line: str) -> str:
        """Add a line that a run printed to the log, and return it."""
        return self._write(f"    {line}")

    def _write(self, line: str) -> str:
        with open(self.path / "log.txt", "a", encoding="utf-8") as file:
            file.write(line + "\n")
        return line

    def keep(self, attempt: Attempt) -> None:
        """Add an attempt to those of the study."""
        with open(self.path / "attempts.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(attempt)) + "\n")

    def attempts(self) -> list[Attempt]:
        """All attempts so far; an incomplete line that a killed driver left is skipped."""
        attempts = []
        with suppress(FileNotFoundError):
            for line in (self.path / "attempts.jsonl").read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, TypeError):
                    attempts.append(Attempt(**json.loads(line)))
        return attempts

    def last_words(self, name: str, lines: int) -> list[str]:
        """The last lines that a run printed."""
        with suppress(OSError), open(self.logs / f"{name}.txt", "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - END))
            printed = file.read().decode(errors="replace").splitlines()
            return [line for line in printed if line.strip()][-lines:]
        return []


def _refusal(path: Path, holder: str, error: OSError) -> str:
    if isinstance(error, BlockingIOError | PermissionError):
        return f"Another driver works in {path} ({holder or 'a moment ago'}); wait for its end."
    return f"Cannot lock {path}: {error.strerror}; take a folder on a file system that locks files."


def rounds(results: Path) -> int:
    """Progress: rounds in a results file, plus 1 if completed; of a folder the sum."""
    if results.is_dir():
        return sum(rounds(path) for path in results.glob("*.h5") if ".unfinished-" not in path.name)
    with suppress(Fault):
        _, done, completed = results_file.status(results)
        return done + completed
    return 0


def finished(attempts: Sequence[Attempt]) -> dict[str, Attempt]:
    """The successful attempt of each run that has one, by name of the run."""
    return {attempt.name: attempt for attempt in attempts if attempt.code == 0}


def record(value: Any) -> str:
    """A moment as attempts store it."""
    return datetime.fromtimestamp(value).astimezone().isoformat(timespec="seconds")
