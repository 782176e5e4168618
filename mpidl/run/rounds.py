"""Round loop: train, exchange, mix, evaluate, record."""

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
from mpidl.storage.run_series import RunSeries


@dataclass(frozen=True)
class Parts:
    """The parts of a run on one rank.

    Attributes:
        comm: All ranks.
        plan: The plan of the run.
        devices: The devices of this rank, by number, in ascending order.
        batch: The same devices, trained at once; None if they are trained one after another.
        gossip: Their exchange and mixing.
        clock: The simulated seconds at which each device has finished a round, ``(N,)``.
        board: Shows every rank the values of all devices.
        tests: The test sets, ``iid`` and ``ood``.
        of_run: The series of the run.
        recorder: Writes the results file.
        snapshot: Copies the state of this rank's devices.
        saver: Writes checkpoints.
        hardware: The hardware of the run.
        timer: The clock that times phases, in seconds.
    """

    comm: Comm
    plan: Plan
    devices: Mapping[int, Device]
    batch: Batch | None
    gossip: LocalGossip
    clock: Callable[[int], Array]
    board: Board
    tests: Mapping[str, Samples]
    of_run: RunSeries
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
    """Collective. Run all rounds that are left, and return the outcome of the run.

    Args:
        parts: The parts of the run.
        watch: Called on every rank after each round with its number and, for each series, the
            values of all devices, ``(N,)`` or ``(N, C)``.
        ends: Called after each round with the seconds that saving takes; returns the outcome with
            which this rank should end now, or None. All ranks stop after the same round.
        first: The first round.
    """
    plan, rounds = parts.plan, parts.plan.file.training.rounds
    halves = {"train": train, "exchange": exchange}
    values, spent_recording = RoundValues(list(parts.devices), parts.of_run, parts.timer), 0.0
    for round_ in range(first, rounds):
        values.clear()
        due = (round_ + 1) % plan.file.evaluation.every == 0 or round_ == rounds - 1
        values["seconds_record"] = spent_recording
        learners = plan.learners(round_)
        values.trained[:] = [number in learners for number in parts.devices]
        for half in plan.algorithm.order:
            halves[half](parts, values, round_, due)
        values["simulated_seconds"] = parts.clock(round_)[list(parts.devices)]
        wishes, series = gather(parts, values, ends(parts.saver.seconds))
        diverged = plan.file.training.nonfinite == "stop" and not series["finite"].all()
        done, saved = round_ + 1, parts.saver.settle(wishes.saving)
        stop = wishes.stop is not None or diverged or not saved
        started = parts.timer()
        with watchdog.working("recording"):
            parts.recorder.record(series, now=wishes.write or stop)
        spent_recording = parts.timer() - started
        watch(round_, series)
        parts.snapshot.rounds.append(np.array(values.array[:, :-FLAGS]))
        if diverged:
            parts.saver.finish()
            return Outcome.DIVERGED
        if not saved:
            return Outcome.UNSAVED
        if done == rounds:
            break
        if wishes.stop is not None and not parts.saver.on_stop:
            parts.saver.finish()
            return wishes.stop
        if stop or wishes.save or parts.saver.due(done):
            saved = parts.saver.begin(done, parts.snapshot.take, wait=stop)
        if stop or not saved:
            return wishes.stop if saved and wishes.stop is not None else Outcome.UNSAVED
    return Outcome.COMPLETED if parts.saver.end(rounds, parts.snapshot.take) else Outcome.UNSAVED


def train(parts: Parts, values: RoundValues, round_: int, due: bool) -> None:
    """Collective. Take a round's local steps on the devices of this rank that begin a training."""
    own = [number for number, trained in zip(parts.devices, values.trained, strict=True) if trained]
    with watchdog.working("training"):
        parts.gossip.begin(own)
        if parts.batch is not None and own:
            with values.clock("train"):
                losses = parts.batch.train(round_, own)
            for number, loss in losses.items():
                values.set("train_loss", number, loss)
        else:
            for number in own:
                with values.clock("train", number):
                    values.set("train_loss", number, parts.devices[number].train(round_))
    evaluate(parts, values, "trained", due)


def exchange(parts: Parts, values: RoundValues, round_: int, due: bool) -> None:
    """Collective. Exchange messages, and mix vectors."""
    gossip = parts.gossip
    with values.clock("mix"):
        gossip.give(round_, values.trained.tolist())
    with values.clock("weights"):
        gossip.decide(round_)
    with values.clock("wait"):
        gossip.arrive(round_)
    with values.clock("exchange"):
        gossip.share()
    with values.clock("mix"):
        for number, extras in gossip.mix(round_, measure=due).items():
            for key, value in extras.items():
                values.set(key, number, value)
    evaluate(parts, values, "mixed", due)
    if due:
        # The distance is of all devices: mixing has measured its parts, which are combined here.
        with values.clock("mix"):
            values["consensus_distance"] = gossip.distances()


def scores(parts: Parts, values: RoundValues, samples: Samples) -> Iterator[tuple[int, Score]]:
    """The score of each device of this rank on a test set."""
    arguments = samples, parts.of_run.classes, parts.plan.file.evaluation
    if parts.batch is not None:
        with values.clock("evaluate"):
            by_device = parts.batch.evaluate(*arguments)
        yield from by_device.items()
        return
    for number, device in parts.devices.items():
        with values.clock("evaluate", number):
            score = device.evaluate(*arguments)
        yield number, score


def evaluate(parts: Parts, values: RoundValues, moment: str, due: bool) -> None:
    """Collective. Score this rank's devices on the test sets, if the run file asks for it now."""
    evaluation = parts.plan.file.evaluation
    if due and evaluation.moment in (moment, "both"):
        with watchdog.working("evaluation"):
            test(parts, values, moment)


def test(parts: Parts, values: RoundValues, moment: str) -> None:
    """Score this rank's devices on the test sets."""
    for kind, samples in parts.tests.items():
        for number, score in scores(parts, values, samples):
            values.set(f"{kind}_loss_{moment}", number, score.loss)
            for name, value in score.values.items():
                values.set(f"{kind}_{name}_{moment}", number, value)
            if kind == "iid" and len(score.by_class):
                values.set(f"iid_class_accuracy_{moment}", number, score.by_class)


@dataclass(frozen=True)
class Wishes:
    """Wishes of any rank: to stop, to write rounds, to save the state; and how far saving is."""

    stop: Outcome | None
    write: bool
    save: bool
    saving: Array


def gather(parts: Parts, values: RoundValues, stop: Outcome | None) -> tuple[Wishes, Series]:
    """Collective. The wishes of any rank, and the series of all devices."""
    values["bytes_sent"] = list(parts.gossip.exchange.bytes_sent.values())
    values["bytes_received"] = list(parts.gossip.exchange.bytes_received.values())
    values["finite"] = np.isfinite(values["train_loss"]) | ~values.trained
    code = 0 if stop is None else stop.code
    values.flags[:] = code, parts.recorder.overdue, parts.saver.overdue, parts.saver.state
    everyone = parts.board.gather(values.array)
    stops, writes, saves, saving = everyone[:, -FLAGS:].T
    wishes = Wishes(joint(stops), bool(writes.any()), bool(saves.any()), saving)
    return wishes, Series(everyone, parts.of_run)
