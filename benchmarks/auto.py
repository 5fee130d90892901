"""`rebnn_search.auto` in its presets, on five data sets that it was not tuned on, beside what else the user could have had.

    python benchmarks/auto.py --time 5m --repeats 3 --images ARCHIVE.tar.xz --out auto.jsonl
    python benchmarks/auto.py --out auto.jsonl --table

Each run is the command as a user gives it, one at a time; a repeat has other rows, or other splits. What is done stands in the file,
in lines of JSON, and is not done again: the same command goes on after an interruption. Figures are of the test split, percent.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auto_data import Source, sources

PRESETS = ("fast", "balanced", "best")
KEY = ("data", "preset", "repeat", "time")


def run(name: str, source: Source, preset: str, repeat: int, limit: str) -> dict[str, Any]:
    """Write a data set, run the command on it, and return what it came to."""
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        path = source.write(folder, repeat)
        words = [str(path), "--time", limit, "--preset", preset, "--out", "out", *source.options]
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "rebnn_search.auto", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        seconds = time.monotonic() - begun
        row = {
            "data": name,
            "preset": preset,
            "repeat": repeat,
            "time": limit,
            "machine": platform.processor() or platform.machine(),
        }
        if done.returncode:
            return {**row, "seconds": round(seconds, 1), "error": done.stdout.strip().splitlines()[-1:]}
        result = json.loads((folder / "out" / "auto.json").read_text(encoding="utf-8"))
    model = next(finalist for finalist in result["leaderboard"] if finalist["model"])
    others = {other["name"]: other["test_top1"] for other in result["comparison"]}
    return {
        **row, "seconds": round(seconds, 1), "trials": result["trials"], "model": result["network"], "top1": model["test_top1"],
        "balanced": model["test_balanced"], "mean of seeds": result["test_top1"], "latency_ms": model["latency_ms"],
        "bytes": model["bytes"], "temperature": result["calibration"]["temperature"],
        "calibration error": result["calibration"]["error"], "others": others, "distilled": result["distilled"],
        "classes alike": result["balance"]["balanced"],
    }  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of each data set, preset and time as one: mean ± standard deviation over the repeats, and how many there were."""
    others = list(dict.fromkeys(name for row in rows for name in row.get("others", ())))
    heads = ["data", "preset", "time", "n", "model", "balanced", *others, "ensemble", "kB", "ms", "most seconds"]
    lines = [heads, ["---"] * len(heads)]
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["data"], row["preset"], row["time"]), []).append(row)
    for (data, preset, limit), found in groups.items():
        sound = [row for row in found if "error" not in row]
        ensembles = [(row["distilled"] or {}).get("ensemble_test") for row in sound]
        lines.append([
            data, preset, limit, f"{len(sound)}" + (f" ({len(found) - len(sound)} failed)" if len(found) > len(sound) else ""),
            spread([row["top1"] for row in sound]), spread([row["balanced"] for row in sound]),
            *(spread([row["others"].get(name) for row in sound]) for name in others), spread(ensembles),
            spread([row["bytes"] / 1000 for row in sound]), spread([row["latency_ms"] for row in sound]),
            f"{max(row['seconds'] for row in found):.0f}",
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values: Sequence[float | None]) -> str:
    """Mean ± standard deviation of what there is; with its number where some is missing."""
    there = [value for value in values if value is not None]
    if not there:
        return "-"
    text = f"{statistics.fmean(there):.2f}" + (f" ± {statistics.stdev(there):.2f}" if len(there) > 1 else "")
    return text if len(there) == len(values) else f"{text} (n = {len(there)})"


def known(out: Path) -> list[dict[str, Any]]:
    """What the file has, the last of each run; a line that was cut short is as if it were not there."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in out.read_text(encoding="utf-8").splitlines() if out.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows[tuple(row[key] for key in KEY)] = row
    return list(rows.values())


def keep(out: Path, row: dict[str, Any]) -> None:
    """Add a row to the file, on a line of its own whatever was cut short before."""
    torn = out.exists() and not out.read_bytes().endswith(b"\n") and out.stat().st_size
    with out.open("a", encoding="utf-8") as file:
        file.write(("\n" if torn else "") + json.dumps(row, ensure_ascii=False) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", default="5m", help="for each run (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of each data set and preset (default: %(default)s)")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    parser.add_argument("--data", nargs="+", help="only these (default: all)")
    parser.add_argument("--images", type=Path, help="archive with train/CLASS/*.jpg, such as CIFAR-10's as files")
    parser.add_argument(
        "--out", type=Path, default=Path("auto.jsonl"), help="the results, which are gone on with (default: %(default)s)"
    )
    parser.add_argument("--table", action="store_true", help="only print what is there")
    args = parser.parse_args(argv)
    rows = known(args.out)
    if not args.table:
        found = sources(args.images)
        if unknown := set(args.data or ()) - found.keys():
            parser.error(f"--data {' '.join(sorted(unknown))}: there are {', '.join(found)}; pictures need --images")
        done = {tuple(row[key] for key in KEY) for row in rows if "error" not in row}
        for repeat in range(args.repeats):
            for name in args.data or found:
                for preset in args.presets:
                    if (name, preset, repeat, args.time) in done:
                        continue
                    row = run(name, found[name], preset, repeat, args.time)
                    rows.append(row)
                    keep(args.out, row)
                    print(json.dumps(row, ensure_ascii=False), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
