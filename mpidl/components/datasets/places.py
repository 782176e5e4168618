"""Places of a user's files and folders, and the libraries that read them."""

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Annotated

from pydantic import Field

from mpidl.config import shipped
from mpidl.config.faults import Fault, shown

TestShare = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
SplitSeed = Annotated[int, Field(ge=0, lt=2**63)]
Side = Annotated[int, Field(ge=1, le=65_536)]
SampleShape = Annotated[
    Annotated[list[Side], Field(min_length=1, max_length=8)] | None,
    Field(description="must be a list of whole numbers, such as [1, 28, 28]"),
]
File = Annotated[str, Field(description="must be the path of a file, and must be set")]


def file_of(setting: str, text: str, folder: Path | None) -> Path:
    """The file that a setting of ``[data]`` names.

    Args:
        setting: The name of the setting, for messages.
        text: Its value: a path from the folder if there is one, else from the current folder or
            that of what comes with the program.
        folder: ``data.dir``.

    Raises:
        Fault: If there is no such file.
    """
    path = Path(os.path.expanduser(text))
    path = shipped.find(path) if folder is None else folder / path
    if path.is_file():
        return path
    if path.is_dir():
        raise Fault(f"data.{setting} = {shown(text)}: must be a file; {path} is a folder.")
    where = shipped.sought(path, "beside the run file") if folder is None else f" in {folder}"
    raise Fault(f"data.{setting} = {shown(text)}: there is no such file{where}.")


def folder_of(name: str, folder: Path | None) -> Path:
    """The folder of ``data.dir``, for a data set that is read from one.

    Raises:
        Fault: If it is not set, or is not there.
    """
    if folder is None:
        raise Fault(f"data.dir must be set: data.name = {name!r} is read from that folder.")
    if not folder.is_dir():
        where = shipped.sought(folder, "beside the run file")
        what = "is a file" if folder.is_file() else f"there is no such folder{where}"
        raise Fault(f"data.dir = {shown(str(folder))}: {what}.")
    return folder


def library(name: str, module: str, package: str) -> ModuleType:
    """The module of a library that is not installed with the program.

    Args:
        name: The name of the data set, for the message.
        module: The module.
        package: The package that has it.

    Raises:
        Fault: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise Fault(
            f"data.name = {name!r} needs {package}: pip install 'mpidl[data]' or {package}."
        ) from None
