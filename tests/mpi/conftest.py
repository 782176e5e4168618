"""Whole runs in small, in this process, on the ranks of the test."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mpi4py import MPI

import pytest

from mpidl import plan
from mpidl.config import runfile
from mpidl.config.faults import Fault
from mpidl.config.outcome import Outcome
from mpidl.devices import data

SMALL = (
    "data.train_samples=120",
    "data.test_samples=60",
    "training.rounds=2",
    "training.epochs=1",
    "training.accelerator=cpu",
)
"""What makes the embedded default a matter of milliseconds; tests override it."""


def small(settings: tuple[str, ...], ranks: int) -> plan.Plan:
    """The plan of a small run: the embedded default, made small, with these settings."""
    named = any(setting.startswith("model.name") for setting in settings)
    text = runfile.DEFAULT.read_text(encoding="utf-8")
    if named:
        text = text.replace("hidden = [64]", "")
    wanted = [*SMALL, *([] if named else ["model.hidden=[8]"]), *settings]
    if "topology.name" not in str(settings) and "topology.file" not in str(settings):
        wanted.insert(0, "topology.name=ring")
    return plan.make(runfile.read(text, wanted, plan.KINDS), ranks)


@pytest.fixture
def planned(comm: MPI.Intracomm) -> Callable[..., plan.Plan]:
    """As ``planned(*settings)``: the plan of a small run on all ranks."""
    return lambda *settings: small(settings, comm.size)


@pytest.fixture
def program(comm: MPI.Intracomm, shared_path: Path) -> Callable[..., dict[str, Any]]:
    """As ``program(*settings)``: collective; a small run as the command does it, ``{key: values}``.

    With ``alone`` the same run on the first rank only; all ranks learn the results. They lie in
    ``shared_path / f"{name}.h5"``.
    """
    from mpidl.run import execution

    def start(*settings: str, alone: bool = False, name: str = "run") -> dict[str, Any]:
        path = shared_path / f"{name}.h5"
        on = MPI.COMM_SELF if alone else comm
        failure: Exception | None = None
        if comm.rank == 0 or not alone:
            try:
                assert execution.run(on, small(settings, on.size), path) == 0
            except Exception as error:
                if not alone:
                    raise
                failure = error
        if failed := comm.bcast(repr(failure) if failure else None):
            raise failure or AssertionError(f"rank 0 failed: {failed}")
        return contents(path)

    return start


def contents(path: Path) -> dict[str, Any]:
    """Every data set of a results file, by path."""
    import h5py

    found: dict[str, Any] = {}

    def keep(key: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[key] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return found


@pytest.fixture
def refused(comm: MPI.Intracomm, shared_path: Path) -> Callable[..., Fault]:
    """As ``refused(sentence, *settings)``: collective; the fault by which a small run is refused.

    It is refused where it is begun, before a round; ``sentence`` is a pattern of what is said.
    """
    from mpidl.run import execution

    def begin(sentence: str, *settings: str) -> Fault:
        made = small(settings, comm.size)
        begun = execution.begin(comm, made, shared_path / "run.h5", True, None)
        with pytest.raises(Fault, match=sentence) as fault, begun:
            pass
        return fault.value

    return begin


@pytest.fixture
def read() -> Callable[[Path], dict[str, Any]]:
    """As ``read(path)``: every data set of a results file."""
    return contents


@pytest.fixture
def parts(comm: MPI.Intracomm, shared_path: Path) -> Callable[..., AbstractContextManager[Any]]:
    """A context manager, collective: what a small run is made of, not yet run.

    Beside the parts it has ``run_data``, the data, and ``path``, the results file.
    """
    from mpidl.run import build

    @contextmanager
    def make(*settings: str) -> Iterator[Any]:
        path = shared_path / "parts.h5"
        made = small(settings, comm.size)
        run_data = data.provide(comm, made)
        made = replace(made, samples=run_data.samples)
        with build.parts(comm, made, run_data, path, parallel=False) as parts:
            yield SimpleNamespace(**vars(parts), run_data=run_data, path=path)
            parts.recorder.close(completed=False)

    return make


@pytest.fixture
def finish() -> Callable[[Any], dict[int, Any]]:
    """As ``finish(parts)``: collective; all rounds; copies of this rank's vectors."""
    from mpidl.run import rounds

    def run(parts: Any) -> dict[int, Any]:
        done = rounds.run_rounds(parts, lambda *_: None, lambda _: None)
        assert done is Outcome.COMPLETED
        parts.recorder.write()
        return {i: vector.numpy().copy() for i, vector in parts.gossip.exchange.vectors.items()}

    return run


@pytest.fixture
def checked(comm: MPI.Intracomm, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """As ``checked(made, as_json)``: collective; what a check prints, parsed; None on other ranks.

    Only rank 0 says anything.
    """
    import json

    from mpidl.run import checking

    def said(made: Any, as_json: bool) -> Any:
        with closing(data.provide(comm, made)) as run_data:
            made = replace(made, samples=run_data.samples)
            assert checking.check(comm, made, run_data, as_json) == 0
        told = capsys.readouterr().out
        if comm.rank != 0:
            assert told == ""
            return None
        return json.loads(told) if as_json else told

    return said
