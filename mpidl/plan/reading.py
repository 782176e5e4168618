"""Reading of run files with all registries, and settings that may change on resuming."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from mpidl.components import attacks, graphs, lr_schedules, placement, strategies
from mpidl.components.algorithms import ALGORITHMS
from mpidl.components.datasets import DATASETS
from mpidl.components.loggers import LOGGERS
from mpidl.components.models import MODELS
from mpidl.components.ood import OODS
from mpidl.components.tasks import TASKS
from mpidl.config import plugins, runfile, shipped, toml
from mpidl.config.faults import shown
from mpidl.config.own_code import Code
from mpidl.config.registry import Kinds
from mpidl.config.runfile import RunFile
from mpidl.config.toml import Tables
from mpidl.exchange import BACKENDS

KINDS: Kinds = {
    "topology": graphs.TOPOLOGIES,
    "strategy": strategies.STRATEGIES,
    "schedule": strategies.SCHEDULES,
    "algorithm": ALGORITHMS,
    "data": DATASETS,
    "ood": OODS,
    "placement": placement.PLACEMENTS,
    "model": MODELS,
    "task": TASKS,
    "lr_schedule": lr_schedules.LR_SCHEDULES,
    "exchange": BACKENDS,
    "attack": attacks.ATTACKS,
    "record": LOGGERS,
}
"""By section of a run file, the registry of its builders."""


FREE: dict[str, list[str] | None] = {
    **runfile.WITHOUT_EFFECT,
    "topology": ["file"],
    "data": ["dir", "file", "test_file"],
    "training": ["rounds", "threads", "accelerator", "batched", "nonfinite"],
    "exchange": ["backend", "accelerator_aware"],
}
"""Settings that may change when a run is resumed, by section; None for the whole section."""


def read(
    source: Path | None, overrides: Sequence[str], ranks: int, use: Sequence[str] = ()
) -> RunFile:
    """Read a run file, with all builders that can be named in it, also those of the user's own.

    Args:
        source: A TOML file; None means the embedded default, sized to the number of ranks.
        overrides: ``section.key=value`` each.
        ranks: Number of ranks.
        use: Files and modules of the user's own, as the command line names them.

    Raises:
        Fault: With one sentence for every setting that is wrong.
        OwnError: If code of the user's own raises an error when it is loaded.
    """
    used = runfile.begin(use)
    if source is not None:
        return runfile.read(source, overrides, KINDS, used)
    text = runfile.DEFAULT.read_text(encoding="utf-8")
    stored = "topology.file" in runfile.overridden(overrides)
    complete = _few(_devices(overrides) or ranks) and not stored
    small = ["topology.name=complete"] if complete else []
    return runfile.read(text, [*small, *overrides], KINDS, used)


def lay_over(
    source: Path | None,
    piece: Tables,
    ranks: int,
    use: str | Sequence[str] = (),
    adopted: Collection[str] = (),
    given: Collection[str] = (),
) -> RunFile:
    """A run file with settings of a program over it, whose paths hold from the current folder.

    Args:
        source: A TOML file; None means the embedded default, sized to the number of ranks.
        piece: Settings by section, and ``name``; code that they name is loaded.
        ranks: Number of ranks.
        use: A file or module of the user's own, or several.
        adopted: Settings, ``"section.key"``, that name functions which are registered already.
        given: Sections of which the program gives the thing, whatever its name.

    Raises:
        Fault: With one sentence for every setting that is wrong.
        OwnError: If code of the user's own raises an error when it is loaded.
    """
    used = runfile.begin(use)
    tables = toml.read(runfile.DEFAULT if source is None else source)
    if source is not None:
        tables.setdefault("name", source.stem)
    elif "topology" not in given and _few(piece.get("topology", {}).get("devices", ranks)):
        runfile.lay_over(tables, {"topology": {"name": "complete"}}, KINDS)
    sections = {key: dict(table) for key, table in piece.items() if key in runfile.SECTIONS}
    keys = [f"{section}.{key}" for section, table in sections.items() for key in table]
    folder = Path() if source is None else shipped.find(source).parent
    runfile.bring(tables, KINDS, [folder], lambda key: key not in keys)
    runfile.bring(sections, KINDS, [Path.cwd()], lambda key: key not in adopted)
    runfile.add_use(tables, [*used, *sections.pop(runfile.USE, [])])
    runfile.lay_over(tables, sections, KINDS)
    if "name" in piece:
        tables["name"] = piece["name"]
    own = [f"{key}=" for key in keys]
    kinds = {section: kind for section, kind in KINDS.items() if section not in given}
    return runfile.placed(runfile.validate(tables, kinds), [folder], own)


def codes(file: RunFile) -> list[Code]:
    """The code from outside of mpidl that a run uses: what its file loads, and builders.

    What a program gives itself, in place of a builder, is not among it.
    """
    stored = file.topology.file is not None
    builders = [
        KINDS[section].get(name)
        for section in KINDS
        if not stored or section != "topology"
        for name in _named(file, section)
    ]
    others = (getattr(getattr(file, section), key, None) for section, key in runfile.OTHERS)
    found = (plugins.find(str(name)) for name in others if plugins.names_code(name))
    known = (builder for builder in builders if builder is not None)
    return plugins.codes(file.use, [*known, *found])


def _named(file: RunFile, section: str) -> list[str]:
    """The names of builders in a section."""
    value = getattr(getattr(file, section), toml.namer(runfile.SECTIONS[section]))
    return value if isinstance(value, list) else [value]


def _few(devices: object) -> bool:
    """Whether devices are too few for the default topology, so that a complete graph is better.

    Barabasi and Albert's growth needs more devices than links per new device.
    """
    return devices in (1, 2)


def _devices(overrides: Sequence[str]) -> int | None:
    for override in reversed(overrides):
        key, _, value = override.partition("=")
        if key.strip() == "topology.devices" and re.fullmatch("[0-9]{1,9}", value.strip()):
            return int(value)
    return None


def differences(text: str, file: RunFile) -> list[tuple[str, str]]:
    """Settings in which a run file differs from a resolved one, and their values there.

    No code is loaded for it, whatever the text names.

    Raises:
        Fault: If the text is not a run file for this version of mpidl.
    """
    before, pairs = runfile.stored(text, KINDS), []
    for section in runfile.SECTIONS:
        free = FREE.get(section, [])
        if free is None:
            continue
        was, is_ = before[section], getattr(file, section).model_dump()
        # Another builder has other parameters.
        keys = ["name"] if was.get("name") != is_.get("name") else dict.fromkeys([*was, *is_])
        pairs += [
            (f"{section}.{key} = {shown(is_.get(key))}", shown(was.get(key)))
            for key in keys
            if key not in free and was.get(key) != is_.get(key)
        ]
    return pairs
