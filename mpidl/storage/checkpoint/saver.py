"""Saves the state of a run every so many rounds or minutes, from a copy, while its rounds go on."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpidl.config.runfile import CheckpointSettings
from mpidl.ranks import watchdog
from mpidl.ranks.world import Comm
from mpidl.storage import layout
from mpidl.storage.checkpoint import finder, sealed
from mpidl.storage.checkpoint.sealed import Array, Head, Story

IDLE, WRITING, WRITTEN, FAILED = range(4)
"""How far a rank is with its part of a checkpoint."""

State = Mapping[int, Mapping[str, Array]]


class Saver:
    """Collective. Writes checkpoints of one run beside its results file, and keeps the newest.

    Each rank copies its devices' state and goes on with the run, while a thread of its own writes
    the copy. A checkpoint gets its name when all ranks have written and the disk has all of it;
    only then older ones are removed.

    Args:
        comm: All ranks.
        path: The results file; checkpoints are in a folder beside it.
        settings: Those of the run file.
        story: What run this is; other ranks than 0 need not know.
    """

    def __init__(
        self, comm: Comm, path: Path, settings: CheckpointSettings, story: Story | None
    ) -> None:
        self._comm, self._settings, self._story = comm, settings, story
        self._path, self.folder = path, finder.folder(path)
        self._round = 0
        self._busy = False
        self._thread: threading.Thread | None = None
        self._pruner: threading.Thread | None = None
        self._saved_at = time.monotonic()
        self.state, self.trouble = IDLE, ""
        self.seconds = 0.0
        if comm.rank == 0:
            # What a run that was killed had not finished.
            with suppress(OSError):
                finder.tidy(self.folder)

    @property
    def overdue(self) -> bool:
        """Whether this rank's clock says that the state should be saved."""
        minutes = self._settings.minutes
        return minutes > 0 and time.monotonic() - self._saved_at > 60 * minutes

    def due(self, done: int) -> bool:
        """Whether the state is to be saved after so many rounds."""
        return self._settings.every > 0 and done % self._settings.every == 0

    def begin(self, done: int, capture: Callable[[], State], wait: bool = False) -> bool:
        """Collective. Save the state after so many rounds; False if that failed.

        Where an earlier state is still being written, this one is left out.

        Args:
            done: How many rounds are done.
            capture: Copies the state of this rank's devices.
            wait: Leave nothing out, and return when it is on the disk.
        """
        if self._busy and not (wait and self.finish()):
            return not wait
        with watchdog.working("checkpointing"):
            started = time.monotonic()
            state = capture()
            made = self._lay_out(done, self._forms(state))
        head: Head | str = self._comm.bcast(made)
        self._round, self._saved_at, self._busy = done, started, True
        if isinstance(head, str):
            self.state, self.trouble = FAILED, head
            return False
        self.state = WRITING
        self._thread = threading.Thread(target=self._write, args=(head, state), daemon=True)
        self._thread.start()
        return self.finish() if wait else True

    def _forms(self, state: State) -> list[sealed.Forms]:
        """Collective. The shapes and types of all devices' arrays, on rank 0; elsewhere none."""
        own = {device: sealed.forms(arrays) for device, arrays in state.items()}
        found = self._comm.gather(own) or []
        everyone = {device: forms for rank in found for device, forms in rank.items()}
        return [everyone[device] for device in sorted(everyone)]

    def _lay_out(self, done: int, forms: list[sealed.Forms]) -> Head | str | None:
        if not forms:
            return None
        if self.trouble or self._story is None:
            return self.trouble
        draft = finder.draft(self.folder, done)
        try:
            # Where the folder of the results is gone, there is nobody to save for.
            self.folder.mkdir(exist_ok=True)
            draft.unlink(missing_ok=True)
            return sealed.lay_out(draft, self._story, done, forms)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            return _told(error, self.folder)

    def _write(self, head: Head, state: State) -> None:
        started = time.monotonic()
        try:
            descriptor = os.open(finder.draft(self.folder, self._round), os.O_WRONLY)
            try:
                for device, arrays in state.items():
                    sealed.write(descriptor, head, device, arrays)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.trouble, self.state = _told(error, self.folder), FAILED
        else:
            self.seconds, self.state = time.monotonic() - started, WRITTEN

    def settle(self, states: npt.ArrayLike) -> bool:
        """Give the checkpoint its name if all have written it; whether nobody failed.

        Args:
            states: The :attr:`state` of all ranks, in any order, the same on each.
        """
        found = np.asarray(states)
        if (found == FAILED).any():
            return False
        if not (found == WRITTEN).all():
            return True
        self._join()
        self.state, self._busy = IDLE, False
        if self._comm.rank == 0:
            try:
                self._publish()
            except OSError as error:
                self.state, self.trouble = FAILED, _told(error, self.folder)
        return True

    def _publish(self) -> None:
        os.replace(finder.draft(self.folder, self._round), finder.path(self.folder, self._round))
        finder.sync(self.folder)
        # To free what large files take is work for the file system, for which no round waits.
        self._pruner = threading.Thread(target=self._prune, daemon=True)
        self._pruner.start()

    def _prune(self) -> None:
        for old in finder.newest_first(self.folder)[self._settings.keep :]:
            with suppress(OSError):
                old.unlink()

    def finish(self) -> bool:
        """Collective. Wait until what is being written is on the disk; False if that failed."""
        with watchdog.working("checkpointing"):
            self._join()
        self.settle(self._comm.allgather(self.state))
        return FAILED not in self._comm.allgather(self.state)

    def end(self, done: int, capture: Callable[[], State]) -> bool:
        """Collective. Finish after the last round; False if a state that is wanted is not saved."""
        finished = self.finish()
        if not self._settings.final:
            return True
        return finished and (self._round == done or self.begin(done, capture, wait=True))

    def give_up(self) -> str:
        """Collective. Forget what could not be written; what went wrong."""
        self._join()
        troubles: list[str] = [told for told in self._comm.allgather(self.trouble) if told]
        if self._comm.rank == 0:
            with suppress(OSError):
                finder.tidy(self.folder)
        return troubles[0]

    def close(self) -> None:
        """Wait until older checkpoints are removed."""
        if self._pruner is not None:
            self._pruner.join()

    def discard(self) -> None:
        """Remove all checkpoints, when the run has come to its end, unless they are wanted."""
        self.close()
        if self._comm.rank == 0:
            finder.discard(self._path, self._settings.final)

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None


def _told(error: OSError, folder: Path) -> str:
    return f"{error.filename or folder}: {layout.why(error)}"
