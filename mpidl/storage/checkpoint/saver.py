"""Saver of checkpoints, every few rounds or minutes, which writes while rounds go on."""

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
from mpidl.storage.checkpoint.heads import Head, Story
from mpidl.storage.checkpoint.sealed import Array

IDLE, WRITING, WRITTEN, FAILED = range(4)
"""States of a rank's part of a checkpoint."""

State = Mapping[int, Mapping[str, Array]]


class Saver:
    """Collective. Writes checkpoints of one run beside its results file, and keeps the newest.

    Each rank copies its devices' state and goes on with the run, while a thread writes the copy.
    A checkpoint gets its name when all ranks have written it to the disk; only then older ones are
    removed.

    Args:
        comm: All ranks.
        path: The results file; checkpoints are in a folder beside it.
        settings: The settings of the run file.
        story: Description of the run, needed on rank 0 only.

    Attributes:
        on_stop: Whether the state is saved if the run is asked to stop.
    """

    def __init__(
        self, comm: Comm, path: Path, settings: CheckpointSettings, story: Story | None
    ) -> None:
        self._comm, self._settings, self._story = comm, settings, story
        self._path, self.folder = path, finder.folder(path)
        self.on_stop = True
        self._round = 0
        self._busy = False
        self._thread: threading.Thread | None = None
        self._pruner: threading.Thread | None = None
        self._saved_at = time.monotonic()
        self.state, self.trouble = IDLE, ""
        self.seconds = 0.0
        if comm.rank == 0:
            # A run that was killed may have left an incomplete one.
            with suppress(OSError):
                finder.tidy(self.folder)

    @property
    def overdue(self) -> bool:
        """Whether this rank's clock says that the state should be saved."""
        minutes = self._settings.minutes
        return minutes > 0 and time.monotonic() - self._saved_at > 60 * minutes

    def due(self, done: int) -> bool:
        """Whether the state is to be saved after a number of rounds."""
        return self._settings.every > 0 and done % self._settings.every == 0

    def begin(self, done: int, capture: Callable[[], State], wait: bool = False) -> bool:
        """Collective. Save the state after a number of rounds; False if that failed.

        If an earlier state is still being written, this state is skipped.

        Args:
            done: Number of rounds that are done.
            capture: Copies the state of this rank's devices.
            wait: Whether to skip nothing, and to return when the state is on the disk.
        """
        if self._busy and not (wait and self.finish()):
            return not wait
        with watchdog.working("checkpointing"):
            started = time.monotonic()
            state = capture()
            prepared = self._lay_out(done, self._forms(state))
        head: Head | str = self._comm.bcast(prepared)
        self._round, self._saved_at, self._busy = done, started, True
        if isinstance(head, str):
            self.state, self.trouble = FAILED, head
            return False
        self.state = WRITING
        self._thread = threading.Thread(target=self._write, args=(head, state), daemon=True)
        self._thread.start()
        return self.finish() if wait else True

    def _forms(self, state: State) -> list[sealed.Forms]:
        """Collective. The shapes and types of all devices' arrays, on rank 0; empty on others."""
        own = {device: sealed.forms(arrays) for device, arrays in state.items()}
        gathered = self._comm.gather(own) or []
        everyone = {device: forms for rank in gathered for device, forms in rank.items()}
        return [everyone[device] for device in sorted(everyone)]

    def _lay_out(self, done: int, forms: list[sealed.Forms]) -> Head | str | None:
        if not forms:
            return None
        if self.trouble or self._story is None:
            return self.trouble
        draft = finder.draft(self.folder, done)
        try:
            # The parents are not made: without the folder of the results there is nothing to save.
            self.folder.mkdir(exist_ok=True)
            draft.unlink(missing_ok=True)
            return sealed.lay_out(draft, self._story, done, forms)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            return _message(error, self.folder)

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
            self.trouble, self.state = _message(error, self.folder), FAILED
        else:
            self.seconds, self.state = time.monotonic() - started, WRITTEN

    def settle(self, states: npt.ArrayLike) -> bool:
        """Give the checkpoint its name if all ranks have written it; return whether no rank failed.

        Args:
            states: The :attr:`state` of all ranks, in any order, the same on each.
        """
        all_states = np.asarray(states)
        if (all_states == FAILED).any():
            return False
        if not (all_states == WRITTEN).all():
            return True
        self._join()
        self.state, self._busy = IDLE, False
        if self._comm.rank == 0:
            try:
                self._publish()
            except OSError as error:
                self.state, self.trouble = FAILED, _message(error, self.folder)
        return True

    def _publish(self) -> None:
        os.replace(finder.draft(self.folder, self._round), finder.path(self.folder, self._round))
        finder.sync(self.folder)
        # Removing large files takes time, and no round waits for it.
        self._pruner = threading.Thread(target=self._prune, daemon=True)
        self._pruner.start()

    def _prune(self) -> None:
        for old in finder.newest_first(self.folder)[self._settings.keep :]:
            with suppress(OSError):
                old.unlink()

    def finish(self) -> bool:
        """Collective. Wait until the last checkpoint is on the disk; False if that failed."""
        with watchdog.working("checkpointing"):
            self._join()
        self.settle(self._comm.allgather(self.state))
        return FAILED not in self._comm.allgather(self.state)

    def end(self, done: int, capture: Callable[[], State]) -> bool:
        """Collective. Finish after the last round; False if a final checkpoint is not saved."""
        finished = self.finish()
        if not self._settings.final:
            return True
        return finished and (self._round == done or self.begin(done, capture, wait=True))

    def give_up(self) -> str:
        """Collective. Drop the checkpoint that could not be written, and return the reason."""
        self._join()
        troubles: list[str] = [trouble for trouble in self._comm.allgather(self.trouble) if trouble]
        if self._comm.rank == 0:
            with suppress(OSError):
                finder.tidy(self.folder)
        return troubles[0]

    def close(self) -> None:
        """Wait until older checkpoints are removed."""
        if self._pruner is not None:
            self._pruner.join()

    def discard(self) -> None:
        """Remove all checkpoints of the completed run, unless the final one is wanted."""
        self.close()
        if self._comm.rank == 0:
            finder.discard(self._path, self._settings.final)

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None


def _message(error: OSError, folder: Path) -> str:
    return f"{error.filename or folder}: {layout.reason(error)}"
