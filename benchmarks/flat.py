"""Run a search of thousands of trivial trials and see whether the driver stays as small as it was.

    python benchmarks/flat.py --trials 2000 [--json]

At every hundredth trial the driver's memory, open files and threads are read, the memory of its workers and of Ray, and the files
and bytes below the temporary directories. Stated is by how much later readings go beyond the one at 200 trials, and what is left
on the disk when the search has ended.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

RECIPE = "{data: {name: digits}, network: {name: mlp, width: 2}, optimizer: {name: sgd, lr: 1e-2}, epochs: 1, batch_size: 1024}"
SPACE = """
recipe: recipe.yaml
space: {optimizer.lr: {log_uniform: [1e-4, 1e-1]}}
sampler: random
pruner: none
trials: %d
resources: {max_concurrent: %d}
"""
EVERY, FIRST = 100, 200
TEMPORARY = (Path(tempfile.gettempdir()) / "ray", Path("/dev/shm"))
READINGS = ("driver MB", "driver files", "driver threads", "workers MB", "Ray MB", "temporary files", "temporary MB")


def inside(folder: Path) -> tuple[int, int]:
    """Number and bytes of the files below a folder; a link's target is not counted."""
    count = size = 0
    for place, _, names in os.walk(folder, onerror=lambda error: None):
        for name in names:
            with suppress(FileNotFoundError):
                size += (Path(place) / name).lstat().st_blocks * 512
                count += 1
    return count, size


def megabytes(processes: list[psutil.Process]) -> float:
    """Memory of processes, each shared page counted as often as it is mapped."""
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 2**20


def reading(driver: psutil.Process) -> dict[str, float]:
    """What is taken now, by `READINGS`."""
    children = driver.children(recursive=True)
    names = [(child, " ".join(child.cmdline()[:1]) if child.is_running() else "") for child in children]
    workers = [child for child, name in names if name.startswith("ray::")]
    others = [child for child, name in names if not name.startswith("ray::")]
    files, size = map(sum, zip(*(inside(folder) for folder in TEMPORARY), strict=True))
    values = (
        megabytes([driver]), driver.num_fds(), driver.num_threads(), megabytes(workers), megabytes(others), files, size / 2**20,
    )  # fmt: skip
    return dict(zip(READINGS, values, strict=True))


def watch(folder: Path, trials: int, workers: int) -> dict[str, Any]:
    """Run the search. Returns the readings by ended trials, and what is left."""
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (folder / "space.yaml").write_text(SPACE % (trials, workers), encoding="utf-8")
    before = [inside(place) for place in TEMPORARY]
    command = [sys.executable, "-m", "rebnn_search.run", "space.yaml", "--name", "flat", "--no-report", "--json"]
    begun = time.monotonic()
    readings: dict[int, dict[str, float]] = {}
    with (folder / "out").open("wb") as out, subprocess.Popen(command, cwd=folder, stdout=out, stderr=out) as process:
        driver, done = psutil.Process(process.pid), 0
        place = folder / "results" / "flat" / "trials"
        while process.poll() is None:
            begun_trials = sum(1 for _ in place.iterdir()) if place.is_dir() else 0
            if begun_trials // EVERY > done:
                done = begun_trials // EVERY
                try:
                    readings[done * EVERY] = {**reading(driver), "seconds": time.monotonic() - begun}
                except psutil.NoSuchProcess:
                    break
            time.sleep(0.2)
    seconds = time.monotonic() - begun
    after = [inside(place) for place in TEMPORARY]
    if process.returncode:
        sys.exit((folder / "out").read_text(encoding="utf-8", errors="replace")[-3000:])
    result = json.loads((folder / "results" / "flat" / "result.json").read_text(encoding="utf-8"))
    left = [
        f"{place}: {a[0] - b[0]} files, {(a[1] - b[1]) / 2**20:.1f} MB"
        for place, a, b in zip(TEMPORARY, after, before, strict=True)
    ]
    return {"trials": len(result["trials"]), "seconds": seconds, "readings": readings, "left": left}


def main() -> int:
    """Measure and print. Ends with 1 if something grew by more than a tenth."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--trials", type=int, default=2000)
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = watch(Path(folder), args.trials, args.workers)
    later = {trials: one for trials, one in found["readings"].items() if trials >= FIRST}
    first = later[min(later)]
    found["growth"] = {name: max(one[name] for one in later.values()) / max(first[name], 1e-9) - 1 for name in READINGS}
    if args.json:
        print(json.dumps(found))
    else:
        print(f"{found['trials']:,} trials in {found['seconds']:.0f} s; left behind: {'; '.join(found['left'])}")
        print(f"{'trials':>8}" + "".join(f"{name:>18}" for name in READINGS))
        for trials, one in found["readings"].items():
            print(f"{trials:>8}" + "".join(f"{one[name]:>18.1f}" for name in READINGS))
        print(f"{'growth':>8}" + "".join(f"{found['growth'][name]:>17.1%} " for name in READINGS))
    return int(any(found["growth"][name] > 0.1 for name in READINGS[:4]))


if __name__ == "__main__":
    sys.exit(main())
