"""Saved models of a run: read from its newest checkpoint, without its ranks or its graph."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from mpidl import plan as planning
from mpidl.components.datasets import DATASETS
from mpidl.components.models import Shape
from mpidl.config import plugins, runfile, toml
from mpidl.config.faults import Fault, shown
from mpidl.config.runfile import SECTIONS
from mpidl.devices import building, saved
from mpidl.devices.flat import Flat
from mpidl.devices.loading import data_folder
from mpidl.storage import code_records
from mpidl.storage.checkpoint import finder, heads, sealed
from mpidl.storage.checkpoint.heads import Damaged, Head

Number = int | Literal["mean"]
"""A device, or the mean over all devices."""


@dataclass(frozen=True)
class SavedModels:
    """The models in a checkpoint.

    Attributes:
        path: The checkpoint.
        head: Its head.
        use: Code of the user's own that is loaded for it.
    """

    path: Path
    head: Head
    use: tuple[str, ...] = ()

    @cached_property
    def tables(self) -> toml.Tables:
        """The resolved run file of its run."""
        return toml.read(self.head.story.run_file)

    @property
    def state(self) -> str:
        """Which state it is, in words."""
        return f"the state after round {self.head.round} of {self.rounds}"

    @property
    def rounds(self) -> int:
        """Rounds that the run was to have."""
        return int(self.section("training").rounds)

    def changes(self) -> list[str]:
        """Sentences on the user's own code that is not what the run had."""
        lines, records = list[str](), {record.name: record for record in self.head.story.code}
        for code in plugins.codes(self.use):
            was = records.get(code.name)
            if was is not None and was.sha256 != code.sha256:
                told = f"{code.name} is {code_records.shown(code)}"
                lines.append(f"{told}, and the run had {code_records.shown(was)}")
        return lines

    def section(self, name: str) -> Any:
        """The settings of a section; the code that they name must be loaded by a person.

        Raises:
            Fault: If it is not, or this version of mpidl does not know the settings.
        """
        table, registry = dict(self.tables.get(name, {})), planning.KINDS.get(name)
        if registry is not None:
            key = toml.namer(SECTIONS[name])
            table[key] = self._known(name, key, str(table.get(key, "")))
        return toml.check(name, SECTIONS[name], table, registry)

    def _known(self, section: str, key: str, name: str) -> str:
        registry = planning.KINDS[section]
        if name in registry or not plugins.names_code(name):
            return name
        source = name.rpartition(":")[0]
        if source in {code.name for code in plugins.codes(self.use)}:
            return registry.bring(name, subject=f"{section}.{key} = {shown(name)}")
        raise Fault(
            f"{self.path}: its {registry.kind} is {name!r}, code of its user's own"
            f"{self._digest(source)}, which no checkpoint loads; name the file by --use, or use=."
        )

    def _digest(self, source: str) -> str:
        """A clause with the SHA-256 of code, if the checkpoint has it."""
        records = self.head.story.code
        found = next((r.sha256 for r in records if r.name == source and r.sha256), "")
        return f" with the SHA-256 {found}" if found else ""

    @cached_property
    def shape(self) -> Shape:
        """The shape of its samples; of older checkpoints, that of their data set.

        Raises:
            Fault: If that cannot be read.
        """
        told = self.head.story.samples
        if told is not None:
            return Shape(tuple(told.inputs), told.outputs, told.vocabulary)
        section = self.section("data")
        data = DATASETS.build(section, data_folder(section.dir), self.section("training").seed)
        return Shape(data.shape, data.outputs, data.vocabulary)

    def model(self, number: Number) -> nn.Module:
        """The model of a device, or the mean of all, in evaluation mode.

        Raises:
            Fault: If there is no such device, or the model cannot be made.
        """
        devices = range(self.head.devices)
        if number != "mean" and number not in devices:
            raise Fault(
                f"device = {shown(number)}: must be from 0 to {devices[-1]}, or 'mean', for the "
                f"run in {self.path}."
            )
        first = 0 if number == "mean" else number
        section, training = self.section("model"), self.section("training")
        model = building.initial_model(section, training, self.shape, first)
        state = self._mean() if number == "mean" else self._state(first)
        if len(state["vector"]) != Flat(model).size:
            raise Fault(
                f"{self.path}: has {len(state['vector']):,} numbers of a model, and "
                f"{section.name!r} has {Flat(model).size:,}; give the code of its run."
            )
        saved.fill(model, state)
        return model.eval()

    def _state(
        self, device: int, parts: Sequence[str] = ("vector", "counters")
    ) -> dict[str, Tensor]:
        names = [name for name in parts if name in self.head.saved]
        try:
            loaded = [sealed.load(self.path, self.head, [device], name)[0] for name in names]
        except Damaged as damage:
            raise Fault(f"{self.path} {damage}.") from None
        return {name: torch.from_numpy(arrays[name]) for arrays in loaded for name in arrays}

    def _mean(self) -> dict[str, Tensor]:
        """The mean of all vectors; counters are those of device 0."""
        first = self._state(0)
        total = first["vector"].numpy().astype(np.float64)
        for device in range(1, self.head.devices):
            total += self._state(device, ["vector"])["vector"].numpy()
        mean = torch.from_numpy((total / self.head.devices).astype(np.float32))
        return first | {"vector": mean}


def find(run: Path | str, use: str | Sequence[str] = ()) -> SavedModels:
    """The newest complete checkpoint of a run.

    Args:
        run: The results file, the folder of its checkpoints, or a checkpoint.
        use: Files and modules of the user's own that the run used.

    Raises:
        Fault: If there is none.
        OwnError: If code of the user's own raises an error when it is loaded.
    """
    used = tuple(runfile.begin(use))
    place, troubles = Path(run).expanduser(), list[str]()
    for path in _candidates(place):
        try:
            return SavedModels(path, heads.read(path), used)
        except Damaged as damage:
            troubles.append(f"{path} {damage}.")
    if not troubles and not place.exists():
        raise Fault(f"{place}: there is no such file or folder.")
    raise Fault(
        *troubles
        or [f"{place}: has no checkpoint; checkpoint.final = true keeps that of the last round."]
    )


def _candidates(run: Path) -> Iterator[Path]:
    if run.is_dir():
        yield from finder.newest_first(run)
    elif run.suffix == ".hdf5":
        yield run
    else:
        yield from finder.newest_first(finder.folder(run))


def load_model(run: Path | str, device: Number, *, use: str | Sequence[str] = ()) -> nn.Module:
    """The model of a device of a run, from its newest checkpoint, in evaluation mode.

    Args:
        run: The results file, the folder of its checkpoints, or a checkpoint.
        device: The device; ``"mean"`` for the mean of all devices' parameters and batch-norm
            statistics.
        use: Files and modules of the user's own that the run used.

    Warns:
        UserWarning: If the checkpoint is not that of the last round.

    Raises:
        Fault: If there is no checkpoint or no such device, or the code of the model is missing.
    """
    found = find(run, use)
    warn(found)
    return found.model(device)


def warn(found: SavedModels) -> None:
    """Warn the caller of a function of the front door of what differs from the finished run."""
    early = [f"{found.path} has {found.state}"] if found.head.round < found.rounds else []
    for note in [*early, *found.changes()]:
        warnings.warn(note, stacklevel=4)
