"""Which device is last, and what is said of it."""

import networkx as nx
import numpy as np
import pytest

from mpidl.report import answers, shelf, summary


@pytest.fixture
def chain(write, tmp_path):
    """A chain 0 to 4 whose source is 0; device i is right from round i on."""

    def made(name="run", rounds=6, **how):
        ood = (np.arange(rounds)[:, None] >= np.arange(5)).astype(float)
        graph = nx.path_graph(5)
        return write(tmp_path / f"{name}.h5", ood, np.full((rounds, 5), 0.9), graph=graph, **how)

    return made


def test_the_last_device_is_told_and_why(chain):
    told = summary.read(chain()).late
    assert told.startswith(
        "The last device to reach OOD accuracy 0.5 is device 4, in round 5 (median 3.5). Why: it "
        "is 4 links from the nearest source (median 2.5), W predicts "
    )
    # Device 4 has two members with half its weight each, the others three.
    assert told.endswith("nearer to the source have 0.5 of its weights (median 0.33).")


def test_who_never_learned_is_told_with_the_accuracy(chain):
    told = summary.read(chain(rounds=3)).late
    assert told.startswith(
        "2 of the 4 devices that had to learn it did not reach OOD accuracy 0.5 in 3 rounds; "
        "device 3 knows least of it (0.00). Why: it is 3 links"
    )


def test_without_ood_data_there_is_nobody_to_wait_for(write, tmp_path):
    nothing = write(tmp_path / "a.h5", np.full((3, 4), np.nan), np.ones((3, 4)), sources=())
    assert summary.read(nothing).late == ""


def test_of_several_runs_it_is_told_by_strategy(chain):
    paths = [
        chain(f"{name}{seed}", rounds, settings=[f"strategy.name={name}", f"training.seed={seed}"])
        for name, rounds in (("degree", 6), ("unweighted", 3))
        for seed in range(2)
    ]
    (told,) = answers.sentences(shelf.read(paths))
    assert told == (
        "The last device reached OOD accuracy 0.5 by unweighted in 0 of 2 runs; by degree in 2 of "
        "2 runs, in the median after round 5. The report of a single run says which device is "
        "last, and why."
    )
    assert answers.sentences(shelf.read(paths[:1])) == [summary.read(paths[0]).late]
