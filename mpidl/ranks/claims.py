"""Claims: a small file that says which process works on something; void when the process is gone.

On the host of the process one can see whether it runs. Elsewhere one cannot, so a process renews
its claim, and a claim that is not renewed becomes void after a while.
"""

import getpass
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from mpidl.config.faults import Fault
from mpidl.ranks import host, stopping

STALE = 60.0
"""Seconds after which a claim that is not renewed is void."""

BEAT = 10.0
"""Seconds after which a claim is renewed."""

LOOK = 0.5
"""Seconds between two looks at a claim that is waited for."""

JOBS = ("PBS_JOBID", "SLURM_JOB_ID")
"""Variables that hold the number of the batch job of a process."""


def user() -> str:
    """The user of this process; empty if the system does not know."""
    # Which error it is depends on the version of Python.
    with suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return ""


def job() -> str:
    """The batch job of this process; empty outside one."""
    return next((os.environ[name] for name in JOBS if name in os.environ), "")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Claim of a process on its work; by default of this process, from now on.

    Attributes:
        host: Host of the process.
        pid: Its number there.
        born: Its start, which no earlier process with that number has; 0 if unknown.
        namespace: Its PID namespace, which differs for each container.
        user: Its user.
        job: Its batch job.
        started: Start of the work, in seconds since 1970.
    """

    host: str = field(default_factory=lambda: host.name())
    pid: int = field(default_factory=os.getpid)
    born: int = field(default_factory=lambda: host.born(os.getpid()))
    namespace: int = field(default_factory=lambda: host.namespace())
    user: str = field(default_factory=user)
    job: str = field(default_factory=job)
    started: float = field(default_factory=time.time)

    def description(self) -> str:
        """The process, its user, job and host, and since when it works."""
        owner = f" of {self.user}" * bool(self.user) + f", job {self.job}," * bool(self.job)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started))
        return f"process {self.pid}{owner} on {self.host}, since {since}"


C = TypeVar("C", bound=Claim)


def read(path: Path, kind: type[C]) -> C | None:
    """The claim in a file; None if it has none."""
    with suppress(OSError, ValueError, TypeError):
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    return None


def void(claim: Claim, age: float) -> bool:
    """Whether the process of a claim is gone.

    Args:
        claim: The claim.
        age: Seconds since it was renewed.
    """
    if (claim.host, claim.namespace) == (host.name(), host.namespace()):
        return not host.lives(claim.pid) or claim.born not in (0, host.born(claim.pid))
    return age > STALE


def put(path: Path, text: str) -> None:
    """Write a small file at once, so that no process reads half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


@contextmanager
def held(path: Path, claim: Claim) -> Iterator[Callable[[], None]]:
    """Hold a claim that no other process competes for; yield a function that renews it."""

    def renew() -> None:
        put(path, json.dumps(asdict(claim)))

    renew()
    try:
        yield renew
    finally:
        path.unlink(missing_ok=True)


class Hold:
    """The claim of this process on a file that it will write, renewed until it is released.

    If the folder does not accept the small file, other processes do not see the claim.

    Args:
        target: The file.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self._path = target.with_name(f".{target.name}.claim")
        self._text = ""
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.release()

    def take(self, patient: bool, tell: Callable[[str], None]) -> bool:
        """Take the claim; False if another process still holds it at the end of the wait.

        Args:
            patient: Whether to wait until a claim of another host is renewed or void.
            tell: Shows a line that says which process it waits for.

        Raises:
            Fault: If another process holds it, and this one does not wait.
        """
        if self._thread is not None:
            return True
        deadline = time.monotonic() + STALE + BEAT
        shown = False
        while holder := self._try():
            if not patient:
                raise Fault(
                    f"Another run writes {self.target} ({holder}): wait for its end, or give "
                    "another --out or another name."
                )
            if time.monotonic() > deadline or stopping.wish() is not None:
                tell(f"another run still writes {self.target} ({holder}); start this one again")
                return False
            if not shown:
                tell(
                    f"another run writes {self.target} ({holder}); this one waits at most "
                    f"{deadline - time.monotonic():.0f} s to see whether the other goes on"
                )
                shown = True
            time.sleep(LOOK)
        return True

    def _try(self) -> str:
        """Try to take the claim; return its holder if there is one, else an empty text."""
        text = json.dumps(asdict(Claim()))
        with suppress(OSError):
            self.target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            try:
                handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileExistsError:
                if holder := self._holder():
                    return holder
                continue
            except OSError:
                return ""
            try:
                with open(handle, "w", encoding="utf-8") as file:
                    file.write(text)
            except OSError:
                # The disk is full, and half a claim would keep others away.
                self._path.unlink(missing_ok=True)
                return ""
            self._text = text
            self._thread = threading.Thread(target=self._renew, name="claim", daemon=True)
            self._thread.start()
            return ""
        return "a moment ago"

    def _holder(self) -> str:
        """The holder of the claim; empty if the claim is void, which is then removed."""
        with suppress(OSError):
            text, age = self._path.read_text(encoding="utf-8"), _age(self._path)
            other = read(self._path, Claim)
            if other is None and age < STALE:
                return "since a moment"
            if other is not None and not void(other, age):
                return other.description()
            # Another process may have done the same and hold the claim by now.
            aside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            os.rename(self._path, aside)
            if aside.read_text(encoding="utf-8") != text:
                with suppress(FileExistsError):
                    os.link(aside, self._path)
            aside.unlink()
        return ""

    def clear(self) -> None:
        """Remove the claim of a process that is gone; that of another stays."""
        self._holder()

    def _renew(self) -> None:
        while not self._over.wait(BEAT):
            with suppress(OSError):
                os.utime(self._path)

    def release(self) -> None:
        """Give up the claim, if this process still holds it."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        self._thread = None
        with suppress(OSError):
            if self._path.read_text(encoding="utf-8") == self._text:
                self._path.unlink()


def _age(path: Path) -> float:
    """Seconds since a file was written, by the clock of its file system if that can be read."""
    now = time.time()
    with suppress(OSError), tempfile.TemporaryFile(dir=path.parent) as probe:
        probe.write(b".")
        probe.flush()
        now = os.fstat(probe.fileno()).st_mtime
    return now - path.stat().st_mtime
