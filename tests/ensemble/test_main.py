"""The command without workers: what it lists, checks, binds and refuses."""

import h5py
import numpy as np
import pytest

from mpidl.config.faults import Fault
from mpidl.ensemble import shapes, sites, study_table
from mpidl.ensemble.__main__ import main
from mpidl.ensemble.folder import Folder
from mpidl.ranks.walltime import seconds


def told(capsys, *arguments):
    """Exit code, output lines and error lines of the command."""
    code = main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err.splitlines()


def test_runs_are_listed(four, capsys):
    code, lines, _ = told(capsys, four, "--list")
    assert code == 0
    assert [line.split()[1:] for line in lines[:-1]] == [
        ["2", "ranks", "0,", "unweighted"],
        ["2", "ranks", "0,", "degree"],
        ["2", "ranks", "1,", "unweighted"],
        ["2", "ranks", "1,", "degree"],
    ]
    assert lines[-1] == "four: 4 runs: 4 of 2 ranks"
    assert told(capsys, four) == (code, lines, [])


def test_a_study_that_nobody_ran_has_a_plan_and_an_empty_table(four, capsys, tmp_path):
    out = ("--out", tmp_path / "out")
    code, lines, _ = told(capsys, four, "--plan", "aurora", "--walltime", "1h", *out)
    assert code == 0
    assert "4 runs" in "\n".join(lines)
    code, lines, _ = told(capsys, four, "--table", *out)
    assert code == 0
    assert len(lines) <= 1


def test_every_run_is_checked(four, capsys):
    code, lines, _ = told(capsys, four, "--check")
    assert (code, lines) == (0, ["four: 4 runs: 4 of 2 ranks; each of them can be run"])
    (four / "base.toml").write_text(
        (four / "base.toml").read_text().replace('"digits"', '"mnist"\ndir = "nowhere"')
    )
    code, _, errors = told(capsys, four, "--check")
    assert (code, len(errors)) == (2, 1)
    assert "nowhere" in errors[0]


def bound(capsys, folder, site, ranks):
    """Cores and accelerator of each rank by slot, as the command prints them."""
    setting = f"topology.devices={ranks}"
    _, lines, _ = told(
        capsys, folder, "--check", "--site", site, "--ranks", ranks, "--set", setting
    )
    rows = [line.split() for line in lines[4:]]
    return {(int(s), int(r)): (int(node), cpus, seen) for s, r, node, cpus, seen in rows}


AURORA = [
    *("1-8", "9-16", "17-24", "25-32", "33-40", "41-48"),
    *("53-60", "61-68", "69-76", "77-84", "85-92", "93-100"),
]


def test_a_rank_of_aurora_has_a_tile_and_the_cores_of_its_socket(four, capsys):
    full = bound(capsys, four, "aurora", 12)
    assert full == {(0, rank): (0, AURORA[rank], str(rank)) for rank in range(12)}
    shared = bound(capsys, four, "aurora", 4)
    assert {slot for slot, _ in shared} == {0, 1, 2}
    for slot in range(3):
        for rank in range(4):
            place = 4 * slot + rank
            assert shared[slot, rank] == (0, AURORA[place], str(place))
    wide = bound(capsys, four, "aurora", 33)
    assert [wide[0, rank] for rank in (0, 10, 11, 32)] == [
        (0, "1-8", "0"),
        (0, "85-92", "10"),
        (1, "1-8", "0"),
        (2, "85-92", "10"),
    ]


def test_a_rank_of_polaris_has_the_cores_beside_its_gpu(four, capsys):
    cores = ["24-31", "16-23", "8-15", "0-7"]
    full = bound(capsys, four, "polaris", 4)
    assert {gpu: cpus.split(",")[0] for _, cpus, gpu in full.values()} == dict(
        zip("0123", cores, strict=True)
    )
    shared = bound(capsys, four, "polaris", 2)
    assert {slot for slot, _ in shared} == {0, 1}
    assert [shared[1, rank][2] for rank in range(2)] == ["2", "3"]


@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 8, 12, 13, 33, 64, 100])
@pytest.mark.parametrize("name", ["aurora", "polaris"])
def test_no_place_is_given_twice(name, ranks):
    site = sites.read(name)
    shape = shapes.shape(site, ranks)
    taken = [
        (at.node, at.place.cpus)
        for slot in range(shape.slots)
        for at in shapes.bindings(site, shape, slot)
    ]
    assert len(set(taken)) == len(taken) == shape.slots * ranks
    assert shape.slots * shape.places <= len(shapes.places(site))


