"""Study files: which runs follow, what they are called, and what is refused."""

import tomllib
from pathlib import Path

import pytest

from mpidl.config.faults import Fault
from mpidl.ensemble import study

BASE = '[topology]\nname = "ring"\ndevices = 6\n[ood]\nsources = 0\n'


@pytest.fixture
def read(tmp_path):
    """As ``read(text, *overrides)``: the study of a text, beside two base files."""
    (tmp_path / "base.toml").write_text(BASE)
    (tmp_path / "other.toml").write_text(BASE.replace("ring", "star"))

    def make(text, *overrides, ranks=None):
        path = tmp_path / "some" / "study.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text('base = "../base.toml"\n' + text)
        return study.read(path.parent, overrides, ranks)

    return make


SEEDS = '[[axes]]\nname = "seed"\nset = "training.seed"\nvalues = [3, 5]\n'
WEIGHTS = '[[axes]]\nname = "weights"\nset = "strategy.name"\nvalues = ["degree", "random"]\n'


def labels(found):
    return [tuple(run.labels.values()) for run in found.runs]


def test_the_last_axis_is_the_fastest(read):
    found = read(SEEDS + WEIGHTS)
    assert (found.name, found.axes) == ("some", ("seed", "weights"))
    assert labels(found) == [("3", "degree"), ("3", "random"), ("5", "degree"), ("5", "random")]
    assert [run.file.training.seed for run in found.runs] == [3, 3, 5, 5]
    assert [run.file.strategy.name for run in found.runs] == ["degree", "random"] * 2
    assert [run.ranks for run in found.runs] == [6] * 4


def test_a_group_sets_several_settings_and_may_change_the_base(read):
    text = (
        '[[axes]]\nname = "way"\n[axes.groups]\n'
        'plain = { strategy.name = "unweighted", training.rounds = 4 }\n'
        'star = { base = "../other.toml", training = { rounds = 7 } }\n'
    )
    plain, star = read(text).runs
    assert (plain.file.topology.name, plain.file.training.rounds) == ("ring", 4)
    assert (star.file.topology.name, star.file.training.rounds) == ("star", 7)
    assert star.file.strategy.name == "degree"


def test_texts_are_filled_with_labels(read):
    text = SEEDS + (
        '[[axes]]\nname = "source"\n[axes.groups]\none = { ood.sources = "random:{seed}" }\n'
        'two = { topology.seed = "{seed}", ood.sources = ["degree:1"] }\n'
    )
    found = read(text).runs
    assert [run.file.ood.sources for run in found][::2] == ["random:3", "random:5"]
    assert [run.file.topology.seed for run in found][1::2] == [3, 5]


def test_exclusions_take_combinations_away(read):
    text = SEEDS + WEIGHTS + '[[exclude]]\nseed = "3"\nweights = ["random", "degree"]\n'
    assert labels(read(text)) == [("5", "degree"), ("5", "random")]


def test_another_builder_forgets_the_parameters_of_the_one_before(read, tmp_path):
    (tmp_path / "base.toml").write_text(BASE + '[strategy]\nname = "random"\ndraw = "frozen"\n')
    found = read(WEIGHTS)
    assert [run.file.strategy.name for run in found.runs] == ["degree", "random"]
    assert found.runs[1].file.strategy.draw == "frozen"


def test_names_tell_what_was_asked_and_a_hash_of_what_decides_results(read):
    text = 'prefix = ["weights"]\n' + SEEDS + WEIGHTS
    names = [run.name for run in read(text).runs]
    assert [name.rpartition("-")[0] for name in names] == ["degree", "random"] * 2
    assert len(set(names)) == 4
    assert [run.file.name for run in read(text).runs] == names
    same = read(text, "data.dir=elsewhere", "record.every=3", "placement.hosts=round_robin")
    assert [run.name for run in same.runs] == names
    assert not set(names) & {run.name for run in read(text, "training.lr=0.2").runs}
    turned = read('prefix = ["weights"]\n' + WEIGHTS + SEEDS)
    assert {run.name for run in turned.runs} == set(names)


def test_a_run_file_that_was_resolved_has_the_same_identity(read):
    for run in read(SEEDS + WEIGHTS).runs:
        told = tomllib.loads(run.file.text())
        again = study.runfile.validate(told, study.plan.KINDS)
        assert study.identity(again) == run.name


