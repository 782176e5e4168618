"""Where devices side by side (training.batched = "yes") pay on a processor: a table in Markdown.

    python tests/bench/batched.py [--rounds R] [--devices D ...] [--models NAME ...]

One rank hosts D devices on one thread. Of each model a round one after another and the same round
side by side, in seconds of processor time, the least of R rounds behind a first one; both train
five steps of 16 samples and answer the test set once. Numbers are the first over the second: above
1 it pays.
"""

import argparse
import datetime
import platform
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from mpi4py import MPI

import torch

from mpidl import plan
from mpidl.config import runfile, version
from mpidl.devices import data
from mpidl.run import build, rounds

DEVICES = [2, 4, 8, 16, 32, 128, 512]
MODELS = {
    "logistic": ["model.name=logistic"],
    "mlp 64": ["model.hidden=[64]"],
    "mlp 128": ["model.hidden=[128]"],
    "mlp 256": ["model.hidden=[256]"],
    "mlp 256, 64": ["model.hidden=[256,64]"],
    "mlp 256, 256": ["model.hidden=[256,256]"],
    "mlp 512, 256": ["model.hidden=[512,256]"],
    "cnn": ["model.name=cnn"],
}
SLOW = {"cnn": 8, "mlp 512, 256": 128, "mlp 256, 256": 128}
"""The most devices of models with which a round takes minutes."""


def measure(settings: list[str], devices: int, batched: str, repetitions: int) -> tuple[float, int]:
    """Seconds of processor time of a round, and parameters of the model."""
    wanted = [
        *("topology.name=ring", f"topology.devices={devices}", f"training.batched={batched}"),
        *("training.steps=5", "training.threads=1", f"training.rounds={repetitions + 1}"),
        *("evaluation.moment=mixed", "strategy.name=unweighted", *settings),
    ]
    named = any(setting.startswith("model.name") for setting in settings)
    text = runfile.DEFAULT.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "run.toml"
        text = text.replace("hidden = [64]\n", "") if named else text
        source.write_text(text.replace("epochs = 5\n", ""), encoding="utf-8")
        comm = MPI.COMM_SELF
        made = plan.make(plan.read(source, wanted, 1), 1)
        run_data = data.provide(comm, made)
        made = replace(made, samples=run_data.samples)
        stamps: list[float] = []
        with build.parts(comm, made, run_data, Path(folder) / "bench.h5", parallel=False) as parts:
            timed = replace(parts, timer=time.process_time)
            rounds.run_rounds(timed, lambda *_: stamps.append(time.process_time()), lambda _: None)
            parts.recorder.close(completed=True)
            size = next(iter(parts.devices.values())).flat.size
    return min(after - before for before, after in pairwise(stamps)), size


if __name__ == "__main__":
    reader = argparse.ArgumentParser()
    reader.add_argument("--rounds", type=int, default=2)
    reader.add_argument("--devices", type=int, nargs="+", default=DEVICES)
    reader.add_argument("--models", nargs="+", default=list(MODELS))
    given = reader.parse_args()
    today, commit = datetime.date.today().isoformat(), version.commit()[:7]
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, ", end="")
    print(f"{today}, commit {commit}\n")
    print("| model | parameters | " + " | ".join(f"{d} devices" for d in given.devices) + " |")
    print("| --- " * (2 + len(given.devices)) + "|")
    for name in given.models:
        cells, size = [], 0
        for devices in given.devices:
            if devices > SLOW.get(name, devices):
                cells.append("")
                continue
            alone, size = measure(MODELS[name], devices, "no", given.rounds)
            together, _ = measure(MODELS[name], devices, "yes", given.rounds)
            cells.append(f"{alone / together:.2f}")
        print(f"| {name} | {size:,} | " + " | ".join(cells) + " |", flush=True)
