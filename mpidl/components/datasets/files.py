"""Files of a data set, found in its folder under the names that other programs use."""

from pathlib import Path

from mpidl.components.datasets.catalog import DATASETS
from mpidl.config import shipped
from mpidl.config.faults import Fault


def locate(dataset: str, folder: Path | None, content: str) -> Path:
    """Find a file of a data set in its folder.

    Args:
        dataset: Its name.
        folder: The folder, if there is one.
        content: The file's name in the contents of its source.

    Raises:
        Fault: If there is no folder, or the file is at none of its places.
    """
    source = next(
        source_of
        for source_of in DATASETS.properties(dataset).sources
        if content in source_of.contents
    )
    places = source.places(content)
    if folder is None:
        raise Fault(f"data.dir must be set: {dataset} is read from {places[0]} in that folder.")
    if path := source.find(content, folder):
        return path
    if pickles := _pickles(dataset, folder):
        raise Fault(
            f"{pickles} is {dataset} as Python pickles, which are not read, as they may run "
            f"programs; 'python -m mpidl.datasets fetch {dataset} --to {folder}' downloads "
            f"{source.name}, the binary version."
        )
    more = ", or as torchvision or Kaggle lay it out" * (len(places) > 2)
    where = "" if folder.exists() else shipped.sought(folder, "beside the run file")
    raise Fault(
        f"{dataset} needs the file {folder / places[0]} (or {places[1]}{more}), which is not "
        f"there{where}; 'python -m mpidl.datasets fetch {dataset} --to {folder}' downloads it."
    )


def _pickles(dataset: str, folder: Path) -> Path | None:
    paths = (folder / name for name in DATASETS.properties(dataset).pickles)
    return next((p for p in paths if p.is_file() or (p.is_dir() and "-" in p.name)), None)


def require(dataset: str, folder: Path | None, section: object = None) -> None:
    """Check that all files of a data set are there.

    Args:
        dataset: Its name.
        folder: The folder that should have them.
        section: ``[data]`` of a run file, as some files are needed by some runs only.

    Raises:
        Fault: If a file is missing.
    """
    split = getattr(section, "split", None)
    for source in DATASETS.properties(dataset).sources:
        for content in source.contents:
            if split is None or f"-{split}-" in content:
                locate(dataset, folder, content)
