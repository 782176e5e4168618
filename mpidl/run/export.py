"""Command that writes the models of a run as safetensors, for other programs.

python -m mpidl.export RUN --device 3|all|mean --to DIR
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mpidl.config.faults import Fault, Parser, command, shown

if TYPE_CHECKING:
    from mpidl.run.saved_models import Number, SavedModels


def parser() -> Parser:
    """The command line of ``python -m mpidl.export``."""
    parser = Parser(
        prog="python -m mpidl.export",
        description="Write models of a run as safetensors, with the names that tensors have there.",
        epilog="Exit codes: 0 done, 2 wrong input, 130 Ctrl-C.",
    )
    add = parser.add_argument
    add(
        "run",
        metavar="RUN",
        help="a results file, whose newest checkpoint is taken, a folder of checkpoints, or one",
    )
    add(
        "--device",
        default="all",
        metavar="DEVICE",
        help="a device, all (a file for each, the default), or mean: the mean over devices of "
        "parameters and batch-norm statistics",
    )
    add("--to", required=True, type=Path, metavar="DIR", help="the folder for the files")
    parser.add_use()
    return parser


def export(found: "SavedModels", device: "Number", folder: Path) -> Path:
    """Write the model of a device, or the mean of all; the path of the file.

    Args:
        found: The models.
        device: The device, or ``"mean"``.
        folder: The folder, which is made if it is missing.

    Raises:
        Fault: If safetensors is missing, or the file cannot be written.
    """
    try:
        from safetensors.torch import save_model
    except ModuleNotFoundError:
        raise Fault("Models are written by safetensors: pip install 'mpidl[export]'.") from None
    path = folder / ("mean.safetensors" if device == "mean" else f"device_{device}.safetensors")
    model = found.model(device)
    facts = {"device": str(device), "round": str(found.head.round), "mpidl": found.head.story.mpidl}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_model(model, str(path), facts)
    except OSError as error:
        raise Fault(f"Cannot write {path}: {error.strerror or error}.") from None
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 done, 2 the user's fault, 130 Ctrl-C."""

    def work() -> int:
        options = parser().parse_args(arguments)
        from mpidl.run import saved_models

        found = saved_models.find(options.run, options.use)
        devices = chosen(options.device, found)
        print(f"{found.path}: {found.state}", flush=True)
        for note in found.changes():
            print(note, flush=True)
        for device in devices:
            print(export(found, device, options.to), flush=True)
        return 0

    return command(work)


def chosen(text: str, found: "SavedModels") -> list["Number"]:
    """The devices that ``--device`` names.

    Raises:
        Fault: If it names none.
    """
    if text == "mean":
        return ["mean"]
    if text == "all":
        return list(range(found.head.devices))
    if not text.isdecimal() or int(text) >= found.head.devices:
        last = found.head.devices - 1
        raise Fault(f"--device {shown(text)}: must be from 0 to {last}, 'all' or 'mean'.")
    return [int(text)]
