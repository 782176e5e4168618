"""Sources of files: addresses of a file, its hash, and the places where it may be."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

from mpidl.components.datasets import idx
from mpidl.config.faults import Fault


@dataclass(frozen=True)
class Source:
    """One file in the public home of a data set.

    Attributes:
        name: File name.
        urls: Addresses of the file.
        sha256: SHA-256 of the file as it is downloaded.
        contents: Its contents: path below the data set's folder, and SHA-256 of the plain file,
            empty if it is not known here.
        folders: Folders below that of the data set in which other programs put such files.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str
    contents: dict[str, str]
    folders: tuple[str, ...] = ()

    @property
    def packed(self) -> bool:
        """Whether the file is an archive that must be unpacked."""
        return self.name.endswith((".tar.gz", ".zip"))

    def places(self, content: str) -> tuple[str, ...]:
        """The places where one of its contents may be, below the folder of the data set."""
        plain = Path(content).name.removesuffix(".gz")
        if self.packed and not self.folders:
            return content, plain
        # Kaggle writes train-images.idx3-ubyte, and the same in a folder of the usual name.
        dotted = plain.replace("-idx", ".idx")
        names = dict.fromkeys([f"{plain}.gz", plain, f"{dotted}.gz", dotted, f"{plain}/{plain}"])
        return tuple(f"{folder}{name}" for folder in ("", *self.folders) for name in names)

    def find(self, content: str, folder: Path) -> Path | None:
        """The path of one of its contents in the folder of a data set; None if it is missing."""
        return next((folder / p for p in self.places(content) if (folder / p).is_file()), None)

    def verdict(self, content: str, path: Path) -> bool | None:
        """Whether a file is the published one; None if that is not known here.

        Raises:
            Fault: If it cannot be read.
        """
        if self.contents[content]:
            return sha256(path) == self.contents[content]
        # For some files only the hash of the download is known, and other programs may repack them.
        return True if not self.packed and sha256(path, unzipped=False) == self.sha256 else None


def sha256(path: Path, unzipped: bool = True) -> str:
    """SHA-256 of a file's content, unzipped if it is gzipped; empty if it cannot be unzipped.

    Args:
        path: The file.
        unzipped: Whether a gzipped file is unzipped, or taken as it is.

    Raises:
        Fault: If it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == idx.GZIP and unzipped
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
