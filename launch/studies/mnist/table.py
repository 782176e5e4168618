"""Put results files side by side, as Markdown: python table.py FILE.h5 ... > table.md."""

import sys
from pathlib import Path

import h5py
import numpy as np

SHOWN = ("iid_accuracy_mixed", "ood_accuracy_mixed", "consensus_distance")


def spread(values: np.ndarray) -> str:
    """Mean, least and greatest over devices, of ``(N,)``."""
    return f"{values.mean():.3f} [{values.min():.3f}, {values.max():.3f}]"


def row(name: str, cells: list[str]) -> str:
    """One line of a Markdown table."""
    return f"| {name} | {' | '.join(cells)} |"


def main(paths: list[str]) -> None:
    """Print how the files were made, the mean by round, and the last round by hops."""
    files = {Path(path).stem: h5py.File(path) for path in paths}
    for name, file in files.items():
        told = {
            key: file.attrs[key] for key in ("started", "commit", "mpi", "torch", "ranks", "cores")
        }
        print(f"- `{name}`: {', '.join(f'{k} {v}' for k, v in told.items())}")
    print("\nMean over devices [least, greatest] after mixing:\n")
    columns = [f"{name} {key.split('_')[0].upper()}" for name in files for key in SHOWN[:2]]
    columns += [f"{name} consensus" for name in files]
    print(row("round", columns))
    print(row("---", ["---"] * len(columns)))
    rounds = min(int(file["rounds_done"][()]) for file in files.values())
    for r in range(rounds):
        cells = [spread(file["series"][key][r]) for file in files.values() for key in SHOWN[:2]]
        cells += [f"{np.sqrt((f['series'][SHOWN[2]][r] ** 2).mean()):.3f}" for f in files.values()]
        print(row(str(r + 1), cells))
    print("\nOOD accuracy of the last round by hops from the source:\n")
    hops = next(iter(files.values()))["graph/hops"][:]
    print(row("hops", [f"{name}" for name in files]))
    print(row("---", ["---"] * len(files)))
    for h in np.unique(hops):
        last = [file["series/ood_accuracy_mixed"][rounds - 1][hops == h] for file in files.values()]
        print(row(f"{h} ({(hops == h).sum()} devices)", [spread(values) for values in last]))


if __name__ == "__main__":
    main(sys.argv[1:])
