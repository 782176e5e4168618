"""The command that says what a graph lets expect."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mpidl import plan
from mpidl.components import graphs, strategies
from mpidl.preview import topology
from mpidl.ranks import host

ROOT = Path(__file__).parents[2]
STORED = ROOT / "topologies" / "ba_8_2_0.txt"


def asked(capsys, *arguments):
    assert topology.main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_family(capsys):
    found = asked(capsys, "ring", "--devices", 8, "--set", "ood.sources=2")
    assert (found["devices"], found["links"], found["diameter"]) == (8, 16, 4)
    assert found["sources"] == [2]
    assert found["bridges"] == []
    rows = found["strategies"]
    assert set(rows) == set(strategies.STRATEGIES)
    # A fair walk around a circle takes d (N - d) steps, and rests every third round.
    hops = [min((i - 2) % 8, (2 - i) % 8) for i in range(8)]
    want = [1.5 * d * (8 - d) for d in hops]
    for name in ("unweighted", "degree", "sinkhorn", "metropolis_hastings"):
        assert rows[name]["passage"] == pytest.approx(want)
        assert rows[name]["stationary"] == pytest.approx([1 / 8] * 8)
    assert rows["federated"]["passage_worst"] == pytest.approx([8] * 8)
    assert rows["none"]["passage"] == [0 if i == 2 else None for i in range(8)]
    assert rows["random"]["followed"] > 50
    assert found["advice"] == {
        "strategy": "unweighted",
        "device": 0,
        "passage_worst": pytest.approx(24),
    }


@pytest.mark.parametrize("name", sorted(graphs.TOPOLOGIES))
def test_every_family_is_told(capsys, monkeypatch, name):
    monkeypatch.setattr("mpidl.components.graphs.prediction.ROUNDS", 50)
    assert topology.main([name, "--set", "topology.allow_disconnected=true"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{name} graph of {topology.DEVICES} devices, ")
    assert all(
        re.search(rf"(\n|^left out: .*){one}\b", said, re.M) for one in strategies.STRATEGIES
    )


def test_the_graph_of_a_file(capsys):
    found = asked(capsys, STORED)
    assert found["devices"] == 8
    made = plan.make(plan.read(None, [f"topology.file={STORED}"], 1), 1)
    want = graphs.first_passage(made.matrix(), made.sources)
    assert found["strategies"]["degree"]["passage"] == pytest.approx(want.tolist())


def test_a_run_file_says_how_its_strategies_weigh(capsys, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        "[topology]\nname = 'star'\ndevices = 6\n[strategy]\nname = 'closeness'\n"
        "temperature = 0.5\nnormalize = 'plain'\n[placement]\nhosts = [0, 1, 2, 3, 4, 5]\n"
    )
    found = asked(capsys, file)
    assert found["strategy"] == "closeness"
    made = topology.read(str(file), [])
    for name in ("degree", "closeness"):
        own = topology.named(made, name)
        assert (own.temperature, own.normalize) == (0.5, "plain")
    assert topology.named(made, "unweighted").model_dump() == {
        "name": "unweighted",
        "temperature": 0.5,
    }
    assert topology.main([str(file)]) == 0
    said = capsys.readouterr().out
    assert "closeness (strategy.name) in detail:" in said
    assert "knowledge spreads fastest from device 0" in said


def test_a_strategy_that_the_graph_refuses_is_left_out_with_its_sentence(capsys, monkeypatch):
    monkeypatch.setattr(graphs, "LINKS", 40)
    found = asked(capsys, "ring")
    assert "have more links than the 40" in found["strategies"]["federated"]["left_out"]
    assert "passage" in found["strategies"]["degree"]


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("topology.seed=1", False),
        ("topology.link_probability=0.9", True),
        ("training.participation=0.5", True),
        ("schedule.name=exponential", True),
    ],
)
def test_weights_that_change_are_told(capsys, monkeypatch, setting, changes):
    monkeypatch.setattr("mpidl.components.graphs.prediction.ROUNDS", 50)
    allowed = "topology.allow_disconnected=true"
    assert topology.main(["ring", "--set", setting, "--set", allowed]) == 0
    assert ("W is not the same in every round" in capsys.readouterr().out) == changes


def test_what_is_left_out_for_one_reason_is_one_line(capsys):
    assert topology.main(["star", "--devices", "3"]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if "krum" in one]
    assert line.startswith("left out: trimmed_mean, median, krum")
    assert line.endswith("betweenness_similarity: weights follow from the vectors that arrive")


def test_what_does_not_arrive_while_w_changes_is_not_called_never(capsys, monkeypatch):
    monkeypatch.setattr("mpidl.components.graphs.prediction.ROUNDS", 50)
    settings = "topology.link_probability=0.9", "strategy.name=none"
    assert topology.main(["ring", *[x for one in settings for x in ("--set", one)]]) == 0
    said = capsys.readouterr().out
    assert "never" not in said.replace(". never,", "")
    assert re.search(r"none +0.0000 +- +nobody +>50 +>50 +- +-\n", said)
    assert "from no device does knowledge reach all others in the 50 rounds" in said


def test_rounds_that_a_changing_graph_has_are_told(capsys):
    assert topology.main(["one_peer_exponential", "--devices", "4"]) == 0
    said = capsys.readouterr().out
    assert "repeats itself after 2 rounds; these are all links of the run's 10 rounds" in said
    assert "its first has 4 of them" in said
    assert "0  \\ . + +\n" in said


def test_one_device_needs_no_advice(capsys):
    assert topology.main(["complete", "--devices", "1"]) == 0
    assert "advice" not in capsys.readouterr().out


def test_of_a_large_graph_the_rest_is_left_out(capsys, monkeypatch):
    monkeypatch.setattr("mpidl.components.graphs.prediction.CLOSE", 10)
    found = asked(capsys, "ring")
    assert {"communities", "advice"}.isdisjoint(found)
    assert "passage" not in found["strategies"]["degree"]
    assert found["strategies"]["degree"]["spectral_gap"] > 0
    assert topology.main(["ring"]) == 0
    said = capsys.readouterr().out
    assert "how knowledge spreads are not sought beyond" in said
    assert "advice" not in said


def test_of_many_devices_those_are_listed_from_which_to_spread(capsys):
    assert topology.main(["star", "--devices", "60"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("of the 10 devices from which all are reached first:")
    assert [line.split()[0] for line in lines[at + 3 : at + 13]] == [*map(str, range(10))]
    assert "advice" in lines[at + 14]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rign"], "'rign' is neither a file nor a topology; did you mean 'ring'?"),
        (
            ["none.txt"],
            "Cannot read the graph file none.txt: No such file or directory; looked for",
        ),
        (
            ["none.toml"],
            "Cannot read the run file none.toml: No such file or directory; looked for",
        ),
        (["ring", "--devices", "0"], "topology.devices = 0: should be greater than or equal"),
        (["ring", "--devices", "few"], "topology.devices = 'few': should be a valid integer."),
        (["hypercube", "--devices", "6"], "topology.devices = 6: a hypercube needs a power of"),
        ([str(STORED), "--devices", "5"], "topology.devices = 5: the graph file"),
        (["ring", "--set", "strategy.name=degre"], "strategy.name = 'degre': unknown strategy;"),
        (["ring", "--set", "ood.sources=99"], "ood.sources = 99: "),
        (["ring", "--rounds"], "Unrecognized arguments: --rounds; see python -m mpidl.topology"),
        ([], "The following arguments are required: NAME|FILE; see python -m mpidl.topology"),
    ],
)
def test_a_users_fault_is_told_in_a_sentence(capsys, arguments, sentence):
    assert topology.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[0].startswith(f"mpidl: {sentence}")


def test_it_starts_neither_mpi_nor_torch():
    code = (
        "import sys; from mpidl import topology; assert topology.main(['ring', '--json']) == 0; "
        "print('mpi4py.MPI' in sys.modules, 'torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=host.unlaunched(os.environ),
        cwd=ROOT,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "False False"


@pytest.mark.parametrize(("devices", "agreed"), [(8, 3), (16, 4), (6, None)])
def test_a_graph_that_changes_is_followed(capsys, devices, agreed):
    """One-peer exponential graphs of 2^k devices average exactly in k rounds, others never."""
    found = asked(capsys, "one_peer_exponential", "--devices", devices)
    row = found["strategies"]["unweighted"]
    assert row["agreed"] == agreed
    # Of 6 devices disagreement is 0.216506 after each three rounds: tests/components/graphs.
    assert row["spectral_gap"] == pytest.approx(1 - 0.216506 ** (1 / 3) if devices == 6 else 1)
