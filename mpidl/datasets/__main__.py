"""Fetch the files of a data set, or verify a folder that has them.

python -m mpidl.datasets fetch NAME --to DIR
python -m mpidl.datasets verify NAME DIR
"""

import argparse
import gzip
import hashlib
import logging
import sys
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from mpidl.datasets import DATASETS, cifar, idx
from mpidl.datasets.sources import SOURCES, Source, locate
from mpidl.faults import Fault, Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 2 user's fault."""
    try:
        return _run(_parser().parse_args(arguments))
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 2


def fetch(name: str, folder: Path) -> None:
    """Download the files of a data set, check their SHA-256, and unpack archives.

    What is there already and is right is not downloaded again; what is there and differs is left
    alone.

    Raises:
        Fault: If a file cannot be downloaded, is not the published one, or is in the way.
    """
    for source in SOURCES[name]:
        if _there(source, folder):
            print(f"{source.name}: is there already")
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            archive = _download(source, folder)
            if source.packed:
                _unpack(archive, source, folder)
        except OSError as error:
            raise Fault(f"Cannot write to {folder}: {error.strerror or error}.") from None
        print(f"{source.name}: fetched and checked")


def verify(name: str, folder: Path) -> bool:
    """Print one line for each file of a data set; True if all are the published ones."""
    lines = [
        _verdict(name, folder, source, content)
        for source in SOURCES[name]
        for content in source.contents
    ]
    for _, line in lines:
        print(line)
    return all(good for good, _ in lines)


def _run(options: argparse.Namespace) -> int:
    DATASETS[options.name]
    if options.name not in SOURCES:
        print(f"{options.name}: comes with the program, needs no files")
        return 0
    if options.command == "verify":
        return 0 if verify(options.name, options.folder) else 2
    fetch(options.name, options.folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m mpidl.datasets", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    fetching = commands.add_parser("fetch", help="download, check and unpack")
    fetching.add_argument("name", help=f"one of {', '.join(SOURCES)}")
    fetching.add_argument("--to", dest="folder", type=Path, required=True, metavar="DIR")
    verifying = commands.add_parser("verify", help="check every file against its SHA-256")
    verifying.add_argument("name", help=f"one of {', '.join(SOURCES)}")
    verifying.add_argument("folder", type=Path, metavar="DIR")
    return parser


def _there(source: Source, folder: Path) -> bool:
    """Whether all contents of a source are there; one that differs is a fault."""
    present = 0
    for content, digest in source.contents.items():
        path = next((folder / p for p in source.places(content) if (folder / p).exists()), None)
        if path is None:
            continue
        if not path.is_file():
            raise Fault(f"{path} is not a file; move it away to fetch one.")
        if _digest(path) != digest:
            raise Fault(f"{path} is not the published file; move it away to fetch that one.")
        present += 1
    return present == len(source.contents)


def _download(source: Source, folder: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel(logging.ERROR)
    reason = ""
    for url in source.urls:
        try:
            return Path(pooch.retrieve(url, f"sha256:{source.sha256}", source.name, folder))
        except OSError as error:
            reason = error.strerror or type(error).__name__
        except ValueError:
            reason = "what came is not the published file"
    raise Fault(f"Cannot download {source.urls[-1]} to {folder}: {reason}.")


def _unpack(archive: Path, source: Source, folder: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            members = [tar.getmember(content) for content in source.contents]
            if odd := next((member for member in members if not member.isreg()), None):
                raise Fault(f"Cannot unpack {archive}: {odd.name} in it is not a regular file.")
            # Python before 3.11.4 has no filters; only files known beforehand are unpacked.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            tar.extractall(folder, members)
    except (tarfile.TarError, KeyError, EOFError, zlib.error) as error:
        raise Fault(f"Cannot unpack {archive}: {error}.") from None
    archive.unlink()


def _verdict(name: str, folder: Path, source: Source, content: str) -> tuple[bool, str]:
    try:
        path = locate(name, folder, *source.places(content))
        if _digest(path) == source.contents[content]:
            return True, f"{path}: ok"
        if source.packed:
            cifar.records(path, 100 if name == "cifar100" else 10)
        else:
            idx.read(path, 3 if "images" in content else 1)
    except Fault as fault:
        return False, str(fault)
    return False, f"{path} can be read, but its content is not that of the published file."


def _digest(path: Path) -> str:
    """SHA-256 of a file's content, unzipped if it is gzipped; empty if it cannot be unzipped."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == idx.GZIP
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if packed else file
            digest = hashlib.sha256()
            while chunk := stream.read(idx.CHUNK):
                digest.update(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return ""
    except OSError as error:
        raise Fault(f"Cannot read {path}: {error.strerror or error}.") from None
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
