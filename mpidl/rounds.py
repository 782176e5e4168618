"""The round loop: train, exchange, mix, evaluate, record."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpidl import metrics, schema
from mpidl.device import Device, Samples
from mpidl.exchange.average import Average
from mpidl.exchange.memory import Exchange
from mpidl.plan import Plan
from mpidl.recorder import Recorder
from mpidl.world import Comm

Table = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Parts:
    """All that a run is made of, on one rank.

    Attributes:
        comm: All ranks.
        plan: What the run file says.
        devices: The devices hosted here, by number, ascending.
        exchange: Moves and mixes their vectors.
        average: The mean over all devices.
        tests: The test sets, ``iid`` and ``ood``.
        classes: C.
        recorder: Keeps the rows.
    """

    comm: Comm
    plan: Plan
    devices: Mapping[int, Device]
    exchange: Exchange
    average: Average
    tests: Mapping[str, Samples]
    classes: int
    recorder: Recorder


def run_rounds(
    parts: Parts, watch: Callable[[int, Table], None], interrupted: Callable[[], bool]
) -> bool:
    """Collective. Run all rounds; whether the run came to its end.

    Args:
        parts: What was built from the run file.
        watch: Called on every rank after each round with its number and, for each scalar series,
            the values of all devices, ``(N,)``.
        interrupted: Whether this rank was asked to stop; all then stop after the same round.
    """
    plan, exchange, rounds = parts.plan, parts.exchange, parts.plan.file.training.rounds
    steady = plan.rows(0, list(parts.devices)) if plan.steady else None
    spent_recording = 0.0
    for round_ in range(rounds):
        row = Row(list(parts.devices), parts.classes)
        due = (round_ + 1) % plan.file.evaluation.every == 0 or round_ == rounds - 1
        row["seconds_record"] = spent_recording

        active = plan.active(round_)
        for number, device in parts.devices.items():
            if number in active:
                with row.clock("train", number):
                    row.set("train_loss", number, device.train(round_))
        evaluate(parts, row, "trained", due)

        with row.clock("wait"):
            parts.comm.Barrier()
        with row.clock("exchange"):
            exchange.share()
        with row.clock("mix"):
            exchange.mix(steady or plan.rows(round_, list(parts.devices)))
            for number, vector in exchange.vectors.items():
                parts.devices[number].bind(vector)

        evaluate(parts, row, "mixed", due)
        stop, write, table = gather(parts, row, interrupted())
        started = time.perf_counter()
        parts.recorder.record(row.values, now=write or stop)
        spent_recording = time.perf_counter() - started
        watch(round_, table)
        if stop and round_ < rounds - 1:
            return False
    return True


class Row:
    """One round of every series on the devices of this rank, NaN until set."""

    def __init__(self, devices: list[int], classes: int) -> None:
        self._place = {number: i for i, number in enumerate(devices)}
        sizes = {"device": len(devices), "class": classes}
        self.values = {
            key: np.full([sizes[dim] for dim in variable.dims[1:]], np.nan)
            for key, variable in schema.SERIES.items()
        }
        for key in self.values:
            if key.startswith("seconds_"):
                self.values[key][:] = 0.0

    def set(self, key: str, device: int, value: object) -> None:
        """Set one device's value."""
        self.values[key][self._place[device]] = value

    def __setitem__(self, key: str, value: object) -> None:
        self.values[key][:] = value

    @contextmanager
    def clock(self, phase: str, device: int | None = None) -> Iterator[None]:
        """Add the seconds of a phase, to one device or to all that share this rank."""
        started = time.perf_counter()
        yield
        where = slice(None) if device is None else self._place[device]
        self.values[f"seconds_{phase}"][where] += time.perf_counter() - started


def evaluate(parts: Parts, row: Row, moment: str, due: bool) -> None:
    """Collective. Score this rank's devices on the test sets, where the run file wants it."""
    evaluation = parts.plan.file.evaluation
    if due and evaluation.moment in (moment, "both"):
        for number, device in parts.devices.items():
            with row.clock("evaluate", number):
                for kind, samples in parts.tests.items():
                    score = device.evaluate(samples, parts.classes, evaluation)
                    row.set(f"{kind}_loss_{moment}", number, score.loss)
                    row.set(f"{kind}_accuracy_{moment}", number, score.accuracy)
                    if kind == "iid":
                        row.set(f"iid_class_accuracy_{moment}", number, score.by_class)
    if due and moment == "mixed":
        with row.clock("evaluate"):
            vectors = parts.exchange.vectors
            distances = metrics.consensus_distance(vectors, parts.average(vectors))
            row["consensus_distance"] = distances


def gather(parts: Parts, row: Row, stop: bool) -> tuple[bool, bool, Table]:
    """Collective. Whether any rank wants to stop, or to write, and all devices' scalar series."""
    exchange, comm = parts.exchange, parts.comm
    row["bytes_sent"] = list(exchange.bytes_sent.values())
    row["bytes_received"] = list(exchange.bytes_received.values())
    flags = np.full((len(parts.devices), 2), [stop, parts.recorder.overdue], dtype=float)
    own = np.column_stack([*(row.values[key] for key in schema.SCALARS), flags])
    hosted = np.bincount(parts.plan.hosts, minlength=comm.size)
    everyone = metrics.everyone(comm, own, hosted)
    order = np.argsort(np.argsort(parts.plan.hosts, kind="stable"), kind="stable")
    *columns, stops, overdue = everyone[order].T
    return bool(stops.any()), bool(overdue.any()), dict(zip(schema.SCALARS, columns, strict=True))
