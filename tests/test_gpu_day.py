"""The day on a GPU: its driver, its table and what it believes, without a GPU."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

GPU = Path(__file__).parent / "gpu"
STEPS = tomllib.loads((GPU / "beliefs.toml").read_text())

sys.path.insert(0, str(GPU))
import table  # noqa: E402
import unpack  # noqa: E402

sys.path.remove(str(GPU))

BELIEFS = """
[A]
script = "hangs.py"
limit = 1
title = "Hangs"
believed = [["before", "what it said", "yes"]]
[B]
script = "fails.py"
limit = 20
title = "Fails"
believed = []
[C]
script = "works.py"
limit = 20
title = "Works"
believed = []
"""

HANGS = """
import subprocess, sys, time
from findings import note
note("before", "yes")
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
time.sleep(600)
"""


def test_no_step_ends_the_others_and_what_one_leaves_is_ended(tmp_path):
    steps = tmp_path / "gpu" / "steps"
    steps.mkdir(parents=True)
    (tmp_path / "gpu" / "beliefs.toml").write_text(BELIEFS)
    (steps / "findings.py").write_text((GPU / "steps" / "findings.py").read_text())
    (steps / "hangs.py").write_text(HANGS)
    (steps / "fails.py").write_text("raise SystemExit(3)")
    (steps / "works.py").write_text("from findings import note; note('last', 1)")
    words = [sys.executable, str(GPU / "day.py"), "--out", str(tmp_path), "--steps", str(steps)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    found = table.read(tmp_path / "day.jsonl")
    assert found["A"]["before"] == "yes"
    assert found["A"]["exit"] == 124
    assert found["A"]["left behind"] == 2
    assert found["B"]["exit"] == 3
    assert found["C"] | {"seconds": 0} == {"left behind": 0, "exit": 0, "last": 1, "seconds": 0}
    page = (tmp_path / "gpu.md").read_text()
    assert "was stopped at its limit after 1 s; 2 processes of it were left" in page
    assert "| what it said | yes | yes |" in page
    assert "| `last` | - | 1 |" in page


def test_the_committed_page_is_that_of_a_day_that_has_not_come():
    page = GPU.parents[1] / "results" / "gpu.md"
    assert page.read_text() == table.made(STEPS, {}), "python3 tests/gpu/table.py > results/gpu.md"


def test_a_page_tells_every_finding_beside_what_was_believed():
    steps = {"E": {"title": "T", "limit": 9, "believed": [["x.*", "what", "one"], ["y", "z", "-"]]}}
    values = {"x.a_b": 0.12345, "x.c": True, "more": {"k": [1, "p|q"]}, "exit": 0, "seconds": 2.0}
    page = table.made(steps, {"E": values})
    assert "| what: a b | one | 0.123 |" in page
    assert "| what: c | the same | yes |" in page
    assert "| z | - | not yet seen |" in page
    assert "| `more` | - | k 1, p\\|q |" in page
    assert "rehearsal" not in page
    assert "rehearsal" in table.made(steps, {"E": {"hardware": "no GPU"}})


@pytest.mark.parametrize("name", STEPS)
def test_what_is_believed_is_asked(name):
    """Each word of a key that names no case stands in the step's code, or in the driver's."""
    step = STEPS[name]
    code = (GPU / "steps" / step["script"]).read_text() + (GPU / "day.py").read_text()
    for key, _, _ in step["believed"]:
        for word in key.replace("*", "").split("."):
            assert word.rstrip("0123456789") in code, key


def test_the_limits_are_eight_minutes():
    assert list(STEPS) == [f"E{number}" for number in range(11)]
    assert sum(step["limit"] for step in STEPS.values()) == 480


def test_a_wheel_is_unpacked_to_where_its_parts_belong(tmp_path):
    wheel = tmp_path / "some-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("some/a.py", "some-1.data/data/lib/b.so", "some-1.data/scripts/c"):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, name)
    unpack.unpack(wheel, tmp_path / "site")
    for name in ("some/a.py", "lib/b.so", "bin/c"):
        assert (tmp_path / "site" / name).stat().st_mode & 0o777 == 0o755
    unpack.unpack(wheel, tmp_path / "few", lambda path: path.match("*.py"))
    assert [path.name for path in (tmp_path / "few").rglob("*.*")] == ["a.py"]