def test_slots_can_be_limited(four, capsys):
    _, lines, _ = told(capsys, four, "--check", "--site", "aurora", "--slots", 2)
    assert "2 runs at a time" in lines[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--site", "mars"], "Unknown site 'mars'; known: aurora, local, polaris, slurm. The path"),
        (["--site", "nothing.toml"], "Cannot read the site file nothing.toml"),
        (["--ranks", "0"], "--ranks 0: must be at least 1."),
        (["--retries", "-1"], "--retries -1: must be at least 0."),
        (["--list", "--check"], "not allowed with argument --list; see python -m mpidl.ensemble"),
        (["--set", "training.round=3"], "Unknown setting training.round; did you mean 'rounds'?"),
        (
            [
                "--site",
                "aurora",
                "--walltime",
                "1h",
                "--ranks",
                "33",
                "--set",
                "topology.devices=33",
            ],
            "Runs of 33 ranks take 3 nodes, and there are 1; ask for more nodes, or limit",
        ),
        (["--site", "slurm", "--walltime", "1h"], "node.cpus = 'auto' of site 'slurm': it takes"),
        (["--site", "aurora"], "--walltime is missing: outside an allocation"),
        (["--site", "local", "--walltime", "soon"], "--walltime 'soon': must be HH:MM:SS"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    four, capsys, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    for name in ("SLURM_JOB_ID", "PBS_JOBID"):
        monkeypatch.delenv(name, raising=False)
    code, _, errors = told(capsys, four, *arguments)
    assert code == 2
    assert any(sentence in line for line in errors)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("text", "amount"),
    [("2h", 7200), ("0.5h", 1800), ("00:10:30", 630), ("168:00:00", 604800)],
)
def test_walltimes_are_read(text, amount):
    assert seconds(text) == amount


@pytest.mark.parametrize("text", ["", "0", "-1", "2", "1:30", "1:2:3:4", "nan", "inf", "1d"])
def test_other_walltimes_are_refused(text):
    with pytest.raises(Fault, match="must be HH:MM:SS"):
        seconds(text)


def test_the_table_has_a_line_for_each_run_that_is_done(four, tmp_path):
    from mpidl.ensemble import study

    found, folder = study.read(four), Folder(tmp_path)
    for number, run in enumerate(found.runs[:2]):
        with h5py.File(folder.results(run.name), "w", libver=("v108", "v110")) as file:
            file["rounds_done"], file["completed"] = 1, 1 - number
            file.attrs["schema"], file.attrs["run_file"] = 1, ""
            # Nothing was measured in round 1, and what an attacker knows does not count.
            iid = np.array([[0.25, 0.75, 0], [np.nan] * 3, [0.5, 1.0, 0], [1.0, 1.0, 0]])
            file["series/iid_accuracy_mixed"] = iid
            file["series/ood_accuracy_mixed"] = np.full((4, 3), np.nan)
            file["placement/attacker"] = [0, 0, 1]
    lines = study_table.text(found, folder).splitlines()
    assert lines == [
        "run,seed,strategy,devices,rounds,iid_last,iid_worst,iid_level,ood_last,ood_worst,ood_level",
        f"{found.runs[0].name},0,unweighted,3,4,1.000000,1.000000,0.708333,,,",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('launcher = "mpirun"', "site.launcher = 'mpirun': "),
        ("nodes = 3", "Unknown setting site.nodes; did you mean 'node'?"),
        (
            "[node]\ncpus = []",
            "node.cpus = []: must be a list of CPU lists such as '0-7', a number, or 'auto'.",
        ),
        ('[node]\ncpus = ["7-0"]', "node.cpus = ['7-0']: must be a list of CPU lists"),
        ('[node]\ncpus = 2\naccelerators = ["0"]', "must name one for each of the 2 places"),
        (
            "[queues.some]\nnodes = [2, 1]\nhours = 1",
            "queues.some.nodes = [2, 1]: must be the fewest and the most nodes.",
        ),
    ],
)
def test_a_bad_site_file_is_told(tmp_path, text, sentence):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(Fault) as fault:
        sites.read(str(path))
    assert sentence in str(fault.value)