def test_a_group_may_have_its_own_ranks(read):
    text = '[[axes]]\nname = "size"\n[axes.groups]\nsmall = { ranks = 2 }\n'
    text += "large = { training.rounds = 3 }\n"
    assert [run.ranks for run in read(text).runs] == [2, 6]
    assert [run.ranks for run in read("ranks = 3\n" + text).runs] == [2, 3]
    with pytest.raises(Fault, match="must be a number of at least 1"):
        read(text.replace("ranks = 2", "ranks = 0"))


def test_ranks_are_limited_by_devices_and_hosts(read):
    assert [run.ranks for run in read("ranks = 4\n" + SEEDS).runs] == [4, 4]
    assert [run.ranks for run in read("ranks = 64\n" + SEEDS).runs] == [6, 6]
    assert [run.ranks for run in read(SEEDS, ranks=2).runs] == [2, 2]
    hosts = "placement.hosts=[0, 0, 1, 1, 2, 2]"
    assert [run.ranks for run in read(SEEDS, hosts).runs] == [3, 3]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[[axes]]\nname = "a b"\nset = "training.seed"\nvalues = [1]\n',
            "axes[0].name = 'a b': must be a word.",
        ),
        (
            '[[axes]]\nname = "a"\nset = "training.seed"\n',
            "must have either set and values, or groups",
        ),
        ('[[axes]]\nname = "a"\nset = "seed"\nvalues = [1]\n', "must be section.key"),
        ('[[axes]]\nname = "a"\nset = "training.seed"\nvalues = []\n', "'a' has no value"),
        ('[[axes]]\nname = "a"\nset = "training.seed"\nvalues = [1, 1]\n', "the same label"),
        (SEEDS + SEEDS, "two axes have the name 'seed'"),
        (SEEDS + '[[exclude]]\nsed = "3"\n', "unknown axis 'sed'; did you mean 'seed'?"),
        (SEEDS + "[[exclude]]\nseed = 3\n", "must be tables of labels, which are texts such as"),
        (SEEDS + '[[exclude]]\nseed = ["3", "5"]\n', "has no run: its exclude list leaves none."),
        (SEEDS + '[[exclude]]\nseed = "4"\n', "has no value '4'; known: 3, 5."),
        ('prefix = ["sed"]\n' + SEEDS, "unknown axis 'sed'; did you mean 'seed'?"),
        (SEEDS.replace("[3, 5]", '["{way}"]'), "unknown axis 'way'; known: seed."),
        (SEEDS.replace("training.seed", "training.sed"), "Unknown setting training.sed"),
        (SEEDS.replace("training.seed", "trainin.seed"), "Unknown section [trainin]"),
        (SEEDS.replace("[3, 5]", "[3, -5]"), "(in the run of seed -5)"),
        (
            SEEDS + '[[axes]]\nname = "hosts"\nset = "record.every"\nvalues = [1, 2]\n',
            "Two runs are the same: 3, 1 and 3, 2; an axis changes nothing.",
        ),
        ("ranks = 0\n" + SEEDS, "must be a number of at least 1, or 'devices'"),
    ],
)
def test_what_cannot_be_is_told(read, text, sentence):
    with pytest.raises(Fault) as fault:
        read(text)
    assert sentence in str(fault.value)


def test_a_graph_needs_its_number_of_devices(read, tmp_path):
    (tmp_path / "base.toml").write_text('[topology]\nname = "ring"\n')
    with pytest.raises(Fault, match="devices is missing: a run of a study"):
        read(SEEDS)


def test_many_faults_end_early(read):
    seeds = ", ".join(str(-seed) for seed in range(1, 100))
    with pytest.raises(Fault) as fault:
        read(SEEDS.replace("3, 5", seeds))
    assert len(fault.value.sentences) == study.FAULTS


def test_data_that_is_not_there_is_told_once(read):
    found = read(SEEDS, "data.name=mnist", "data.dir=nowhere")
    with pytest.raises(Fault) as fault:
        study.check_data(found)
    assert len(fault.value.sentences) == 1
    assert str(Path("nowhere")) in str(fault.value)
