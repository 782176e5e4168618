"""Code of one's own: loaded once, found by name, called by a clear rule, told where it fails."""

import pkgutil
import sys
import threading
import types
from importlib import metadata
from pathlib import Path

import pytest

import mpidl
from mpidl import plan
from mpidl.config import own_code, own_traceback, plugins, runfile
from mpidl.config.faults import Fault, OwnError
from mpidl.config.registry import Properties, Registry
from mpidl.run.own_code import forkable

pytestmark = pytest.mark.usefixtures("forget")

IDEAS = """
import sys
sys.loads = getattr(sys, "loads", 0) + 1
import mpidl
@mpidl.strategy
def warming(view, /, rounds: int = 3):
    "Warms."
    return [1.0]
def net(shape, /, width: int = 4): ...
class Outer:
    def inner(): ...
number = 3
"""

RING = """
use = ["ideas.py"]
[topology]
name = "ring"
devices = 4
[strategy]
name = "warming"
rounds = 2
[model]
name = "ideas.py:net"
width = 5
"""


@pytest.fixture
def ideas(tmp_path, monkeypatch):
    """The path of a file of ideas, which counts in ``sys.loads`` how often it is run."""
    monkeypatch.setattr(sys, "loads", 0, raising=False)
    path = tmp_path / "ideas.py"
    path.write_text(IDEAS)
    return path


@pytest.fixture
def things():
    return Registry("thing", Properties, gives=1)


def test_a_file_is_loaded_once_whatever_names_it(ideas, tmp_path, monkeypatch):
    (tmp_path / "link.py").symlink_to(ideas)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/ideas.py").write_text(IDEAS)
    monkeypatch.chdir(tmp_path)
    net = plugins.find("ideas.py:net")
    for name in ("link.py:net", f"{ideas}:net", "copy/ideas.py:net"):
        assert plugins.find(name) is net
    assert plugins.find("ideas.py:Outer.inner").__qualname__ == "Outer.inner"
    assert plugins.find("json:dumps") is __import__("json").dumps
    assert plugins.load("ideas.py") == str(ideas)
    assert sys.loads == 1
    # A name without its folder is that of the file which is loaded.
    monkeypatch.chdir("/")
    assert plugins.find("ideas.py:net") is net
    assert plugins.named(f"{ideas}:net").name == "ideas.py:net"


def test_a_module_that_a_program_has_imported_is_taken(ideas, monkeypatch):
    module = types.ModuleType("my_own_ideas")
    module.__file__, module.net = str(ideas), len
    monkeypatch.setitem(sys.modules, "my_own_ideas", module)
    assert plugins.find(f"{ideas}:net") is len
    assert sys.loads == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ideas.py:nett", "ideas.py has no 'nett'; did you mean 'net'?"),
        ("idea.py:net", "there is no such file; looked for in the current folder"),
        ("no_such_thing:net", "there is no module 'no_such_thing'"),
        ("json.no_such:net", "there is no module 'json.no_such'"),
        ("my ideas:net", "must name a module or a file that ends with '.py'"),
        (".:net", "must name a module"),
    ],
)
def test_what_is_not_there_is_told(ideas, tmp_path, monkeypatch, name, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Fault, match=r"^model.name = 'x': .*") as fault:
        plugins.find(name, subject="model.name = 'x'")
    assert told in str(fault.value)
    assert len(fault.value.sentences) == 1


def test_other_code_of_the_same_name_is_refused(ideas, tmp_path):
    plugins.load(str(ideas))
    (tmp_path / "more").mkdir()
    (tmp_path / "more/ideas.py").write_text("x = 1")
    with pytest.raises(Fault, match=r"another ideas\.py is loaded already, .*; give one of them"):
        plugins.load(str(tmp_path / "more/ideas.py"))
    ideas.write_text("x = 2")
    with pytest.raises(Fault, match=r"ideas\.py has changed since it was loaded; start"):
        plugins.find(f"{ideas}:net")


