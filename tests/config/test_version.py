"""Which mpidl this is, of a checkout, an installed copy and a copy that nobody installed."""

import subprocess

import pytest

import mpidl
from mpidl.config import version
from mpidl.ensemble.__main__ import parser as ensemble
from mpidl.run.command import parser, text_only


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """As ``installed(version)``: this package is an installed copy of that version."""

    def install(number: str) -> None:
        folder = tmp_path / f"mpidl-{number}.dist-info"
        folder.mkdir()
        text = f"Metadata-Version: 2.1\nName: mpidl\nVersion: {number}\n"
        (folder / "METADATA").write_text(text)
        monkeypatch.setattr(version, "PACKAGE", tmp_path / "mpidl")
        monkeypatch.syspath_prepend(tmp_path)

    return install


@pytest.mark.parametrize(
    ("built", "number", "commit"),
    [
        ("0.2.dev7+g2379841c1", "0.2.dev7", "2379841c1"),
        ("0.2.dev7+g2379841c1.d20261129", "0.2.dev7", "2379841c1+"),
        ("0.2", "0.2", ""),
        ("0.2+local", "0.2", ""),
    ],
)
def test_an_installed_copy_knows_its_commit(installed, built, number, commit):
    installed(built)
    assert (version.number(), version.commit()) == (number, commit)
    assert mpidl.__version__ == number
    assert version.line() == f"mpidl {number}, commit {commit or 'unknown'}"


def test_an_installation_elsewhere_is_another_one(installed, tmp_path, monkeypatch):
    installed("7.7+gabcdef0")
    monkeypatch.setattr(version, "PACKAGE", tmp_path / "elsewhere" / "mpidl")
    assert version.number() == "unknown"
    assert version.commit() == ""


def test_an_editable_installation_is_that_of_its_checkout(tmp_path, installed, monkeypatch):
    installed("0.3.dev1+gabcdef0")
    told = f'{{"url": "file://{tmp_path}/check%20out", "dir_info": {{"editable": true}}}}'
    (tmp_path / "mpidl-0.3.dev1+gabcdef0.dist-info" / "direct_url.json").write_text(told)
    monkeypatch.setattr(version, "PACKAGE", tmp_path / "check out" / "mpidl")
    assert version.number() == "0.3.dev1"


def test_a_checkout_has_the_commit_that_git_tells(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    monkeypatch.setattr(version, "PACKAGE", tmp_path / "mpidl")
    assert version.commit() == head.stdout.strip()
    (tmp_path / "pyproject.toml").write_text('[tool.setuptools_scm]\nfallback_version = "0.9"\n')
    assert version.commit() == head.stdout.strip() + "+"
    assert version.number() == "0.9"


def test_commands_tell_it(capsys):
    assert text_only(parser().parse_args(["--version"])) == f"{version.line()}\n"
    with pytest.raises(SystemExit) as end:
        ensemble().parse_args(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"{version.line()}\n"
