"""The round loop: train, exchange, mix, evaluate, record."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpidl import schema, watchdog
from mpidl.batch import Batch
from mpidl.device import Device, Samples
from mpidl.exchange.memory import Exchange
from mpidl.graphs import Neighborhood
from mpidl.node import Board
from mpidl.plan import Plan
from mpidl.recorder import Recorder
from mpidl.scores import Score
from mpidl.strategies import Inbox, Look
from mpidl.world import Comm

Array = npt.NDArray[np.float64]
Table = Mapping[str, Array]


FLAGS = 2
"""Columns behind the series: whether a rank wants to stop, and whether it wants to write."""


def width(classes: int) -> int:
    """S, the columns of a row: all series and the flags."""
    last: int = max(columns.stop for columns in schema.columns(classes).values())
    return last + FLAGS


class Series(Mapping[str, Array]):
    """Each series in a table with a row per device: ``(N,)``, or ``(N, C)`` by class.

    Args:
        table: ``(N, S)``.
        classes: C.
    """

    def __init__(self, table: Array, classes: int) -> None:
        self._table, self._columns = table, schema.columns(classes)

    def __getitem__(self, key: str) -> Array:
        columns = self._columns[key]
        by_class = schema.SERIES[key].dims == schema.PER_CLASS
        return self._table[:, columns if by_class else columns.start]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


@dataclass(frozen=True)
class Parts:
    """All that a run is made of, on one rank.

    Attributes:
        comm: All ranks.
        plan: What the run file says.
        devices: The devices hosted here, by number, ascending.
        batch: The same, side by side; None where they go one after another.
        exchange: Moves and mixes their vectors.
        board: Shows every rank the rows of all.
        tests: The test sets, ``iid`` and ``ood``.
        classes: C.
        recorder: Keeps the rows.
        timer: By which phases are timed, in seconds.
    """

    comm: Comm
    plan: Plan
    devices: Mapping[int, Device]
    batch: Batch | None
    exchange: Exchange
    board: Board
    tests: Mapping[str, Samples]
    classes: int
    recorder: Recorder
    timer: Callable[[], float] = time.perf_counter


def run_rounds(
    parts: Parts, watch: Callable[[int, Table], None], interrupted: Callable[[], bool]
) -> bool:
    """Collective. Run all rounds; whether the run came to its end.

    Args:
        parts: What was built from the run file.
        watch: Called on every rank after each round with its number and, for each series, the
            values of all devices, ``(N,)`` or ``(N, C)``.
        interrupted: Whether this rank was asked to stop; all then stop after the same round.
    """
    plan, exchange, rounds = parts.plan, parts.exchange, parts.plan.file.training.rounds
    own = list(parts.devices)
    steady = plan.rows(0, own) if plan.steady else None
    row, spent_recording = Row(own, parts.classes, parts.timer), 0.0
    for round_ in range(rounds):
        row.clear()
        due = (round_ + 1) % plan.file.evaluation.every == 0 or round_ == rounds - 1
        row["seconds_record"] = spent_recording

        with watchdog.working("training"):
            train(parts, row, round_)
        evaluate(parts, row, "trained", due)

        rows = {} if plan.looks else steady or plan.rows(round_, own)
        with row.clock("wait"):
            exchange.arrive(rows)
        with row.clock("exchange"):
            exchange.share()
        with row.clock("mix"):
            if plan.looks:
                exchange.weigh(plan.rows(round_, own, opened(exchange, parts.devices)))
            exchange.mix(measure=due)
            for number, vector in exchange.vectors.items():
                parts.devices[number].bind(vector)

        evaluate(parts, row, "mixed", due)
        stop, write, table = gather(parts, row, interrupted())
        started = parts.timer()
        with watchdog.working("recording"):
            parts.recorder.record(table, now=write or stop)
        spent_recording = parts.timer() - started
        watch(round_, table)
        if stop and round_ < rounds - 1:
            return False
    return True


class Row:
    """One round of every series on the devices of this rank, NaN until set.

    Attributes:
        table: All of it, ``(D, S)``.
        values: For each series its part of the table, ``(D,)`` or ``(D, C)``.
        flags: Two more columns, for what a rank wants of all.
    """

    def __init__(self, devices: list[int], classes: int, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._place = {number: i for i, number in enumerate(devices)}
        self.table = np.full((len(devices), width(classes)), np.nan)
        self.values = dict(Series(self.table, classes))
        self.flags = self.table[:, -FLAGS:]
        self._seconds = [part for key, part in self.values.items() if key.startswith("seconds_")]

    def clear(self) -> None:
        """Begin a round: seconds are zero, all else unknown."""
        self.table.fill(np.nan)
        for part in self._seconds:
            part.fill(0.0)

    def set(self, key: str, device: int, value: npt.ArrayLike) -> None:
        """Set one device's value."""
        self.values[key][self._place[device]] = np.asarray(value)

    def __setitem__(self, key: str, value: npt.ArrayLike) -> None:
        self.values[key][:] = np.asarray(value)

    @contextmanager
    def clock(self, phase: str, device: int | None = None) -> Iterator[None]:
        """Add the seconds of a phase, to one device or to all that share this rank."""
        started = self._timer()
        yield
        where = slice(None) if device is None else self._place[device]
        self.values[f"seconds_{phase}"][where] += self._timer() - started