def test_an_error_is_told_from_the_first_own_line_and_its_file_runs_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "loads", 0, raising=False)
    path = tmp_path / "broken.py"
    path.write_text("import sys\nsys.loads += 1\ndef f():\n    raise KeyError('no')\nf()\n")
    for _ in range(2):
        with pytest.raises(OwnError) as error:
            plugins.load(str(path))
    assert sys.loads == 1
    [first, second, *_, last] = str(error.value).splitlines()
    assert first == "Traceback (most recent call last):"
    assert second == f'  File "{path}", line 5, in <module>'
    assert last == "KeyError: 'no'"
    assert isinstance(error.value.__cause__, KeyError)
    assert error.value.outcome.code == 1


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("def f(:", "SyntaxError: invalid syntax"),
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("import no_such_module_here", "ModuleNotFoundError: No module named"),
    ],
)
def test_whatever_ends_a_file_is_told(tmp_path, text, last):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(OwnError) as error:
        plugins.load(str(path))
    told = str(error.value).splitlines()
    assert told[-1].startswith(last)
    assert str(path) in told[0] + told[1]


def test_a_fault_in_a_file_stays_a_fault(tmp_path):
    path = tmp_path / "taken.py"
    path.write_text("import mpidl\n@mpidl.strategy\ndef degree(view, /): ...\n")
    told = "^strategy 'degree' is registered already, by mpidl.*; give the one of taken.py another"
    for _ in range(2):
        with pytest.raises(Fault, match=told) as fault:
            plugins.load(str(path))
        assert not isinstance(fault.value, OwnError)


def test_an_error_in_a_call_is_told_from_the_first_own_line(ideas):
    ideas.write_text("def call(): return 1 / 0\n")
    call = plugins.find(f"{ideas}:call")
    with pytest.raises(ZeroDivisionError) as raised:
        call()
    told = str(own_traceback.own_error(raised.value)).splitlines()
    assert told[1] == f'  File "{ideas}", line 1, in call'
    assert own_traceback.own_error(KeyError()) is None
    with pytest.raises(AttributeError) as inside:
        plan.KINDS["strategy"]["degree"](None)
    assert own_traceback.own_error(inside.value) is None
    assert own_traceback.own_error(Fault("x")) is None


def no_slash(shape, width=3): ...


def no_slash_either(shape): ...


def with_slash(shape, more=None, /, width: int = 3): ...


def three(a, b, c, /): ...


class Foreign:
    """As torchvision has them."""

    def __init__(self, width: "Unknown" = 4, act=len, sizes: tuple[int, ...] = (1,), **more):  # noqa: F821
        self.width, self.act, self.sizes, self.more = width, act, sizes, more


def built(things, builder, **settings):
    name = things.adopt(builder)
    section = things.settings(name)(**settings)
    found = types.SimpleNamespace(name=name, model_extra=section.model_extra, **dict(section))
    return things.build(found, "given")


def test_a_builder_gets_what_it_has_room_for(things):
    assert built(things, lambda *, width=2: width) == 2
    assert built(things, lambda shape, /, width=2: (shape, width), width=5) == ("given", 5)
    assert built(things, lambda a, b=7, /: (a, b)) == ("given", 7)
    made = built(things, Foreign, act="relu", depth=[1, [2]])
    assert (made.width, made.act, made.sizes, made.more) == (4, "relu", (1,), {"depth": [1, [2]]})
    assert built(things, Foreign).act is len
    assert built(things, dict, a=1) == {"a": 1}


def test_what_a_builder_must_not_have(things):
    with pytest.raises(Fault, match="takes 3 arguments before the '/', and the program gives 1"):
        things.adopt(three)
    told = "; what the program gives stands before a '/', as in no_slash(given, /, ...)"
    assert things.needs(things.adopt(no_slash)) == told
    assert things.needs(things.adopt(with_slash)) == ""
    assert things.needs(things.add(no_slash_either).__name__).endswith(
        "no_slash_either(given, /, ...)"
    )
    with pytest.raises(ValueError, match="depth"):
        built(things, Foreign, depth={"a": 1})


def test_a_function_that_a_program_passes_has_one_name(things):
    name = things.adopt(with_slash)
    assert name.endswith("test_plugins:with_slash")
    assert things.adopt(with_slash) == name
    first, second = things.adopt(lambda: 1), things.adopt(lambda: 2)
    assert second == f"{first} (2)"
    assert [things[one]() for one in (first, second)] == [1, 2]

    @things.add
    def known(): ...

    assert things.adopt(known) == "known"
    assert own_code.of(with_slash).sha256 == own_code.read(Path(__file__), "x").sha256
    assert own_code.of(plan.read) is None


