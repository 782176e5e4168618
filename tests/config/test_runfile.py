"""Run files: read, checked whole, overridden, and written so that they read the same."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from mpidl import plan
from mpidl.config import runfile
from mpidl.config.faults import Fault

STUDIES = Path(__file__).parents[2] / "launch" / "studies"
FILES = sorted(path for path in STUDIES.glob("*/*.toml") if path.name != "study.toml")

FULL = """
name = "full"

[topology]
name = "watts_strogatz"
devices = 12
link_probability = 0.5

[strategy]
name = "random"
temperature = -2.5
draw = "frozen"

[schedule]
name = "cosine"
period = 4

[ood]
sources = ["degree:1", 3]

[placement]
name = "dirichlet"
label_alpha = 0.1
hosts = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]

[model]
name = "mlp"
hidden = [32, 16]

[training]
optimizer = "adam"
betas = [0.8, 0.99]
steps = 3

[exchange]
mixing = "sequential"
sequence = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
"""


def read(source, *overrides):
    return runfile.read(source, overrides, plan.KINDS)


def sentences(source, *overrides):
    with pytest.raises(Fault) as fault:
        read(source, *overrides)
    return fault.value.sentences


def test_an_empty_file_has_every_default():
    file = read("")
    assert file.name == "run"
    assert file.training == runfile.TrainingSettings()
    assert (file.topology.name, file.model.name) == ("barabasi_albert", "mlp")


@pytest.mark.parametrize("source", ["", FULL, *FILES], ids=lambda source: Path(source).stem[:9])
def test_a_resolved_file_reads_the_same(source):
    file = read(source)
    again = read(file.text())
    assert again == file
    assert again.text() == file.text()


def test_a_resolved_file_says_every_setting():
    tables = tomllib.loads(read(FULL).text())
    assert list(tables) == ["name", *runfile.SECTIONS]
    assert tables["strategy"] == {
        "name": "random",
        "temperature": -2.5,
        "normalize": "softmax",
        "draw": "frozen",
        "frozen_rounds": 10,
    }
    assert tables["training"]["betas"] == [0.8, 0.99]
    assert tables["training"]["seed"] == 0


def test_other_settings_are_other_files():
    assert read(FULL) != read(FULL, "strategy.frozen_rounds=3")
    assert read("", "model.name=logistic") != read("")


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        read("").training.rounds = 3


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("training.rounds=7", "training", "rounds", 7),
        (" training.lr = 1e-3 ", "training", "lr", 1e-3),
        ("training.lr=1", "training", "lr", 1.0),
        ("strategy.name=unweighted", "strategy", "name", "unweighted"),
        ('strategy.name="unweighted"', "strategy", "name", "unweighted"),
        ("ood.sources=degree:2", "ood", "sources", "degree:2"),
        ("ood.sources=[1, 2]", "ood", "sources", [1, 2]),
        ("topology.allow_disconnected=true", "topology", "allow_disconnected", True),
        ("topology.file=graphs/a=b.txt", "topology", "file", "graphs/a=b.txt"),
        ("model.hidden=[5]", "model", "hidden", [5]),
    ],
)
def test_overrides(override, section, key, value):
    found = getattr(getattr(read("", override), section), key)
    assert found == value
    assert type(found) is type(value)


def test_overrides_come_after_the_file_and_the_last_one_holds():
    file = read(FULL, "training.steps=8", "training.steps=9", "name=other")
    assert (file.training.steps, file.name) == (9, "other")
    assert file.model.hidden == [32, 16]


def test_the_name_is_the_files_unless_it_says_another(tmp_path):
    path = tmp_path / "first.toml"
    path.write_text("[training]\nrounds = 3\n", encoding="utf-8")
    assert read(path).name == "first"
    path.write_text("name = 'second'\n", encoding="utf-8")
    assert read(path).name == "second"


def test_all_errors_of_a_file_are_told_at_once():
    told = sentences(
        "[training]\nrounds = 'ten'\nlr = nan\n[topology]\nnmae = 'ring'\n[modle]\nname = 'mlp'\n",
        "strategy.name=degre",
        "strategy.temperature=0",
    )
    assert len(told) == 6
    for part in ("training.rounds = 'ten'", "training.lr = nan", "did you mean 'name'?"):
        assert any(part in sentence for sentence in told)
    assert any("did you mean 'model'?" in sentence for sentence in told)
    assert any("did you mean 'degree'?" in sentence for sentence in told)


@pytest.mark.parametrize(
    "override",
    [
        "training.rounds=0",
        "training.rounds=2.0",
        "training.rounds=true",
        "training.lr=nan",
        "training.lr=inf",
        "training.lr=0",
        "training.momentum=1",
        "training.participation=0",
        "strategy.temperature=0",
        "strategy.temperature=nan",
        "schedule.name=none",
        "model.hidden=[0]",
        "model.hidden=8",
        "ood.sources=1.5",
        "evaluation.accuracy=rounded",
        "training.seed=-1",
        "training.rounds",
        "rounds=3",
        "training.a.b=3",
        "name=a/b",
        "strategy.draw=frozen",
    ],
)
def test_one_wrong_setting_is_one_sentence(override):
    (sentence,) = sentences("", override)
    assert sentence.endswith((".", "?"))
    assert "\n" not in sentence


@pytest.mark.parametrize("content", [b"rounds = ", b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "bad.toml"
    if content is not None:
        path.write_bytes(content)
    (sentence,) = sentences(path)
    assert str(path) in sentence


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        # tomllib takes minutes for these, and each setting would be told to be wrong.
        ("a." * 200_000 + "a = 1", "has more than 100 dots in a row in line 1"),
        ("\n[" + "'a' . " * 100_000 + "a]", "has more than 100 dots in a row in line 2"),
        ("".join(f"a{n} = 1\n" for n in range(3000)), "has more than 2,000 settings"),
        ("".join(f"[a{n}]\n" for n in range(3000)), "has more than 2,000 settings"),
        ("#" * 2**21 + "#", "has 2,097,153 bytes; at most 2,097,152 are read"),
        ("[placement]\nhosts = [" + "-1," * 200_000 + "]", "must be 'blocks', 'round_robin', or"),
        ("[exchange]\nsequence = [" + "1," * 200_000 + "]", "must be a list of all devices"),
    ],
    ids=range(7),
)
def test_what_costs_more_than_its_size_is_bounded(tmp_path, content, sentence):
    path = tmp_path / "run.toml"
    path.write_text(content)
    (told,) = sentences(path)
    assert sentence in told


def test_many_fractions_in_a_line_are_no_dots_in_a_row():
    (told,) = sentences("[training]\nlr = [" + "0.1," * 200 + "]")
    assert told.startswith("training.lr = ")


def test_a_graph_comes_from_a_family_or_from_a_file():
    with pytest.raises(Fault, match="'ring': must not be set beside"):
        runfile.read('[topology]\nname = "ring"\nfile = "x.txt"', (), plan.KINDS)


@pytest.mark.parametrize(
    ("text", "override", "want"),
    [
        ('file = "x.txt"', "topology.name=ring", ("ring", None)),
        ('name = "barabasi_albert"\nm = 3', "topology.file=x.txt", (None, "x.txt")),
    ],
)
def test_an_override_says_where_the_graph_comes_from(text, override, want):
    file = runfile.read(f"[topology]\n{text}", [override], plan.KINDS)
    stored = tomllib.loads(file.text())["topology"]
    assert (stored.get("name"), stored.get("file")) == want
    assert "m" not in stored
    assert runfile.read(file.text(), (), plan.KINDS) == file