def train(parts: Parts, row: Row, round_: int) -> None:
    """Take the local steps of those devices of this rank that take part in a round."""
    active = parts.plan.active(round_)
    own = [number for number in parts.devices if number in active]
    if parts.batch is not None and own:
        with row.clock("train"):
            losses = parts.batch.train(round_, own)
        for number, loss in losses.items():
            row.set("train_loss", number, loss)
        return
    for number in own:
        with row.clock("train", number):
            row.set("train_loss", number, parts.devices[number].train(round_))


def opened(exchange: Exchange, devices: Mapping[int, Device]) -> Look:
    """Collective. The inboxes of this rank's devices, when all vectors are readable."""
    found = exchange.inboxes()

    def look(view: Neighborhood) -> Inbox:
        vectors = [found[view.device][member] for member in view.members]
        return Inbox(vectors, devices[view.device].parameters)

    return look


def scores(parts: Parts, row: Row, samples: Samples) -> Iterator[tuple[int, Score]]:
    """The score of each device of this rank on a test set."""
    wanted = samples, parts.classes, parts.plan.file.evaluation
    if parts.batch is not None:
        with row.clock("evaluate"):
            found = parts.batch.evaluate(*wanted)
        yield from found.items()
        return
    for number, device in parts.devices.items():
        with row.clock("evaluate", number):
            score = device.evaluate(*wanted)
        yield number, score


def evaluate(parts: Parts, row: Row, moment: str, due: bool) -> None:
    """Collective. Score this rank's devices on the test sets, where the run file wants it."""
    evaluation = parts.plan.file.evaluation
    if due and evaluation.moment in (moment, "both"):
        with watchdog.working("evaluation"):
            test(parts, row, moment)
    if due and moment == "mixed":
        with row.clock("evaluate"):
            row["consensus_distance"] = parts.exchange.distances()


def test(parts: Parts, row: Row, moment: str) -> None:
    """Score this rank's devices on the test sets."""
    for kind, samples in parts.tests.items():
        for number, score in scores(parts, row, samples):
            row.set(f"{kind}_loss_{moment}", number, score.loss)
            row.set(f"{kind}_accuracy_{moment}", number, score.accuracy)
            if kind == "iid":
                row.set(f"iid_class_accuracy_{moment}", number, score.by_class)


def gather(parts: Parts, row: Row, stop: bool) -> tuple[bool, bool, Table]:
    """Collective. Whether any rank wants to stop, or to write, and the series of all devices."""
    row["bytes_sent"] = list(parts.exchange.bytes_sent.values())
    row["bytes_received"] = list(parts.exchange.bytes_received.values())
    row.flags[:] = stop, parts.recorder.overdue
    everyone = parts.board.gather(row.table)
    stops, overdue = everyone[:, -FLAGS:].T.astype(bool)
    return bool(stops.any()), bool(overdue.any()), Series(everyone, parts.classes)
