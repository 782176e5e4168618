"""A model and a table of one's own, in one file.

python examples/csv_model.py writes the table, digits.csv; then
mpiexec -n 2 python -m mpidl.run examples/csv_model.toml trains the model on it.
"""

import csv
from pathlib import Path

import numpy as np
from torch import nn


def table(folder, seed, /, file: str, label: str = "digit", test_every: int = 5):
    """The rows of a csv file: a column of labels, numbers in the others.

    Args:
        folder: ``data.dir``, not used here.
        seed: The seed of the run, not used here.
        file: The file, from the current folder or beside the run file.
        label: The column of labels.
        test_every: Every row whose number this divides is for testing.
    """
    with open(file, newline="") as opened:
        rows = list(csv.DictReader(opened))
    labels = np.array([int(row.pop(label)) for row in rows])
    inputs = np.array([[float(value) for value in row.values()] for row in rows]) / 16
    test = np.arange(len(rows)) % test_every == 0
    return inputs[~test], labels[~test], inputs[test], labels[test]


class Net(nn.Module):
    """Two hidden layers with a way around the second."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, width)
        self.last = nn.Linear(width, outputs)

    def forward(self, rows):
        """Scores of the classes, ``(B, outputs)``, of rows ``(B, inputs)``."""
        hidden = self.first(rows).relu()
        return self.last(hidden + self.second(hidden).relu())


def net(shape, /, width: int = 32):
    """The model for the data of a run."""
    return Net(shape.inputs[0], shape.outputs, width)


if __name__ == "__main__":
    from mpidl.components.datasets import DATASETS

    digits = DATASETS["digits"](None, 0)
    pixels = (digits.train_inputs.reshape(-1, 64) * 16).astype(int)
    with Path("digits.csv").open("w", newline="") as made:
        writer = csv.writer(made)
        writer.writerow(["digit", *(f"pixel {place}" for place in range(64))])
        writer.writerows(np.column_stack([digits.train_labels, pixels]).tolist())
