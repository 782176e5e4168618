"""What ``--list`` says of every setting."""

import json

import pytest

from mpidl.config.faults import Fault
from mpidl.config.runfile import SECTIONS
from mpidl.plan import KINDS
from mpidl.run import listing


def said(text: str) -> str:
    return " ".join(text.split())


def test_no_setting_lacks_a_meaning():
    told = {
        f"{section}.{key}": setting["meaning"]
        for section in SECTIONS
        for key, setting in listing.settings(section).items()
    }
    assert len(told) >= 73
    assert [key for key, meaning in told.items() if not meaning.endswith(".")] == []
    assert len({*told.values()}) == len(told)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_told_with_all_its_settings_and_names(section):
    lines = listing.text(section, False)
    told = json.loads(listing.text(section, True))
    fields = SECTIONS[section].model_fields
    assert told["settings"].keys() == fields.keys()
    for key, field in fields.items():
        assert told["settings"][key]["default"] == json.loads(json.dumps(field.default))
        assert f"\n  {key} = " in lines
        assert said(told["settings"][key]["meaning"]) in said(lines)
    assert told.get(section, {}).keys() == KINDS.get(section, {}).keys()
    assert all(f"\n  {name} " in lines for name in KINDS.get(section, {}))


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("training.rounds", "A whole number from 1 to 1,000,000,000"),
        ("training.momentum", "A number from 0 to below 1"),
        (
            "training.optimizer",
            "'sgd', 'adam', 'adamw', or a class of torch's kind by its place: "
            "'torch.optim:RMSprop', 'file.py:Class'",
        ),
        ("training.steps", "A whole number from 1 to 1,000,000,000"),
        ("topology.allow_disconnected", "True or false"),
        ("topology.file", "Text"),
        ("data.name", "One of the names below"),
        ("training.betas", "Two numbers from 0 to below 1"),
        ("evaluation.moment", '"trained" or "mixed" or "both"'),
        ("network.slowdown", "A number from 1"),
    ],
)
def test_what_a_setting_may_be(setting, kind):
    section, key = setting.split(".")
    assert listing.settings(section)[key]["type"] == kind


def test_choices_are_those_that_may_be_named():
    assert listing.settings("training")["precision"]["choices"] == ["float32", "tf32", "bfloat16"]
    assert listing.settings("exchange")["backend"]["choices"] == sorted(KINDS["exchange"])
    assert listing.settings("training")["lr"]["choices"] is None


def test_another_section_is_refused():
    with pytest.raises(Fault, match=r"^--list trainig: .*did you mean 'training'"):
        listing.text("trainig", False)
    assert "--list SECTION lists all settings of a section: topology, " in listing.text("", False)