def test_a_run_file_has_its_code_wherever_it_lies(ideas, tmp_path, monkeypatch):
    (tmp_path / "ring.toml").write_text(RING)
    file = plan.read(tmp_path / "ring.toml", [], 4)
    assert file.use == (str(ideas),)
    assert (file.model.name, file.model.width, file.strategy.rounds) == ("ideas.py:net", 5, 2)
    assert [code.name for code in plan.codes(file)] == ["ideas.py"]
    assert plan.codes(file)[0].text == IDEAS
    # What is written for a run is read from anywhere; results name no folder.
    (tmp_path / "far").mkdir()
    (tmp_path / "far/ring.toml").write_text(file.text())
    again = plan.read(tmp_path / "far/ring.toml", [], 4)
    assert again.text() == file.text()
    assert str(tmp_path) not in file.portable().text()
    assert not plan.differences(file.portable().text(), file)
    assert sys.loads == 1
    # --set names code in the current folder, and the former builder's settings go.
    (tmp_path / "here").mkdir()
    (tmp_path / "here/mine.py").write_text("def other(shape, /): ...")
    monkeypatch.chdir(tmp_path / "here")
    other = plan.read(tmp_path / "ring.toml", ["model.name=mine.py:other"], 4)
    assert (other.model.name, len(other.use)) == ("mine.py:other", 2)
    differ = plan.differences(file.portable().text(), other)
    assert differ == [("model.name = 'mine.py:other'", "'ideas.py:net'")]


def test_a_stored_run_file_loads_nothing(ideas, tmp_path, monkeypatch, forget):
    (tmp_path / "ring.toml").write_text(RING)
    text = plan.read(tmp_path / "ring.toml", [], 4).portable().text()
    forget()
    monkeypatch.chdir(tmp_path)
    now = plan.read(None, ["topology.name=ring", "topology.devices=4", "model.name=mlp"], 4)
    differ = plan.differences(text, now)
    assert ("model.name = 'mlp'", "'ideas.py:net'") in differ
    assert ("strategy.name = 'degree'", "'warming'") in differ
    assert sys.loads == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('use = "ideas.py"', "use = 'ideas.py': must be a list of files and modules"),
        ("use = [3]", "use = [3]: must be a list"),
        ('use = ["no.py"]', "use = 'no.py': there is no such file; looked for beside the file"),
        ('[model]\nname = "ideas.py:nett"', "model.name = 'ideas.py:nett': ideas.py has no"),
        ('[model]\nname = "ideas.py:number"', "must name a function or a class, not 3"),
        ('[model]\nname = "ideas.py:net"\nwidht = 3', "setting model.widht; did you mean 'width'"),
        ('[model]\nname = "ideas.py:net"\nwidth = "x"', "model.width = 'x': should be a valid int"),
        ('[model]\nname = "nets"', "One of your own is named 'file.py:function' or 'module:func"),
    ],
)
def test_a_mistake_in_a_run_file_is_told(ideas, tmp_path, text, told):
    (tmp_path / "ring.toml").write_text(text)
    with pytest.raises(Fault) as fault:
        plan.read(tmp_path / "ring.toml", [], 4)
    assert told in str(fault.value)


def test_entry_points_are_loaded_once(ideas, monkeypatch):
    monkeypatch.syspath_prepend(ideas.parent)
    point = metadata.EntryPoint("some", "ideas", "mpidl")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == "mpidl" else [])
    plugins.load_installed.cache_clear()
    try:
        for _ in range(2):
            assert runfile.begin([]) == []
        assert sys.loads == 1
        assert "warming" in plan.KINDS["strategy"]
    finally:
        sys.modules.pop("ideas", None)
        plugins.load_installed.cache_clear()


def test_what_starts_threads_is_loaded_by_each_rank(ideas, one_thread):
    with forkable():
        plugins.load(str(ideas))
    stop = threading.Event()
    path = ideas.with_name("busy.py")
    path.write_text("import sys, threading\nthreading.Thread(target=sys.stop.wait).start()\n")
    sys.stop = stop
    try:
        with pytest.raises(RuntimeError, match="cannot be forked"), forkable():
            plugins.load(str(path))
    finally:
        stop.set()
        del sys.stop


def test_the_decorators_of_the_front_door_add_to_all_registries():
    rooms = {module.name for module in pkgutil.iter_modules(mpidl.__path__)}
    assert not rooms & {*mpidl.__all__}
    added = [getattr(mpidl, name).__self__ for name in mpidl.REGISTRIES]
    assert sorted(map(id, added)) == sorted(map(id, plan.KINDS.values()))

    @mpidl.strategy(equal=True)
    def declared(view, /): ...

    assert plan.KINDS["strategy"].properties("declared").equal
