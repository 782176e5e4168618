"""Scripts by which shells complete what follows ``mpidl``."""

import os
import shutil
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
    "mpidl export mi": {"mine.toml"},
    "mpidl export --to d": {"data"},
    "mpidl bench --dir d": {"data"},
    "mpidl run --resume d": {"data"},
    "mpidl study --site mi": {"mine.toml"},
    "mpidl completion z": {"zsh"},
    "mpidl fetch m": {"mnist"},
    "mpidl verify cifar": {"cifar10", "cifar100"},
    "mpidl new slu": {"slurm.sh"},
}
"""By what is typed what a shell offers, in a folder with a file and a folder."""

BASH = """
. ./script
for line in "$@"; do
  IFS=' ' read -r -a COMP_WORDS <<< "$line"
  case $line in *' ') COMP_WORDS+=("") ;; esac
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
  _shtab_mpidl
  echo "${COMPREPLY[*]}"
done
"""

ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell '. ./inner'
until [[ -e told ]]; do zpty -r -t shell; sleep 0.1; done >screen
for line; do zpty -n -w shell "$line"$'\\t'; done
until (($(wc -l <told) == $#)); do zpty -r -t shell; sleep 0.1; done >screen
cat told
"""
"""A shell within a shell, which types and presses Tab."""

INNER = """
mkdir functions
mv script functions/_mpidl
fpath=($PWD/functions $fpath)
autoload -Uz compinit
compinit -u -D
compadd() {
  local -a found
  [[ "$*" == *\\ -[AOD]\\ * ]] || { builtin compadd -O found "$@"; offered+=($found); }
  builtin compadd "$@"
}
press() {
  offered=()
  zle list-choices
  print -r -- ${(u)offered} >>told
  BUFFER=
}
zle -N press
bindkey '^I' press
touch told
"""
"""Tab writes down what zsh's own completion adds to its list."""

FISH = """
source ./script
for line in $argv
  echo (complete -C $line | string replace --regex '/?(\\t.*)?$' '')
end
"""

ASK = {
    "bash": ["bash", "-c", BASH, "-"],
    "zsh": ["zsh", "-f", "-c", ZSH, "-"],
    "fish": ["fish", "--no-config", "-c", FISH],
}


@needs_shtab
@pytest.mark.slow
@pytest.mark.parametrize("shell", ASK)
def test_a_shell_offers_commands_options_and_files(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "mine.toml").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "inner").write_text(INNER)
    tell = f"import sys; from mpidl.completion import main; main([{shell!r}]); "
    tell += "assert not {'torch', 'mpi4py'} & {*sys.modules}"
    root = Path(commands.__file__).parents[1]
    script = subprocess.check_output([sys.executable, "-c", tell], text=True, cwd=root)
    (tmp_path / "script").write_text(script)
    told = subprocess.check_output(
        [*ASK[shell], *CASES],
        text=True,
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
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
