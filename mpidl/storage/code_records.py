"""Records of the user's own code in results files and checkpoints, with the rounds it was used."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from mpidl.config.own_code import Code
from mpidl.storage import schema

SHOWN = 12
"""Digits of a SHA-256 that a message shows."""


class CodeRecord(BaseModel):
    """A record of a file or a module; see :class:`mpidl.config.own_code.Code`.

    Attributes:
        round: The first round that it was used in; rounds count from 0.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str
    sha256: str
    version: str
    text: str
    round: int

    @property
    def identity(self) -> tuple[str, str]:
        """What tells it from other code, whatever it is called: of a file its SHA-256."""
        return self.sha256, self.version


def joined(earlier: Sequence[CodeRecord], codes: Iterable[Code], round_: int) -> list[CodeRecord]:
    """The records of a run that goes on: the earlier ones, and what is new from a round on."""
    known = {record.identity for record in earlier}
    now = [CodeRecord(**vars(code), round=round_) for code in codes]
    return [*earlier, *(record for record in now if record.identity not in known)]


def differences(earlier: Sequence[CodeRecord], codes: Iterable[Code]) -> list[str]:
    """A sentence for each piece of code that is not the one with which a run went so far."""
    latest = {record.name: record for record in earlier}
    known = {record.identity for record in latest.values()}
    sentences = []
    for record in joined([], codes, 0):
        if record.identity in known:
            continue
        was = latest.get(record.name)
        before = f"was {shown(was)} before" if was else "was not used before"
        sentences.append(
            f"{record.name} is {shown(record)} and {before}; the run goes on with what is there "
            "now, and both are recorded"
        )
    return sentences


def shown(code: Code | CodeRecord) -> str:
    """What code is, in a few words."""
    sha = f"SHA-256 {code.sha256[:SHOWN]}..." if code.sha256 else "without a file"
    return f"{code.version} ({sha})" if code.version else sha


def attributes(records: Sequence[CodeRecord]) -> dict[str, Any]:
    """The attributes of a results file about own code; none if there is none."""
    if not records:
        return {}
    digest = hashlib.sha256("".join(sorted(r.sha256 for r in records)).encode()).hexdigest()
    text = json.dumps([record.model_dump() for record in records])
    return {schema.CODE: text, schema.CODE_DIGEST: digest}
