"""What ``mpidl new`` lists and copies."""

import pytest

from mpidl import new
from mpidl.config import shipped
from mpidl.ensemble.study import read

LAUNCH = shipped.folder() / "launch"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder of the user's own, which becomes the current one."""
    monkeypatch.chdir(tmp_path)


def test_everything_that_comes_with_mpidl_can_be_copied(capsys):
    assert new.main([]) == 0
    out = capsys.readouterr().out
    known = new.templates()
    assert all(f"\n  {name} " in out for name in known)
    assert max(map(len, out.splitlines())) <= new.WIDTH
    wanted = {*LAUNCH.rglob("*.toml"), *LAUNCH.glob("*.pbs"), *LAUNCH.glob("*.sh")}
    assert wanted <= {file for template in known.values() for file in template.files.values()}


def test_a_copied_study_is_a_study(tmp_path, capsys):
    assert new.main(["smoke", "--to", "mine"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "mine/smoke/base.toml",
        "mine/smoke/study.toml",
        "next: mpidl study mine/smoke --check",
    ]
    copied = tmp_path / "mine" / "smoke"
    assert len(read(copied).runs) == 12
    for file in copied.iterdir():
        assert file.read_bytes() == (LAUNCH / "studies/smoke" / file.name).read_bytes()
        assert file.stat().st_mode & 0o200


@pytest.mark.parametrize(
    ("name", "path", "then"),
    [
        ("first/ring.toml", "ring.toml", "mpidl check ring.toml"),
        ("sites/slurm.toml", "slurm.toml", "mpidl study STUDY --site slurm.toml"),
        ("aurora.pbs", "launch/aurora.pbs", "the first lines of launch/aurora.pbs say"),
    ],
)
def test_a_file_is_copied_under_its_name(tmp_path, name, path, then, capsys):
    assert new.main([name]) == 0
    assert (tmp_path / path).is_file()
    assert f"\nnext: {then}" in capsys.readouterr().out


def test_scripts_share_what_they_read(tmp_path, capsys):
    assert [new.main([name]) for name in ("aurora.pbs", "slurm.sh")] == [0, 0]
    names = {"aurora.pbs", "environment.sh", "slurm.sh"}
    assert {file.name for file in (tmp_path / "launch").iterdir()} == names
    (tmp_path / "launch" / "environment.sh").write_text("mine")
    assert new.main(["polaris.pbs"]) == 2
    assert "launch/environment.sh is there already" in capsys.readouterr().err
    assert not (tmp_path / "launch" / "polaris.pbs").exists()


def test_nothing_is_replaced(tmp_path, capsys):
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke" / "study.toml").write_text("mine")
    assert new.main(["smoke"]) == 2
    assert capsys.readouterr().err == (
        "mpidl: smoke/study.toml is there already, and is not replaced; --to names a folder.\n"
    )
    assert [file.name for file in (tmp_path / "smoke").iterdir()] == ["study.toml"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["smok"], "'smok' is not there to copy; did you mean 'smoke'?"),
        (["smoke", "--to", "file"], "Cannot write to file: Not a directory."),
    ],
)
def test_a_users_fault(tmp_path, arguments, sentence, capsys):
    (tmp_path / "file").write_text("")
    assert new.main(arguments) == 2
    assert capsys.readouterr().err == f"mpidl: {sentence}\n"
