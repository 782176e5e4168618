"""What an ensemble costs beside its runs, and what a driver of thousands of runs takes.

    python tests/bench/ensemble.py

24 runs of 4 ranks on digits are worked off on this machine; the overhead is the wall time of the
command less the seconds of all runs over the slots, for each run. Then a study of 3,780 runs is
begun, and the greatest memory of its driver is read when its first run goes on.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS, MANY = 24, 3780

BASE = """
[topology]
name = "barabasi_albert"
devices = 4
[data]
name = "digits"
[model]
name = "mlp"
hidden = [64]
[training]
rounds = 5
lr = 0.1
"""

STUDY = """
base = "base.toml"
[[axes]]
name = "seed"
set = "training.seed"
values = {seeds}
"""


def begin(folder: Path, runs: int) -> subprocess.Popen[bytes]:
    """Start a study of so many runs."""
    folder.mkdir()
    (folder / "base.toml").write_text(BASE)
    (folder / "study.toml").write_text(STUDY.format(seeds=list(range(runs))))
    words = ["-m", "mpidl.ensemble", str(folder), "--site", "local", "--out", str(folder / "out")]
    return subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)


def overhead(folder: Path) -> dict[str, float]:
    """Seconds of the command, of its runs, and what is over for each run."""
    begun = time.perf_counter()
    assert begin(folder, RUNS).wait() == 0
    wall = time.perf_counter() - begun
    lines = (folder / "out" / folder.name / "attempts.jsonl").read_text().splitlines()
    attempts = [json.loads(line) for line in lines]
    assert len(attempts) == RUNS
    slots = len({attempt["slot"] for attempt in attempts})
    spent = sum(attempt["seconds"] for attempt in attempts)
    return {
        "runs": RUNS,
        "slots": slots,
        "wall": wall,
        "runs_over_slots": spent / slots,
        "a_run": spent / RUNS,
        "overhead_a_run": (wall - spent / slots) / RUNS,
    }


def memory(folder: Path) -> dict[str, float]:
    """Greatest megabytes of a driver with many runs, and seconds until its first run goes on."""
    begun = time.perf_counter()
    driver = begin(folder, MANY)
    claims = folder / "out" / folder.name / "claims"
    while not claims.exists() or not any(claims.iterdir()):
        time.sleep(0.1)
    first = time.perf_counter() - begun
    status = Path(f"/proc/{driver.pid}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    driver.send_signal(signal.SIGTERM)
    driver.wait()
    return {"runs": MANY, "seconds_to_first_run": first, "peak_megabytes": peak / 1000}


def main() -> None:
    """Print both as JSON, with machine and date."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
            "date": time.strftime("%Y-%m-%d"),
            "commit": commit.stdout.strip(),
            "ensemble": overhead(Path(folder) / "digits"),
            "driver": memory(Path(folder) / "many"),
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
