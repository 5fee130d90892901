"""Time and memory of one training step: this trainer beside the published ReBNN code, and beside its convolutions alone.

    python benchmarks/step_time.py --official DIR [--device cuda] [--bfloat16] [--json]
    python benchmarks/step_time.py --network resnet20 --batch 128 [--bfloat16]

DIR is a copy of the published code (its ``2_step2_rebnn`` folder or the one above), which is read and changed in memory only.
Each contender runs in its own process; the processes stay, and take turns, a few steps each, so that whatever else the machine does
meets all of them alike. Memory is measured in further processes, one contender alone at a time.

The task: ResNet-18 with a CIFAR stem (the published network gets one in memory) or another network, ten classes, random images of
32×32, Adam, cross-entropy; float32, and with ``--bfloat16`` the convolutions in that too, and this trainer by autocast or as far as
its binary products go (``products``). The step of this trainer is all of it: taking the batch, normalising it, γ and oscillation
statistics.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("_step_time_worker.py")
CONTENDERS = ("published", "published compiled", "eager", "compiled", "convolutions")
BFLOAT16 = (
    "eager products bfloat16", "compiled products bfloat16", "eager bfloat16", "compiled bfloat16", "convolutions bfloat16",
)  # fmt: skip
NETWORKS = ("resnet18", "resnet20", "resnet34")


class Worker:
    """One contender in a process of its own."""

    def __init__(self, contender: str, args: argparse.Namespace) -> None:
        self.contender = contender
        words = [sys.executable, str(WORKER), contender, "--batch", str(args.batch), "--steps", str(args.steps),
                 "--device", args.device, "--network", args.network]  # fmt: skip
        if args.official:
            words += ["--official", str(args.official)]
        threads = {"OMP_NUM_THREADS": str(args.threads), "MKL_NUM_THREADS": str(args.threads)}
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads}
        )
        self.about = self._answer()

    def turn(self) -> dict[str, Any]:
        """Let it take its steps once; return ``seconds`` a step and ``peak_mib`` so far above the idle process."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Let its process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"error: the contender {self.contender!r} ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--official", type=Path, help="copy of the published code; without it only this trainer is measured")
    parser.add_argument("--device", default="cpu", help="as torch names it")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each process")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3, help="steps a turn")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each contender")
    parser.add_argument("--network", default="resnet18", choices=NETWORKS, help="the published code is a resnet18")
    parser.add_argument("--bfloat16", action="store_true", help="with the contenders of that number format")
    parser.add_argument(
        "--only", action="append", choices=CONTENDERS + BFLOAT16, help="measure this contender; may be repeated"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    published = args.official and args.network == "resnet18"
    wanted = args.only or CONTENDERS + BFLOAT16 * args.bfloat16
    names = [name for name in wanted if published or not name.startswith("published")]

    found: dict[str, dict[str, Any]] = {}
    for name in names:
        alone = Worker(name, args)
        turns = [alone.turn() for _ in range(2)]
        alone.end()
        found[name] = {"peak_mib": turns[-1]["peak_mib"], "machine": alone.about}
    workers = [Worker(name, args) for name in names]
    times: dict[str, list[float]] = {name: [] for name in names}
    for index in range(args.rounds + 1):
        for worker in workers if index % 2 else reversed(workers):
            seconds = worker.turn()["seconds"]
            if index:  # the first turn warms up
                times[worker.contender].append(seconds)
    for worker in workers:
        worker.end()
    for name in names:
        found[name]["seconds"] = times[name]
        found[name]["median"] = statistics.median(times[name])
    if args.json:
        print(json.dumps({"contenders": found, "batch": args.batch, "steps": args.steps, "threads": args.threads}))
    else:
        print(table(found, args))
    return 0


def table(found: dict[str, dict[str, Any]], args: argparse.Namespace) -> str:
    """The result as Markdown."""
    machine = next(iter(found.values()))["machine"]
    lines = [
        f"{args.network}, {args.rounds} turns of {args.steps} steps each, batch {args.batch}, {machine['device']}, "
        f"{args.threads} CPU threads, torch {machine['torch']}, Python {platform.python_version()}.",
        "",
        "| step | median | least to most | published / this | peak memory above idle | this / published | convolutions alone |",
        "|---|---|---|---|---|---|---|",
    ]
    published = found.get("published")
    for name, row in found.items():
        floor = found.get("convolutions bfloat16" if name.endswith("bfloat16") else "convolutions")
        speed = f"{published['median'] / row['median']:.2f}×" if published else ""
        memory = f"{row['peak_mib'] / published['peak_mib']:.2f}×" if published else ""
        share = f"{100 * floor['median'] / row['median']:.0f} %" if floor else ""
        lines.append(
            f"| {name} | {1000 * row['median']:.0f} ms | {1000 * min(row['seconds']):.0f} to {1000 * max(row['seconds']):.0f} ms"
            f" | {speed} | {row['peak_mib']:.0f} MiB | {memory} | {share} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
