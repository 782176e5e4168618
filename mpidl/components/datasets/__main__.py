"""Command that fetches the files of a data set, or verifies a folder that has them.

python -m mpidl.datasets fetch NAME --to DIR
python -m mpidl.datasets verify NAME DIR
"""

import argparse
import logging
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpidl.components.datasets import DATASETS
from mpidl.components.datasets.files import locate
from mpidl.components.datasets.sources import Source
from mpidl.config import own_code, plugins, runfile
from mpidl.config.faults import Fault, Parser, command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 done, 2 the user's fault, 130 Ctrl-C."""
    return command(lambda: _run(parser().parse_args(arguments)))


def fetch(name: str, folder: Path) -> None:
    """Download the files of a data set, check their SHA-256, and unpack archives.

    A correct file that is there already is not downloaded again; a file that differs is kept.

    Raises:
        Fault: If a file cannot be downloaded, is not the published one, or is in the way.
    """
    for source in DATASETS.properties(name).sources:
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
    """Print one line for each file of a data set; True if all are the published ones.

    Raises:
        Fault: If there is no such folder.
    """
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "is not there"
        raise Fault(
            f"{folder} {what}; 'python -m mpidl.datasets fetch {name} --to DIR' downloads the "
            f"files of {name} to a folder."
        )
    lines = [
        _verdict(name, folder, source, content)
        for source in DATASETS.properties(name).sources
        for content in source.contents
    ]
    for _, line in lines:
        print(line)
    return all(good for good, _ in lines)


def _run(options: argparse.Namespace) -> int:
    runfile.begin(options.use)
    name = DATASETS.bring(options.name) if plugins.names_code(options.name) else options.name
    DATASETS[name]
    if DATASETS.properties(name).look:
        print(f"{name}: reads files of one's own; there are none to fetch or verify")
        return 0
    if not DATASETS.properties(name).sources:
        known = own_code.of(DATASETS[name]) is None
        print(f"{name}: {'comes with the program, needs' if known else 'declares'} no files")
        return 0
    if options.command == "verify":
        return 0 if verify(name, options.folder) else 2
    fetch(name, options.folder)
    return 0


def parser() -> Parser:
    """The command line of ``python -m mpidl.datasets``."""
    codes = "Exit codes: 0 done, 2 wrong input, 130 Ctrl-C."
    parser = Parser(
        prog="python -m mpidl.datasets",
        description="Download the files of a data set, or check those in a folder.",
        epilog=codes,
    )
    parser.add_use()
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetching = _inner(commands, "fetch", "download the files of a data set, and check them", codes)
    text = "the folder for the files"
    fetching.add_argument("--to", dest="folder", type=Path, required=True, metavar="DIR", help=text)
    codes = codes.replace("wrong input", "a file is missing or wrong, or wrong input")
    verifying = _inner(commands, "verify", "check every file against its SHA-256", codes)
    text = "the folder that has the files"
    verifying.add_argument("folder", type=Path, metavar="DIR", help=text)
    return parser


def _inner(commands: Any, name: str, about: str, codes: str) -> Parser:
    """A command of this command, with the argument that both have."""
    text = f"{about[:1].upper()}{about[1:]}."
    parser: Parser = commands.add_parser(name, help=about, description=text, epilog=codes)
    parser.offers["name"] = known = DATASETS.stored()
    help = f"{', '.join(known)}, or one of your own"
    parser.add_argument("name", metavar="NAME", help=help)
    parser.add_use(inner=True)
    return parser


def _there(source: Source, folder: Path) -> bool:
    """Whether all contents of a source are there; a file that differs is a fault."""
    present = 0
    for content in source.contents:
        places = (folder / place for place in source.places(content))
        path = next((place for place in places if place.exists()), None)
        if path is None:
            continue
        if not path.is_file():
            raise Fault(f"{path} is not a file; move it away to fetch the file.")
        if source.verdict(content, path) is False:
            raise Fault(f"{path} is not the published file; move it away to fetch that file.")
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
            reason = "the download is not the published file"
    raise Fault(f"Cannot download {source.urls[-1]} to {folder}: {reason}.")


def _unpack(archive: Path, source: Source, folder: Path) -> None:
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as pack:
                pack.extractall(folder, source.contents)
        else:
            _untar(archive, source, folder)
    except (tarfile.TarError, zipfile.BadZipFile, KeyError, EOFError, zlib.error) as error:
        raise Fault(f"Cannot unpack {archive}: {error}.") from None
    archive.unlink()


def _untar(archive: Path, source: Source, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        members = [tar.getmember(content) for content in source.contents]
        if odd := next((member for member in members if not member.isreg()), None):
            raise Fault(f"Cannot unpack {archive}: {odd.name} in it is not a regular file.")
        # Python before 3.11.4 has no filters; only files known beforehand are unpacked.
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        tar.extractall(folder, members)


def _verdict(name: str, folder: Path, source: Source, content: str) -> tuple[bool, str]:
    try:
        path = locate(name, folder, content)
        good = source.verdict(content, path)
        if good:
            return True, f"{path}: ok"
        if check := DATASETS.properties(name).check:
            check(path, content)
    except Fault as fault:
        return False, str(fault)
    if good is None:
        return True, f"{path}: can be read; the content of the published file is not known here"
    return False, f"{path} can be read, but its content is not that of the published file."


if __name__ == "__main__":
    sys.exit(main())
