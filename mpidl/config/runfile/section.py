"""Base of a run file's sections, and the types of values that several of them have."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=10**9)]
CodeName = Annotated[str, Field(pattern=":")]
Natural = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Chance = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]

MANY = 100_000
"""Most devices in a list."""

Devices = Annotated[list[Natural], Field(max_length=MANY)]

SOURCES = "must be a device number, text such as 'degree:1' or 'random:2', or a list of these"

Chosen = int | str | Annotated[list[int | str], Field(max_length=MANY)]
"""Devices as :func:`mpidl.components.placement.chosen` reads them."""


class Section(BaseModel):
    """One table of a run file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
