"""Arguments of Python calls: sections of a run file from names, dictionaries and objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpidl import plan as planning
from mpidl.config.faults import Fault, nearest, shown
from mpidl.config.runfile import SECTIONS, RunFile
from mpidl.config.toml import Tables, namer

SECTION_OF = {"dataset": "data", "backend": "exchange"}
"""Arguments with another name than their section."""


@dataclass
class Arguments:
    """What the arguments of a call say.

    Attributes:
        tables: Settings by section, and the name of the run.
        adopted: Settings, ``"section.key"``, that name functions which the call gives.
    """

    tables: Tables = field(default_factory=dict)
    adopted: set[str] = field(default_factory=set)

    def file(self, source: Path | None, ranks: int, use: Sequence[str]) -> RunFile:
        """The run file that they mean, laid over another one; see :func:`mpidl.plan.lay_over`.

        Raises:
            Fault: With one sentence for every setting that is wrong.
        """
        return planning.lay_over(source, self.tables, ranks, use, self.adopted)

    def add(self, argument: str, section: str, value: object) -> None:
        """Add the settings of a section that an argument means; a function is registered.

        Raises:
            Fault: If it means nothing.
        """
        if section not in planning.KINDS:
            if not isinstance(value, Mapping):
                raise Fault(f"{argument} = {shown(value)}: must be a dictionary, as in a run file.")
            self.tables[section] = dict(value)
            return
        key, registry = namer(SECTIONS[section]), planning.KINDS[section]
        if section == "topology" and isinstance(value, Path):
            value = {"file": str(value)}
        settings = dict(value) if isinstance(value, Mapping) else {key: value}
        named = settings.get(key, "")
        if _made(section, named):
            raise Fault(
                f"{argument} is a model already: must be a function or class that makes one for "
                "each device, such as lambda: MyModel()."
            )
        if callable(named):
            settings[key] = registry.adopt(named)
            self.adopted.add(f"{section}.{key}")
        elif not isinstance(named, str):
            raise Fault(
                f"{argument} = {shown(named)}: must be a name, a function, or a dictionary, as in "
                "a run file."
            )
        self.tables[section] = settings


def read(settings: Mapping[str, object]) -> Arguments:
    """What arguments say, each the value of a section of a run file, or ``name``.

    Args:
        settings: A name, a function in place of one, or a dictionary with the settings of the
            section; by the name of the section, or of :data:`SECTION_OF`.

    Raises:
        Fault: If there is no such section, or a value means nothing.
    """
    found, faults = Arguments(), list[str]()
    known = {**SECTION_OF, **{section: section for section in SECTIONS}}
    for argument, value in settings.items():
        section = known.get(argument)
        if argument == "name":
            found.tables["name"] = value
        elif section is None:
            faults.append(f"Unknown argument {argument}; {nearest(argument, ['name', *known])}")
        elif section in found.tables:
            faults.append(f"{argument} and {section} are the same: must be given once.")
        elif value is not None:
            try:
                found.add(argument, section, value)
            except Fault as fault:
                faults += fault.sentences
    if faults:
        raise Fault(*faults)
    return found


def _made(section: str, value: object) -> bool:
    """Whether a model is given in place of what makes one."""
    return section == "model" and hasattr(value, "state_dict") and not isinstance(value, type)
