"""Named builders: a name is given once, and annotations are read however they are written."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from mpidl.config.faults import Fault
from mpidl.config.registry import Properties, Registry


class Told(Properties):
    """What things declare."""

    loud: bool = False
    weight: int = 1


@pytest.fixture
def registry():
    return Registry("thing", Told)


def test_a_name_that_is_taken_is_refused(registry):
    one, other = (postponed("def thing(given, /): ...") for _ in range(2))
    assert registry.add(one) is one
    assert registry.add(one) is one
    told = "^thing 'thing' is registered already, by own; give the one of own another name"
    with pytest.raises(Fault, match=told):
        registry.add(other)
    assert registry["thing"] is one


def test_what_a_builder_declares_is_read_by_its_name(registry):
    @registry.add(loud=True)
    def thing(): ...

    @registry.add
    def other(): ...

    assert registry.properties("thing") == Told(loud=True)
    assert [registry.properties(name) for name in ("other", "unknown")] == [Told(), Told()]
    assert registry.having(loud=True) == ["thing"]
    assert registry.having(weight=1) == ["thing", "other"]
    registry["thing"] = other
    assert registry.properties("thing") == Told()


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"lout": True}, "lout is not a property; did you mean 'loud'"),
        ({"x": 1}, "x is not a property; known: loud, weight"),
        ({"loud": "yes"}, "loud = 'yes': Input should be a valid boolean"),
    ],
)
def test_what_is_no_property_is_refused(registry, declared, told):
    with pytest.raises(Fault, match=f"^thing 'postponed': {told}"):
        registry.add(**declared)(postponed)
    assert not registry


POSTPONED = """
from __future__ import annotations
from typing import TYPE_CHECKING, Annotated, Literal
from pydantic import Field
if TYPE_CHECKING:
    from torch import Tensor
def thing(view: Unknown, inbox, /, power: Annotated[float, Field(ge=1)] = 2.0,
          kind: Literal["a", "b"] = "a") -> Tensor: ...
"""


def postponed(text=POSTPONED):
    names = {"__name__": "own"}
    exec(compile(text, "own.py", "exec", dont_inherit=True), names)
    return names["thing"]


def written(view, /, power: Annotated[float, Field(ge=1)] = 2.0, kind: Literal["a", "b"] = "a"): ...


@pytest.mark.parametrize("function", [written, postponed()], ids=["as types", "as text"])
def test_annotations_say_what_is_allowed(registry, function):
    registry[function.__name__] = function
    settings = registry.settings(function.__name__)
    assert settings().model_dump() == {"power": 2.0, "kind": "a"}
    for wrong in ({"power": 0.5}, {"kind": "c"}, {"more": 1}, {"view": 1}):
        with pytest.raises(ValidationError):
            settings(**wrong)


def test_without_an_annotation_anything_goes(registry):
    registry.add(postponed("def thing(view, /, power=2): ..."))
    settings = registry.settings("thing")
    assert [settings().power, settings(power="x").power] == [2, "x"]


@pytest.mark.parametrize(
    ("annotation", "why"), [("Flaot", "'Flaot' is not defined"), ("object()", "Forward|schema")]
)
def test_an_annotation_that_cannot_be_read_is_a_fault(registry, annotation, why):
    head = "from __future__ import annotations\n"
    registry.add(postponed(f"{head}def thing(view, /, power: {annotation} = 2): ..."))
    with pytest.raises(Fault, match=rf"^thing 'thing': .* cannot be read: .*({why})") as fault:
        registry.settings("thing")
    assert "\n" not in str(fault.value)
