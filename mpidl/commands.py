"""Commands of the program ``mpidl``: a table that each rank and its stand-in imports."""

from typing import NamedTuple


class Command(NamedTuple):
    """A command that ``mpidl`` starts.

    Attributes:
        module: The module that ``python -m`` would start.
        parser: The module that has its ``parser()``.
        about: What it does, for the list of commands.
        words: Its first arguments.
    """

    module: str
    parser: str
    about: str
    words: tuple[str, ...] = ()


_DATASETS = "mpidl.components.datasets.__main__"

COMMANDS = {
    "run": Command(
        "mpidl.run", "mpidl.run.command", "train one model per device on a graph, and record"
    ),
    "check": Command(
        "mpidl.run", "mpidl.run.command", "what to expect of a run, without training", ("--check",)
    ),
    "topology": Command(
        "mpidl.topology", "mpidl.preview.topology", "how knowledge will spread on a graph"
    ),
    "study": Command(
        "mpidl.ensemble", "mpidl.ensemble.__main__", "many runs, here or in batch jobs"
    ),
    "report": Command(
        "mpidl.report", "mpidl.report.__main__", "tables, figures, a page from results files"
    ),
    "export": Command("mpidl.export", "mpidl.run.export", "models of a run as safetensors"),
    "new": Command("mpidl.new", "mpidl.new", "copy a study, a script or a site, to change it"),
    "fetch": Command("mpidl.datasets", _DATASETS, "download a data set, and check it", ("fetch",)),
    "verify": Command("mpidl.datasets", _DATASETS, "check files of a data set", ("verify",)),
    "bench": Command("mpidl.bench", "mpidl.bench.__main__", "is this machine fast?"),
    "doctor": Command(
        "mpidl.doctor", "mpidl.doctor.__main__", "what does not fit on this machine, the remedy"
    ),
    "completion": Command(
        "mpidl.completion", "mpidl.completion", "a script by which a shell completes commands"
    ),
}
"""By its name each command; mpiexec may start ``run``, ``check``, ``bench`` and ``doctor``."""

HELP = ("-h", "--help")

VERSION = "--version"
