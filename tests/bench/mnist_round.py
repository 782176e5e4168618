"""MNIST on eight devices, from start to exit, beside a plain loop of the same arithmetic.

    python tests/bench/mnist_round.py data/mnist

20,000 training and 4,000 test samples, BA(8, 2, 0), degree weights, the MLP of arXiv 2505.11760,
batches of 64, three rounds of one epoch; each device is scored on all test samples after training
and after mixing. The loop is one process with as many threads as cores, torch modules and
torch.optim, and does no more than that: no OOD data, no losses kept, no results file. Both are
whole processes, imports included; they take turns, the table shows medians. Nothing is written
but into a temporary folder.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "launch" / "studies" / "mnist" / "ba8.toml"
TRAIN, TEST, DEVICES, ROUNDS = 20_000, 4_000, 8, 3
PHASES = ("train", "evaluate", "wait", "exchange", "mix", "record")


def plain(folder: Path, moments: int) -> None:
    """The loop, in one process."""
    import gzip

    import networkx as nx
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional

    def images(name: str, count: int) -> torch.Tensor:
        with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16)
        scaled = pixels.reshape(-1, 1, 28, 28)[:count].astype(np.float32) / 255
        return torch.from_numpy((scaled - 0.1307) / 0.3081)

    def labels(name: str, count: int) -> torch.Tensor:
        with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz") as file:
            return torch.from_numpy(np.frombuffer(file.read(), np.uint8, offset=8)[:count]).long()

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    inputs, targets = images("train", TRAIN), labels("train", TRAIN)
    test_inputs, test_targets = images("t10k", TEST), labels("t10k", TEST)
    draw = np.random.default_rng(0)
    shards = np.array_split(draw.permutation(TRAIN), DEVICES)
    graph = nx.barabasi_albert_graph(DEVICES, 2, seed=0)
    degrees = torch.tensor([graph.degree[i] for i in range(DEVICES)], dtype=torch.float32)
    reach = torch.from_numpy(nx.to_numpy_array(graph)).bool() | torch.eye(DEVICES).bool()
    centrality = degrees / (DEVICES - 1)
    weights = (centrality / 0.1).expand(DEVICES, -1).masked_fill(~reach, -torch.inf).softmax(1)

    models = []
    for _ in range(DEVICES):
        torch.manual_seed(0)
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in ((784, 3136), (3136, 784), (784, 196)):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
        models.append(nn.Sequential(*layers, nn.Linear(196, 10)))
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.01) for model in models]

    def evaluate() -> list[float]:
        scores = []
        with torch.inference_mode():
            for model in models:
                right = 0
                for start in range(0, TEST, 512):
                    logits = model(test_inputs[start : start + 512])
                    asked = test_targets[start : start + 512]
                    functional.cross_entropy(logits, asked).item()
                    right += int((logits.argmax(1) == asked).sum())
                scores.append(right / TEST)
        return scores

    for round_ in range(ROUNDS):
        for model, optimizer, shard in zip(models, optimizers, shards, strict=True):
            for batch in torch.from_numpy(draw.permutation(shard)).split(64):
                optimizer.zero_grad()
                functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
                optimizer.step()
        if moments == 2:
            evaluate()
        with torch.no_grad():
            for slots in zip(*(model.parameters() for model in models), strict=True):
                stacked = torch.stack([slot.detach().flatten() for slot in slots])
                for slot, mixed in zip(slots, weights @ stacked, strict=True):
                    slot.copy_(mixed.view_as(slot))
        print(f"round {round_ + 1}: accuracy {statistics.mean(evaluate()):.3f}", flush=True)


def measured(command: list[str]) -> float:
    """Seconds of a command by the wall; CPU time of ranks that were forked for it is not told."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return seconds


def phases(path: Path) -> dict[str, float]:
    """Seconds of each phase of the run, over all rounds, as the mean device sees them."""
    import h5py

    with h5py.File(path) as file:
        return {phase: float(file[f"series/seconds_{phase}"][()].sum(0).mean()) for phase in PHASES}


def main() -> None:
    """Run both in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with MNIST's four files")
    parser.add_argument("--turns", type=int, default=3, help="how often each runs")
    parser.add_argument("--ranks", type=int, default=DEVICES)
    parser.add_argument("--moment", choices=["both", "mixed"], default="both")
    parser.add_argument("--plain", action="store_true", help="only the loop, in this process")
    options = parser.parse_args()
    folder = options.data.resolve()
    if options.plain:
        plain(folder, 2 if options.moment == "both" else 1)
        return
    settings = {
        "name": "bench",
        "data.dir": folder,
        "data.train_samples": TRAIN,
        "data.test_samples": TEST,
        "training.rounds": ROUNDS,
        "training.accelerator": "cpu",
        "evaluation.moment": options.moment,
    }
    given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    here = [sys.executable, str(Path(__file__).resolve()), str(folder)]
    found: dict[str, list[float]] = {"loop": [], "mpidl": []}
    with tempfile.TemporaryDirectory() as out:
        run = ["mpiexec", "-n", str(options.ranks), sys.executable, "-m", "mpidl.run", str(FILE)]
        for _ in range(options.turns):
            found["loop"].append(measured([*here, "--plain", "--moment", options.moment]))
            found["mpidl"].append(measured([*run, *given, "--out", out, "--overwrite"]))
        spent = phases(Path(out) / "bench.h5")
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, load {os.getloadavg()[0]:.1f}, {options.turns} turns: median (each)")
    middle = {name: statistics.median(times) for name, times in found.items()}
    for name, times in found.items():
        each = ", ".join(f"{seconds:.1f}" for seconds in times)
        print(f"{name:6} {middle[name]:7.1f} s   ({each})")
    print(f"mpidl / loop: {middle['mpidl'] / middle['loop']:.2f}")
    whole = sum(spent.values())
    shares = "  ".join(f"{phase} {seconds / whole:.1%}" for phase, seconds in spent.items())
    print(f"mpidl, last turn: {whole:.1f} s in rounds: {shares}")


if __name__ == "__main__":
    main()
