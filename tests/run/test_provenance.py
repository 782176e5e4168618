"""Where a result says it comes from."""

import sys
from pathlib import Path

import pytest

from mpidl.run import provenance


def test_the_command_can_be_typed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    program = str(Path(provenance.__file__).with_name("__main__.py"))
    monkeypatch.setattr(sys, "argv", [program, "a b.toml", "--set", "x.y=1"])
    assert provenance.command() == "python -m mpidl.run 'a b.toml' --set x.y=1"
    monkeypatch.setattr(sys, "argv", ["/elsewhere/run.py", "\udc80"])
    assert provenance.command() == "/elsewhere/run.py '\\udc80'"
