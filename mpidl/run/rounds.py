"""The round loop: train, exchange, mix, evaluate, record."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mpidl.config.outcome import Outcome, joint
from mpidl.devices.batch import Batch
from mpidl.devices.device import Device, Samples
from mpidl.devices.gossip import LocalGossip
from mpidl.devices.scores import Score
from mpidl.plan import Plan
from mpidl.ranks import watchdog
from mpidl.ranks.node import Board
from mpidl.ranks.world import Comm
from mpidl.run.hardware import Hardware
from mpidl.run.snapshot import Snapshot
from mpidl.storage.checkpoint import Saver
from mpidl.storage.recorder import Recorder
from mpidl.storage.round_values import FLAGS, Array, RoundValues, Series, SeriesArrays


@dataclass(frozen=True)
class Parts:
    """All that a run is made of, on one rank.

    Attributes:
        comm: All ranks.
        plan: What the run file says.
        devices: The devices hosted here, by number, ascending.
        batch: The same, side by side; None where they go one after another.
        gossip: What they do between two trainings.
        clock: When each device has finished a round, ``(N,)`` simulated seconds.
        board: Shows every rank the rows of all.
        tests: The test sets, ``iid`` and ``ood``.
        classes: C.
        recorder: Keeps the rows.
        snapshot: Copies the state of this rank's devices.
        saver: Saves that.
        hardware: What computes.
        timer: By which phases are timed, in seconds.
    """

    comm: Comm
    plan: Plan
    devices: Mapping[int, Device]
    batch: Batch | None
    gossip: LocalGossip
    clock: Callable[[int], Array]
    board: Board
    tests: Mapping[str, Samples]
    classes: int
    recorder: Recorder
    snapshot: Snapshot
    saver: Saver
    hardware: Hardware
    timer: Callable[[], float] = time.perf_counter


def run_rounds(
    parts: Parts,
    watch: Callable[[int, SeriesArrays], None],
    ends: Callable[[float], Outcome | None],
    first: int = 0,
) -> Outcome:
    """Collective. Run all rounds that are left; how the run ended.

    Args:
        parts: What was built from the run file.
        watch: Called on every rank after each round with its number and, for each series, the
            values of all devices, ``(N,)`` or ``(N, C)``.
        ends: How this rank should end after this round, if it takes so many seconds to save its
            state, or None; all then stop after the same round.
        first: The first of them.
    """
    plan, rounds = parts.plan, parts.plan.file.training.rounds
    halves = {"train": train, "exchange": exchange}
    row, spent_recording = RoundValues(list(parts.devices), parts.classes, parts.timer), 0.0
    for round_ in range(first, rounds):
        row.clear()
        due = (round_ + 1) % plan.file.evaluation.every == 0 or round_ == rounds - 1
        row["seconds_record"] = spent_recording
        learners = plan.learners(round_)
        row.trained[:] = [number in learners for number in parts.devices]
        for half in plan.algorithm.order:
            halves[half](parts, row, round_, due)
        row["simulated_seconds"] = parts.clock(round_)[list(parts.devices)]
        wishes, table = gather(parts, row, ends(parts.saver.seconds))
        diverged = plan.file.training.nonfinite == "stop" and not table["finite"].all()
        done, saved = round_ + 1, parts.saver.settle(wishes.saving)
        stop = wishes.stop is not None or diverged or not saved
        started = parts.timer()
        with watchdog.working("recording"):
            parts.recorder.record(table, now=wishes.write or stop)
        spent_recording = parts.timer() - started
        watch(round_, table)
        parts.snapshot.rows.append(np.array(row.array[:, :-FLAGS]))
        if diverged:
            parts.saver.finish()
            return Outcome.DIVERGED
        if not saved:
            return Outcome.UNSAVED
        if done == rounds:
            break
        if stop or wishes.save or parts.saver.due(done):
            saved = parts.saver.begin(done, parts.snapshot.take, wait=stop)
        if stop or not saved:
            return wishes.stop if saved and wishes.stop is not None else Outcome.UNSAVED
    return Outcome.COMPLETED if parts.saver.end(rounds, parts.snapshot.take) else Outcome.UNSAVED


def train(parts: Parts, row: RoundValues, round_: int, due: bool) -> None:
    """Collective. Take the local steps of a round on those own devices that begin a training."""
    own = [number for number, trained in zip(parts.devices, row.trained, strict=True) if trained]
    with watchdog.working("training"):
        parts.gossip.begin(own)
        if parts.batch is not None and own:
            with row.clock("train"):
                losses = parts.batch.train(round_, own)
            for number, loss in losses.items():
                row.set("train_loss", number, loss)
        else:
            for number in own:
                with row.clock("train", number):
                    row.set("train_loss", number, parts.devices[number].train(round_))
    evaluate(parts, row, "trained", due)


def exchange(parts: Parts, row: RoundValues, round_: int, due: bool) -> None:
    """Collective. Let vectors travel, and mix them."""
    gossip = parts.gossip
    with row.clock("mix"):
        gossip.give(round_, row.trained.tolist())
    with row.clock("weights"):
        gossip.decide(round_)
    with row.clock("wait"):
        gossip.arrive(round_)
    with row.clock("exchange"):
        gossip.share()
    with row.clock("mix"):
        for number, told in gossip.mix(round_, measure=due).items():
            for key, value in told.items():
                row.set(key, number, value)
    evaluate(parts, row, "mixed", due)
    if due:
        # It is no phase of one device: mixing has measured it, but between nodes.
        with row.clock("mix"):
            row["consensus_distance"] = gossip.distances()


def scores(parts: Parts, row: RoundValues, samples: Samples) -> Iterator[tuple[int, Score]]:
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


def evaluate(parts: Parts, row: RoundValues, moment: str, due: bool) -> None:
    """Collective. Score this rank's devices on the test sets, where the run file wants it."""
    evaluation = parts.plan.file.evaluation
    if due and evaluation.moment in (moment, "both"):
        with watchdog.working("evaluation"):
            test(parts, row, moment)


def test(parts: Parts, row: RoundValues, moment: str) -> None:
    """Score this rank's devices on the test sets."""
    for kind, samples in parts.tests.items():
        for number, score in scores(parts, row, samples):
            row.set(f"{kind}_loss_{moment}", number, score.loss)
            row.set(f"{kind}_accuracy_{moment}", number, score.accuracy)
            if kind == "iid":
                row.set(f"iid_class_accuracy_{moment}", number, score.by_class)


@dataclass(frozen=True)
class Wishes:
    """What ranks want of all: to stop, to write rows, to save the state; and how far saving is."""

    stop: Outcome | None
    write: bool
    save: bool
    saving: Array


def gather(parts: Parts, row: RoundValues, stop: Outcome | None) -> tuple[Wishes, Series]:
    """Collective. What any rank wants, and the series of all devices."""
    row["bytes_sent"] = list(parts.gossip.exchange.bytes_sent.values())
    row["bytes_received"] = list(parts.gossip.exchange.bytes_received.values())
    row["finite"] = np.isfinite(row["train_loss"]) | ~row.trained
    code = 0 if stop is None else stop.code
    row.flags[:] = code, parts.recorder.overdue, parts.saver.overdue, parts.saver.state
    everyone = parts.board.gather(row.array)
    stops, writes, saves, saving = everyone[:, -FLAGS:].T
    wishes = Wishes(joint(stops), bool(writes.any()), bool(saves.any()), saving)
    return wishes, Series(everyone, parts.classes)
