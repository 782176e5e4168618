"""Put the tables of mnist_small and mnist_testbed side by side, as Markdown.

python compare.py SMALL/table.csv TESTBED/table.csv > results/mnist_small.md
"""

import csv
import sys
from pathlib import Path

AWARE, UNAWARE = ("degree", "betweenness"), ("unweighted", "weighted", "random")
COLUMNS = {
    "iid_last": "IID, last round",
    "ood_last": "OOD, last round",
    "ood_level": "OOD, level",
}
CELLS = ("graph", "source")
HEADS = ("aware", "unaware", "difference")


def read(path: str) -> list[dict[str, str]]:
    """The lines of a table."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def values(rows: list[dict[str, str]], column: str, **wanted: object) -> list[float]:
    """A column of the runs that lie where they are wanted on the axes."""
    return [
        float(row[column])
        for row in rows
        if all(
            row[axis] in (labels if isinstance(labels, tuple) else (labels,))
            for axis, labels in wanted.items()
        )
    ]


def mean(numbers: list[float]) -> float:
    """The mean."""
    return sum(numbers) / len(numbers)


def spread(numbers: list[float]) -> str:
    """Mean, least and greatest over seeds."""
    return f"{mean(numbers):.2f} [{min(numbers):.2f}, {max(numbers):.2f}]"


def line(cells: list[str]) -> None:
    """Print one line of a Markdown table."""
    print(f"| {' | '.join(cells)} |")


def main(small: str, testbed: str) -> None:
    """Print both tables: by strategy, and aware against unaware weights."""
    studies = {"mnist_small": read(small), "mnist_testbed": read(testbed)}
    first = studies["mnist_small"]
    cells = list(dict.fromkeys(tuple(row[axis] for axis in CELLS) for row in first))
    strategies = list(dict.fromkeys(row["strategy"] for row in first))
    seeds = len({row["seed"] for row in first})
    print(f"Accuracy after mixing, mean over devices; mean of {seeds} seeds [least, greatest].\n")
    for study, rows in studies.items():
        print(f"`{Path(study).name}`, {len(rows)} runs:\n")
        line(["graph", "source", "weights", *COLUMNS.values()])
        line(["---"] * (3 + len(COLUMNS)))
        for graph, source in cells:
            for strategy in strategies:
                where = {"graph": graph, "source": source, "strategy": strategy}
                found = [spread(values(rows, column, **where)) for column in COLUMNS]
                line([graph, source, strategy, *found])
        print()
    print("OOD level: degree and betweenness against unweighted, weighted and random, and")
    print("the difference in percent of the latter:\n")
    line(["graph", "source", *(f"{study} {what}" for study in studies for what in HEADS)])
    line(["---"] * (2 + len(HEADS) * len(studies)))
    for graph, source in [*cells, ("all", "first"), ("all", "fourth"), ("all", "all")]:
        chosen = dict(zip(CELLS, (graph, source), strict=True))
        where = {axis: label for axis, label in chosen.items() if label != "all"}
        told = []
        for rows in studies.values():
            aware = mean(values(rows, "ood_level", strategy=AWARE, **where))
            unaware = mean(values(rows, "ood_level", strategy=UNAWARE, **where))
            change = f"{100 * (aware / unaware - 1):+.0f} %" if unaware else "-"
            told += [f"{aware:.3f}", f"{unaware:.3f}", change]
        line([graph, source, *told])


if __name__ == "__main__":
    main(*sys.argv[1:])
