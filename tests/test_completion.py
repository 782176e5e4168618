"""Scripts by which shells complete what follows ``mpidl``."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mpidl import commands, completion

needs_shtab = pytest.mark.skipif(find_spec("shtab") is None, reason="needs shtab")

CASES = {
    "mpidl re": {"report"},
    "mpidl ": {*commands.COMMANDS},
    "mpidl report --format ": {"png", "svg", "pdf"},
    "mpidl fetch --": {"--help", "--version", "--use", "--to"},
    "mpidl run mi": {"mine.toml"},
    "mpidl export --to d": {"data"},
}
"""By what is typed what bash offers, in a folder with a file and a folder."""

ASK = """
. ./script
for line in "$@"; do
  IFS=' ' read -r -a COMP_WORDS <<< "$line"
  case $line in *' ') COMP_WORDS+=("") ;; esac
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
  _shtab_mpidl
  echo "${COMPREPLY[*]}"
done
"""


@needs_shtab
@pytest.mark.slow
def test_bash_offers_commands_options_and_files(tmp_path):
    (tmp_path / "mine.toml").write_text("")
    (tmp_path / "data").mkdir()
    tell = "import sys; from mpidl.completion import main; main(['bash']); "
    tell += "assert not {'torch', 'mpi4py'} & {*sys.modules}"
    root = Path(commands.__file__).parents[1]
    script = subprocess.check_output([sys.executable, "-c", tell], text=True, cwd=root)
    (tmp_path / "script").write_text(script)
    told = subprocess.check_output(["bash", "-c", ASK, "-", *CASES], text=True, cwd=tmp_path)
    found = [{*line.split()} for line in told.splitlines()]
    assert dict(zip(CASES, found, strict=True)) == CASES


@needs_shtab
def test_what_is_not_installed_goes_by_its_name_alone(monkeypatch):
    gone = commands.Command("mpidl.report", "mpidl.missing", "tables")
    monkeypatch.setattr(completion, "COMMANDS", {"report": gone, "new": commands.COMMANDS["new"]})
    text = completion.whole().format_help()
    assert "report" in text
    assert "new" in text


def test_shtab_may_be_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert completion.main(["zsh"]) == 2
    assert "pip install 'mpidl[completion]'" in capsys.readouterr().err
