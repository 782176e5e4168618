"""Flips bytes of a results file and reads it: python -m tests.fuzz.bits --minutes 10, by hand.

A damaged file may end the process that reads it, inside the HDF5 library; so a child reads, and
what ended it is kept in ``--keep``.
"""

import argparse
import collections
import mmap
import os
import random
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path

os.environ["MPI4PY_RC_INITIALIZE"] = "0"

from mpidl.config.faults import Fault
from mpidl.storage import reader

SEED = Path(__file__).parent.parent / "golden" / "schema-1.h5"
PATIENCE = 20
"""Seconds that a file may take."""
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


def damaged(content: bytes, stream: random.Random) -> bytes:
    """A copy with some bytes, or some words, changed, most of them where there is no data."""
    found = bytearray(content)
    for _ in range(stream.choice((1, 1, 1, 2, 4, 16))):
        place = stream.randrange(len(found))
        match stream.randrange(4):
            case 0:
                found[place] ^= 1 << stream.randrange(8)
            case 1:
                found[place] = stream.choice(INTERESTING)
            case 2:
                word = struct.pack("<Q", stream.choice((0, 1, 2**16, 2**31, 2**32 - 1, 2**63)))
                found[place : place + 8] = word[: len(found) - place]
            case _:
                length = stream.randrange(1, 64)
                from_ = stream.randrange(len(found))
                piece = found[from_ : from_ + length]
                found[place : place + len(piece)] = piece
    return bytes(found[: len(content)])


def read(path: Path) -> str:
    """What came of reading a file as a report does."""
    try:
        reader.settings(path)
        reader.open(path)
    except Fault as fault:
        return "a sentence" if len(fault.sentences) == 1 else "several sentences"
    return "a run"


def child(content: bytes, first: int, note: mmap.mmap, path: Path, end: float) -> None:
    """Read one damaged file after the other; the note says which."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for number in range(first, 2**62):
        if time.time() > end:
            os._exit(0)
        path.write_bytes(damaged(content, random.Random(number)))
        note[:16] = struct.pack("<Qd", number, time.time())
        signal.alarm(PATIENCE)
        try:
            note[16] = ("a run", "a sentence", "several sentences").index(read(path))
        except BaseException as error:
            note[32:] = repr(error).encode()[:200].ljust(len(note) - 32)
            os._exit(99)
        note[17 + note[16] * 4 : 21 + note[16] * 4] = struct.pack(
            "<I", 1 + struct.unpack("<I", note[17 + note[16] * 4 : 21 + note[16] * 4])[0]
        )


def main() -> int:
    """Run for some minutes and print what happened how often."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir(), "mpidl-bits"))
    options = parser.parse_args()
    options.keep.mkdir(exist_ok=True)
    content = SEED.read_bytes()
    note = mmap.mmap(-1, 512)
    deaths: collections.Counter[str] = collections.Counter()
    number, end = options.first, time.time() + 60 * options.minutes
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        while time.time() < end:
            pid = os.fork()
            if pid == 0:
                child(content, number, note, Path(folder, "run.h5"), end)
            _, status = os.waitpid(pid, 0)
            code = os.waitstatus_to_exitcode(status)
            number = 1 + struct.unpack("<Q", note[:8])[0]
            if code == 0:
                break
            why = signal.Signals(-code).name if code < 0 else note[32:].decode().strip()
            deaths[why] += 1
            if deaths[why] <= 20:
                kept = options.keep / f"{number - 1}.h5"
                kept.write_bytes(damaged(content, random.Random(number - 1)))
                print(f"{kept}: {why}", flush=True)
    told = struct.unpack("<III", note[17:29])
    print(f"{number - options.first:,} files: {told[0]:,} runs, {told[1]:,} faults, {dict(deaths)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
