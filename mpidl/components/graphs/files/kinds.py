"""Kinds of graph files, told by the first bytes, else by the suffix."""

import re
from pathlib import Path

from mpidl.config.faults import Fault

READ = (
    "Read are adjacency matrices, edge lists, adjacency lists (.adjlist), GraphML, GEXF, GML, "
    "Pajek, node-link JSON, MatrixMarket, and matrices of numpy (.npy) and scipy (.npz)."
)
"""What a sentence says that tells of a file which is not read."""

MAGIC = {
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "npz",
    b"PK\x05\x06": "npz",
}
"""First bytes of what is not text and is read."""

UNREAD_MAGIC = {
    b"\x1f\x8b": "a file packed by gzip",
    b"BZh": "a file packed by bzip2",
    b"\xfd7zXZ": "a file packed by xz",
    b"\x28\xb5\x2f\xfd": "a file packed by zstd",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"MATLAB 5.0 MAT-file": "a MATLAB file",
    b"\x80\x02": "a pickle of Python",
    b"\x80\x03": "a pickle of Python",
    b"\x80\x04": "a pickle of Python",
    b"\x80\x05": "a pickle of Python",
    b">>graph6<<": "graph6",
    b">>sparse6<<": "sparse6",
    b">>digraph6<<": "digraph6",
}
"""First bytes of what is not read, and what it is called."""

BEGINNINGS = {
    "xml": r"<",
    "json": r"[\[{]",
    "pajek": r"\*",
}
"""How the first line begins of texts that are read, but for blank lines and comments."""

LINES = {
    "matrixmarket": r"^%%MatrixMarket\b",
    "gml": r"^[ \t]*graph\s*\[",
}
"""What is somewhere in the first lines of others."""

UNREAD_LINES = {
    "DOT of Graphviz": r"^[ \t]*(?:strict[ \t]+)?(?:di)?graph\b[^\[\n{]*\{",
    "DIMACS": r"^p[ \t]+[a-z]+[ \t]+[0-9]",
    "UCINET's DL": r"^[ \t]*dl[ \t]+n[ \t]*=",
    "LEDA": r"^LEDA\.GRAPH",
    "GDF": r"^nodedef[ \t]*>",
}
"""What is there in texts that are not read, and what they are called."""

SUFFIXES = {
    **{".graphml": "xml", ".xml": "xml", ".gexf": "xml", ".gml": "gml", ".net": "pajek"},
    **{".paj": "pajek", ".json": "json", ".mtx": "matrixmarket", ".npy": "npy", ".npz": "npz"},
    **{".adjlist": "adjacency list", ".edges": "edge list", ".edgelist": "edge list"},
}
"""What files are by the ends of their names, where their first bytes do not say it."""

UNREAD_SUFFIXES = {
    **{".g6": "graph6", ".s6": "sparse6", ".d6": "digraph6", ".metis": "METIS", ".tgf": "TGF"},
    **{".dot": "DOT of Graphviz", ".gv": "DOT of Graphviz", ".mat": "a MATLAB file"},
    **{".pkl": "a pickle of Python", ".pickle": "a pickle of Python", ".gpickle": "a pickle"},
}
"""What files of other programs are called by the ends of their names."""


def kind(path: Path, head: bytes) -> str:
    """The kind of a file: one of the values of the tables above; empty if neither has it.

    Args:
        path: Its name.
        head: Its first bytes.

    Raises:
        Fault: If it is known, and of a kind that is not read.
    """
    for magic, called in UNREAD_MAGIC.items():
        if head.startswith(magic):
            raise _unread(path, called)
    for magic, found in MAGIC.items():
        if head.startswith(magic):
            return found
    text = head.decode("utf-8-sig", errors="replace")
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and line[0] not in "#%"), "")
    for found, begins in BEGINNINGS.items():
        if re.match(begins, first):
            return found
    for called, line in UNREAD_LINES.items():
        if re.search(line, text, re.MULTILINE | re.IGNORECASE):
            raise _unread(path, called)
    for found, line in LINES.items():
        if re.search(line, text, re.MULTILINE):
            return found
    suffix = path.suffix.lower()
    if suffix in UNREAD_SUFFIXES:
        raise _unread(path, UNREAD_SUFFIXES[suffix])
    return SUFFIXES.get(suffix, "")


def _unread(path: Path, called: str) -> Fault:
    return Fault(f"Graph file {path}: is {called}, which is not read. {READ}")
