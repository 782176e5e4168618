"""Gossip in one's own training loop: :class:`Gossip` mixes models that a caller trains."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import torch

from mpidl.config.faults import Fault
from mpidl.ranks import accelerators, world
from mpidl.ranks.lending import Lent
from mpidl.ranks.world import Comm
from mpidl.run.own_loop import building, given_settings, saved_state
from mpidl.run.own_loop.record import OwnRecord
from mpidl.run.own_loop.rounds import OwnRounds
from mpidl.run.trained_run import place

T = TypeVar("T")

ADVICE = "all ranks must call mix() equally often"
"""What is said where a rank waits for one that has left its loop."""


class Gossip:
    """Collective. Mixes the models of all ranks over a graph, whenever the caller wants it.

    The caller trains as he likes, and calls :meth:`mix` on every rank: a round of gossip. Models
    are changed in place, in their own type. What is given in place of a name is a dictionary with
    settings of that section of a run file, such as ``{"name": "watts_strogatz", "k": 4}``.

    Args:
        model: A torch module, of which learned parameters and floating buffers travel; a list of
            tensors; a numpy array; or several of these on a rank by device, ``{device: model}``,
            each device 0..N-1 on one rank. One model is the device whose number is its rank.
        topology: The graph of the N devices.
        strategy: The rule that makes rows of W.
        schedule: The change of its temperature.
        algorithm: The algorithm around mixing.
        network: Delays and absences of the emulated network, a dictionary.
        attack: What attackers send.
        backend: How vectors travel.
        seed: The seed of all draws.
        participation: The share of devices that take part in a round.
        communicator: The ranks, an mpi4py communicator, which is copied; None for all ranks.
        only: A pattern, or several, for the names of a module's tensors that travel, such as
            ``"backbone.*"``; all others stay what each rank makes of them.
        rounds: The most rounds; None if that is not known.
        out: The results file for :meth:`record`; None to write none.
        overwrite: Whether it may replace that of a completed run.
        log: Loggers that show the rows of the file while the loop goes on, such as
            ``["tensorboard"]``; rank 0 hands each finished row to them.

    Attributes:
        rank: The number of this rank.
        ranks: The number of ranks.

    Raises:
        Fault: If settings or models are wrong, or differ between ranks that must have the same.
    """

    def __init__(
        self,
        model: object,
        topology: object = given_settings.TOPOLOGY,
        strategy: object = "metropolis_hastings",
        schedule: object = "constant",
        algorithm: object = "dsgd",
        *,
        network: Mapping[str, object] | None = None,
        attack: object = "none",
        backend: object = "auto",
        seed: int = 0,
        participation: float = 1.0,
        communicator: "Comm | None" = None,
        only: str | Sequence[str] | None = None,
        rounds: int | None = None,
        out: Path | str | None = None,
        overwrite: bool = False,
        log: Sequence[str] = (),
    ) -> None:
        given = {key: value for key, value in locals().items() if key in given_settings.KEYS}
        self._limit, self._single = rounds, not isinstance(model, Mapping)
        self._open = False
        self._lent = Lent(communicator, ADVICE)
        self._lent.__enter__()
        try:
            with self._lent.call() as comm, accelerators.explained(), ExitStack() as stack:
                self.rank, self.ranks = comm.rank, comm.size
                self._parts = building.build(comm, model, only, given, stack)
                self._record = OwnRecord(self._parts, place(out), rounds, overwrite)
                self._rounds = OwnRounds(self._parts, self._record)
                self._resources = stack.pop_all()
        except BaseException:
            self._lent.__exit__(None, None, None)
            raise
        self._open = True

    @property
    def round(self) -> int:
        """Number of rounds that are done."""
        return self._rounds.done

    @property
    def bytes(self) -> int:
        """Bytes of parameters that other ranks got from this one, in all rounds so far."""
        return self._rounds.bytes

    @property
    def trains(self) -> Any:
        """Whether the device begins a training in this round; by device if several were given.

        Always, unless ``participation`` or ``network`` keep it away, or the algorithm is
        ``asynchronous``. A device that does not should not train until the next :meth:`mix`.
        """
        return self._by_device(self._rounds.trains())

    @torch.no_grad()
    def mix(self) -> None:
        """Collective. Do a round: exchange messages, and give each model its mixture.

        Raises:
            Fault: If the model is not the one that was given, or all rounds are done.
        """
        self._check("mix()")
        with self._lent.call():
            self._rounds.make()

    @torch.no_grad()
    def start(self) -> None:
        """Collective. Begin a round that travels while the caller goes on, until :meth:`finish`.

        Raises:
            Fault: As :meth:`mix`.
        """
        self._check("start()")
        with self._lent.call():
            self._rounds.start()

    @torch.no_grad()
    def finish(self) -> None:
        """Collective. End the round that :meth:`start` began: ``x <- W x' + (x - x')``.

        x' is the model at :meth:`start`, so what was learned since then is kept.

        Raises:
            Fault: If no round was started, or the model is not the one that was given.
        """
        if self._rounds.flight is None:
            raise Fault("finish(): start() must be called before it.")
        with self._lent.call():
            self._rounds.finish()

    def _check(self, call: str, more: bool = True) -> None:
        """Refuse a call that has no sense now; most need that there are more rounds."""
        if not self._open:
            raise Fault(f"{call}: close() was called; make a new Gossip.")
        if self._rounds.flight is not None:
            raise Fault(f"{call}: a round was started; finish() must be called before.")
        if more and self._limit is not None and self.round >= self._limit:
            raise Fault(f"{call}: all {self._limit} rounds are done; give more rounds.")

    def record(self, **values: object) -> None:
        """Collective. Record values of the last round in the results file, ``out``.

        Each is a number, or one for each device of this rank in a list or by device. The first call
        fixes their names. ``loss`` and ``accuracy`` are of models after mixing; names such as
        ``train_loss``, ``ood_accuracy`` and ``iid_loss_trained`` are series of every results file
        (:data:`mpidl.storage.schema.SERIES`); others are series of this file.

        Raises:
            Fault: If there is no file or no round, or a name or value is wrong or another.
        """
        self._check("record()", more=False)
        with self._lent.call():
            self._record.add(values)

    @torch.no_grad()
    def distance(self) -> Any:
        """Collective. ``||x_i - mean_j x_j||_2`` of the present model; by device if several."""
        self._check("distance()", more=False)
        with self._lent.call():
            found = self._rounds.distances()
        return self._by_device(found)

    def _by_device(self, values: dict[int, T]) -> T | dict[int, T]:
        return next(iter(values.values())) if self._single else values

    def state_dict(self) -> dict[str, Any]:
        """The state of gossip beside models, as copies on the processor, for :func:`torch.save`.

        Raises:
            Fault: Between :meth:`start` and :meth:`finish`.
        """
        self._check("state_dict()", more=False)
        return {"round": self.round, "bytes": self.bytes, **saved_state.taken(self._parts)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Collective. Go on from a state of the same devices and settings, bit for bit.

        Models must have been restored before, by ``model.load_state_dict`` or other changes in
        place.

        Raises:
            Fault: If the state is of other devices, models or settings.
        """
        self._check("load_state_dict()", more=False)
        with self._lent.call() as comm:
            with world.agreed(comm):
                saved_state.check(self._parts, state)
                self._rounds.fetch()
            saved_state.restore(self._parts, state)
        self._rounds.done, self._rounds.bytes = state["round"], state["bytes"]

    @torch.no_grad()
    def close(self) -> None:
        """Collective. Free communicators and shared memory; models get memory of their own.

        A round that was started is finished. Closing twice does nothing.
        """
        if self._open and self._rounds.flight is not None:
            self.finish()
        self._end(completed=self._limit in (None, self.round))

    def _end(self, completed: bool) -> None:
        """Collective. Free everything, once."""
        if self._open:
            self._open = False
            try:
                self._lent.part()
                with self._lent.call(), world.returned(self._resources.close):
                    self._record.close(completed)
            finally:
                self._lent.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Collective. Close; after an error that not all ranks have, end the job."""
        if error is None:
            self.close()
        elif self._open:
            with suppress(BaseException), self._lent.call():
                raise error
            # All ranks have the error, so all can end, after the round that is under way.
            if (flight := self._rounds.flight) is not None:
                with suppress(BaseException):
                    flight.land()
            self._end(completed=False)
