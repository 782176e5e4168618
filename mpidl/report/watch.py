"""Watch over runs that go on: page and tables are made again and again."""

import dataclasses
import datetime
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from mpidl.config.faults import Fault, printable
from mpidl.report import products, terminal
from mpidl.report.collection import Collection
from mpidl.report.products import Step, Wanted
from mpidl.report.shelf import Shelf
from mpidl.storage import runs


class Watch:
    """A report that follows its runs, without disturbing them.

    Files are opened without a lock, and only if they changed; the process has a low priority.

    Args:
        places: Results files, or folders of them; they may still be empty.
        folder: The folder for page and tables.
        wanted: The products; page and tables are always made.
        shelf: Keeps the summaries.
    """

    def __init__(self, places: Sequence[Path], folder: Path, wanted: Wanted, shelf: Shelf) -> None:
        self._places, self._folder, self._shelf = places, folder, shelf
        self._wanted = dataclasses.replace(wanted, figures=None, csv=True, html=False)
        self._seen: dict[Path, tuple[int, int]] | None = None
        self._reported: tuple[str, ...] = ()
        self._console = terminal.console()

    def go_on(self, seconds: float) -> NoReturn:
        """Look again after some seconds, until Ctrl-C, which waits for the end of a look.

        A second Ctrl-C does not wait.

        Raises:
            Fault: If a place does not exist, or the folder cannot be written.
        """
        runs.files(*self._places)
        products.prepare(self._folder)
        os.nice(10)
        while True:
            with _undisturbed():
                self.look(seconds)
            time.sleep(seconds)

    def look(self, seconds: float) -> bool:
        """Make page and tables if a file changed, and return whether one did."""
        try:
            marks = {path: _mark(path) for path in runs.files(*self._places)}
            if marks == self._seen:
                return False
            if not marks:
                self._say("no results yet")
                self._seen = marks
                return False
            collection = self._shelf.read(list(marks))
            page = products.page(collection, self._wanted, self._folder, refresh=seconds)
            self._show(collection, page)
            products.make(collection, self._wanted, self._folder, _silent)
        except Fault as fault:
            # A file may vanish between two looks, as when a run is started anew.
            if fault.sentences != self._reported:
                self._say(" ".join(fault.sentences[:3]))
            self._reported, self._seen = fault.sentences, None
            return False
        self._reported, self._seen = (), marks
        return True

    def _show(self, collection: Collection, page: Path) -> None:
        runs = collection.summaries.values()
        done = sum(one.completed for one in runs)
        rounds = sum(one.done for one in runs)
        if self._console.is_terminal:
            self._console.clear()
            terminal.show(collection, self._console)
        self._say(f"{done} of {len(runs)} runs completed, {rounds:,} rounds; {page}")

    def _say(self, text: str) -> None:
        now = datetime.datetime.now().strftime("%H:%M:%S")
        self._console.print(
            f"{now}  {printable(text)}", soft_wrap=True, highlight=False, markup=False
        )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let the first Ctrl-C wait: during a destructor, Python would print it and lose it."""
    asked = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            signal.default_int_handler(number, frame)
        asked = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


def _silent(what: str) -> Step:
    return lambda done, total: None


def _mark(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError:
        return 0, 0
    return state.st_mtime_ns, state.st_size
