"""What a long run, or one of many ranks, takes of memory, file handles, shared memory and time.

    python tests/bench/soak.py --ranks 8 --rounds 2000
    python tests/bench/soak.py --ranks 64 --rounds 20

Each rank is looked at between its rounds; a line of a Markdown table compares the first look after
the round ``--from`` with the greatest of all after it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

LOOK = 2.0
"""Seconds between two looks."""


def children(parent: int) -> list[int]:
    """All processes below one."""
    found, below = [], {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            below.setdefault(int(status[1]), []).append(int(entry.name))
    waiting = [parent]
    while waiting:
        own = below.get(waiting.pop(), [])
        found += own
        waiting += own
    return found


def look(process: int) -> tuple[float, float, int, int] | None:
    """MB in memory, MB of them that are its own share, handles, segments; None if it is no rank."""
    place = Path(f"/proc/{process}")
    try:
        maps = (place / "maps").read_text()
        if "/dev/shm/" not in maps:
            return None
        told = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        share = dict(
            line.split(":", 1) for line in (place / "smaps_rollup").read_text().splitlines()[1:]
        )
        handles = len(os.listdir(place / "fd"))
    except OSError:
        return None
    names = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if "/dev/shm/" in line}
    resident, own = (int(text.split()[0]) / 1e3 * 1.024 for text in (told["VmRSS"], share["Pss"]))
    return resident, own, handles, len(names)


def main() -> None:
    """Run, look, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--from", type=int, default=100, dest="first")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    settings = [f"training.rounds={options.rounds}", *options.set]
    stamps: list[float] = []
    seen: list[tuple[int, dict[int, tuple[float, float, int, int]]]] = []
    with tempfile.TemporaryDirectory() as folder:
        command = ["mpiexec", "-n", str(options.ranks), sys.executable, "-m", "mpidl.run"]
        command += [word for setting in settings for word in ("--set", setting)]
        began = time.monotonic()
        run = subprocess.Popen([*command, "--out", folder], stdout=subprocess.PIPE, text=True)

        def watch() -> None:
            while run.poll() is None:
                found = {process: look(process) for process in children(run.pid)}
                ranks = {process: one for process, one in found.items() if one is not None}
                # The importer, from which ranks are forked, stands by with a rank's modules.
                seen.append((len(stamps), ranks))
                time.sleep(LOOK)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("round "):
                stamps.append(time.monotonic())
        code = run.wait()
        watcher.join()
    print(f"exit code {code}, {time.monotonic() - began:.0f} s, start {stamps[0] - began:.1f} s")
    whole = [(sum(one[1] for one in ranks.values()), done) for done, ranks in seen]
    print(f"all processes together at most {max(whole)[0]:,.0f} MB (after round {max(whole)[1]})")
    after = [ranks for done, ranks in seen if options.first <= done < options.rounds]
    if len(after) > 1:
        both = set(after[0]) & set(after[-1])
        growth = {p: max(r[p][0] for r in after if p in r) / after[0][p][0] - 1 for p in both}
        worst = max(both, key=lambda p: growth[p])
        print(f"{len(both)} processes from round {options.first} on:")
        print(
            f"memory of one: {after[0][worst][0]:.1f} MB, at most {100 * growth[worst]:.2f} % more"
        )
        for place, name in ((2, "handles"), (3, "segments")):
            counts = {one[place] for ranks in after for p, one in ranks.items() if p in both}
            print(f"{name}: {min(counts)} to {max(counts)}")
            steady = all(len({r[p][place] for r in after if p in r}) == 1 for p in both)
            print(f"{name} of each the same all the time: {'yes' if steady else 'no'}")
    taken = np.diff(stamps)
    part = max(1, min(200, len(taken) // 4))
    early, late = taken[min(options.first, len(taken) // 4) :][:part], taken[-part:]
    print(
        f"round: {1e3 * np.median(early):.1f} ms in the median of {part} early ones, "
        f"{1e3 * np.median(late):.1f} ms of the last {part}"
    )


if __name__ == "__main__":
    main()
