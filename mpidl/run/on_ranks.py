"""Training on several ranks from a program that has one, such as a notebook."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mpidl.config.faults import Fault, shown
from mpidl.config.outcome import Outcome
from mpidl.config.runfile import RunFile
from mpidl.ranks import host
from mpidl.run import arguments, launching, saved_models
from mpidl.run.trained_run import PREFIX, TrainedRun, place
from mpidl.storage import checkpoint


def named(
    ranks: int,
    source: Path | str | None,
    settings: Mapping[str, Any],
    use: str | Sequence[str],
) -> RunFile:
    """The run file that arguments of :func:`mpidl.train` mean, which other processes can read.

    Raises:
        Fault: If they are wrong, or need an object of this process.
    """
    if type(ranks) is not int or ranks < 1:
        raise Fault(f"ranks = {shown(ranks)}: must be a whole number of at least 1.")
    if host.launched() > 1:
        raise Fault(f"ranks = {ranks}: must be left out, as mpiexec has started this program.")
    given = arguments.read(settings)
    if objects := given.objects():
        raise Fault(
            f"ranks = {ranks}: needs names that other processes find, such as 'file.py:function', "
            f"in place of objects for {', '.join(objects)}."
        )
    return given.file(place(source), ranks, use)


def train(
    run_file: RunFile, ranks: int, out: Path | str | None, overwrite: bool, quiet: bool
) -> TrainedRun:
    """Train on ranks that mpiexec starts; the models come from the checkpoint of the end.

    Raises:
        Fault: If the run is refused.
        Breakdown: If it fails.
        KeyboardInterrupt: After Ctrl-C, when the run has ended.
    """
    keeping = run_file.checkpoint.model_copy(update={"final": True})
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)) if out is None else place(out)
    path = folder / f"{run_file.name}.h5"
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX) as beside:
            text = Path(beside) / "run.toml"
            text.write_text(replace(run_file, checkpoint=keeping).text(), encoding="utf-8")
            words = [str(text), "--out", str(folder), *["--overwrite"] * overwrite]
            outcome = launching.launch(ranks, words, _nothing if quiet else _say)
        models = _models(path, run_file.use) if outcome is Outcome.COMPLETED else {}
    except BaseException:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if outcome is Outcome.COMPLETED:
        checkpoint.discard(path, run_file.checkpoint.final)
    return TrainedRun(path, outcome.name.lower(), models, out is None)


def _models(path: Path, use: Sequence[str]) -> dict[int, torch.nn.Module]:
    found = saved_models.find(path, use)
    return {device: found.model(device) for device in range(found.head.devices)}


def _say(line: str) -> None:
    print(line, flush=True)


def _nothing(line: str) -> None:
    pass
