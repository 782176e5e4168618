"""Record of gossip in one's own loop: rows of a results file, with values that the caller gives."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tomli_w

from mpidl.components import graphs, loggers
from mpidl.components.loggers import Logged
from mpidl.config.faults import Fault, shown
from mpidl.ranks import claims, sharing, world
from mpidl.ranks.node import Board
from mpidl.run import hardware, live, provenance
from mpidl.run.claiming import claimed
from mpidl.run.opening import mixing_arrays, mixing_placement
from mpidl.run.own_loop import names as names_of
from mpidl.run.own_loop.building import OwnParts
from mpidl.storage import code_records, layout, results_file, run_series, schema
from mpidl.storage.recorder import Recorder
from mpidl.storage.round_values import RoundValues, Series, width

Array = npt.NDArray[Any]

ALWAYS = ("train_loss", "finite", "consensus_distance", "bytes_sent", "bytes_received")
PHASES = ("train", "weights", "wait", "exchange", "mix")

OWN = "own_loop"
"""Stands for the names of data set and model, which the caller has."""

CHUNK = 8192
"""Numbers of a series by which a file without a known number of rounds grows, about."""


class OwnRecord:
    """Collective. Keeps a row for each round, writes them into a results file, and logs them.

    The file is laid out when the names of the caller's values are known: at the first
    :meth:`add`, or at the end.

    Args:
        parts: The parts of gossip.
        path: The results file; None to write none.
        rounds: R; None if that is not known, and the file grows.
        overwrite: Whether it may replace a completed file.

    Attributes:
        writes: Whether there is a file.
        seconds: Seconds of each phase since the last round.
    """

    def __init__(
        self, parts: OwnParts, path: Path | None, rounds: int | None, overwrite: bool
    ) -> None:
        self._parts, self._rounds = parts, rounds
        self.writes, self._path = path is not None, path or Path(OWN)
        self._some = next(iter(parts.models.values())).flat
        self._leads = parts.comm.rank == 0
        self._names: dict[str, str] | None = None
        self._rows: list[dict[str, Array]] = []
        self._written = 0
        self.seconds, self._since = dict.fromkeys(PHASES, 0.0), 0.0
        self._hold = claims.Hold(self._path)
        if path is None:
            if parts.settings.file.record.log:
                raise Fault("log: Gossip was made without out, the results file.")
            return
        with world.agreed(parts.comm):
            loggers.check_names(parts.settings.file.record.log)
            if self._leads:
                if not overwrite and results_file.completed(path):
                    raise Fault(
                        f"out = {shown(str(path))}: holds a completed run; give overwrite=True or "
                        "another file."
                    )
                results_file.examine(path, overwrite=True)
                loggers.check_packages(parts.settings.file.record.log)
        # Without a folder no other run writes there yet.
        claimed(parts.comm, self._hold, False, there=True)

    def lap(self, phase: str = "") -> None:
        """Add the seconds since the last call to a phase of the round; to none if none is named."""
        now = time.perf_counter()
        if phase:
            self.seconds[phase] += now - self._since
        self._since = now

    def begin(self, extras: Mapping[int, Mapping[str, float]]) -> None:
        """Collective. Begin the row of a round that is done, and write what is complete.

        Args:
            extras: Values of the algorithm, by device.
        """
        if not self.writes:
            return
        self._write(len(self._rows))
        exchange = self._parts.gossip.exchange
        row = {
            "finite": np.ones(len(self._parts.models)),
            "consensus_distance": np.array(self._parts.gossip.distances()),
            "bytes_sent": np.array([*exchange.bytes_sent.values()]),
            "bytes_received": np.array([*exchange.bytes_received.values()]),
            "simulated_seconds": np.zeros(len(self._parts.models)),
        }
        for key in self._parts.mixing.algorithm.series:
            row[key] = np.array([own.get(key, np.nan) for own in extras.values()])
        row |= {f"seconds_{phase}": np.array(spent) for phase, spent in self.seconds.items()}
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._rows.append(row)

    def add(self, given: Mapping[str, object]) -> None:
        """Collective. Add the caller's values to the row of the last round.

        Raises:
            Fault: If there is none, or names or values are wrong.
        """
        comm = self._parts.comm
        if not self.writes:
            raise Fault("record(): Gossip was made without out, the results file.")
        if not self._rows:
            raise Fault("record(): mix() must be called before it.")
        names = {name: names_of.series(name) for name in given}
        if self._names is None:
            with world.agreed(comm):
                run_series.of(0, own=names_of.own(names))
            if len({tuple(sorted(own)) for own in comm.allgather(names)}) > 1:
                raise Fault("record(): must be given the same names on every rank.")
            self._open(dict(sorted(names.items())))
        if {*names} != {*(first := self._names or {})}:
            now, allowed = names_of.listed(names), names_of.listed(first)
            raise Fault(
                f"record(): was given {now}; must be given {allowed}, as at its first call."
            )
        for name, value in given.items():
            self._rows[-1][names[name]] = self._values(name, value)
        train = self._rows[-1].get("train_loss")
        if train is not None:
            self._rows[-1]["finite"] = np.isfinite(train).astype(float)

    def _values(self, name: str, value: object) -> Array:
        """A value for each own device, ``(D,)``, from one for all or by device."""
        own = self._parts.models
        if isinstance(value, Mapping):
            value = [float(value.get(number, np.nan)) for number in own]
        try:
            found = np.asarray(value, float)
            return np.array(np.broadcast_to(found, len(own)))
        except (TypeError, ValueError):
            raise Fault(
                f"record(): {name} = {shown(value)}: must be a number, or one for each device of "
                "this rank."
            ) from None

    def _open(self, names: Mapping[str, str]) -> None:
        """Collective. Lay out the file, and open it."""
        parts, comm = self._parts, self._parts.comm
        self._of_run = run_series.of(0, own=names_of.own(names))
        device = parts.gossip.exchange.device
        used = hardware.of_all(comm, device, sharing.count(parts.node.inner, device), False)
        backend = type(parts.gossip.exchange).__name__.lower()

        def contents() -> dict[str, Any]:
            records = code_records.joined([], parts.codes, 0)
            digest = graphs.digest(parts.mixing.topology)
            return {schema.GRAPH_DIGEST: digest, **code_records.attributes(records)}

        precision = str(self._some.dtype).removeprefix("torch.")
        found = provenance.described(comm, self._text(), contents, precision, backend, used)
        with world.agreed(comm):
            if found:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._hold.take(False, lambda line: None)
                results_file.claim(self._path, overwrite=True)
                self._lay_out(found, names)
        node, hosts = parts.node, parts.mixing.hosts
        self._board = Board(node, hosts, width(self._of_run))
        self._recorder = Recorder(
            node, self._path, hosts, parts.settings.file.record, parallel=False
        )
        shown_by = parts.settings.file.record.log if self._leads else []
        loop = Logged(self._path, self._path.stem, live.settings(self._text()), 0)
        self._log = live.LiveLog(shown_by, loop, hosts, parts.mixing.attackers, warn)
        self._names = dict(names)

    def _text(self) -> str:
        """The settings as a run file; what is trained between two rounds counts as an epoch."""
        tables = self._parts.settings.tables()
        if self._rounds is None:
            del tables["training"]["rounds"]
        tables["training"]["epochs"] = 1
        own = {"data": {"name": OWN}, "model": {"name": OWN}}
        return tomli_w.dumps({"name": self._path.stem, **tables, **own})

    def _lay_out(self, attributes: Mapping[str, Any], names: Mapping[str, str]) -> None:
        mixing, count = self._parts.mixing, self._parts.mixing.devices
        own = [*ALWAYS, *(f"seconds_{phase}" for phase in PHASES), "simulated_seconds"]
        wanted = {*own, *mixing.algorithm.series, *names.values()}
        block = max(1, min(256, CHUNK // count))
        nowhere = np.full(count, -1)
        contents = layout.Contents(
            sizes={"round": self._rounds or block, "device": count},
            series={key: v for key, v in self._of_run.variables.items() if key in wanted},
            static={
                "graph": mixing_arrays(mixing, nowhere, self._rounds or 0),
                "placement": mixing_placement(mixing),
            },
            labels={},
            attributes={**attributes, "parameters": self._some.size},
            grows=self._rounds is None,
        )
        layout.create(self._path, contents)

    def _write(self, count: int) -> None:
        """Collective. Write rows that are complete, if the file is laid out."""
        if self._names is None:
            return
        for row in self._rows[:count]:
            values = RoundValues(list(self._parts.models), self._of_run, time.perf_counter)
            for key, own in row.items():
                values[key] = own
            series = Series(self._board.gather(values.array), self._of_run)
            self._recorder.record(series, now=self._recorder.overdue)
            self._log.watch(self._written, series)
            self._written += 1
        del self._rows[:count]

    def close(self, completed: bool) -> None:
        """Collective. Write all rows, mark a completed loop, and close the file."""
        if not self.writes:
            return
        try:
            if self._names is None:
                self._open({})
            self._write(len(self._rows))
            self._recorder.close(completed)
            self._log.completed = completed
            self._log.close()
        finally:
            self._hold.release()


def warn(line: str) -> None:
    """Tell the caller of a logger that fails."""
    print(f"mpidl: {line}", file=sys.stderr, flush=True)
