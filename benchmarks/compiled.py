"""What torch.compile brings a training on the CPU, network by network: eager and compiled take turns in one process.

    python benchmarks/compiled.py [--turns 4] [--json]

A turn is one report of a training on random images, one thread; the first, in which the network is compiled, is told apart. Run it
twice for the second trial of a search, which finds what the first compiled in Inductor's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from rebnn_search.training import Recipe, Trainer

CASES = {  # images, channels, side; batch; batches a turn
    "mlp": (2048, 1, 8, 128, 16),
    "digits_resnet": (2048, 1, 8, 128, 16),
    "resnet20": (768, 3, 32, 128, 6),
    "resnet20 16×16": (1024, 3, 16, 64, 16),
    "resnet18": (96, 3, 32, 32, 3),
}


def recipe(network: str, file: Path, batch: int, *, compiled: bool) -> Recipe:
    """A training of many epochs, a report each."""
    return Recipe.model_validate({
        "data": {"name": "arrays", "path": str(file)}, "network": {"name": network.split()[0]}, "gamma": {"strategy": "flip_ratio"},
        "optimizer": {"name": "adam", "lr": 1e-3}, "epochs": 1000, "batch_size": batch, "reports_per_epoch": 1,
        "precision": {"dtype": "float32", "compile": compiled},
    })  # fmt: skip


def measure(name: str, folder: Path, turns: int) -> dict[str, Any]:
    """Take turns."""
    count, channels, side, batch, _ = CASES[name]
    rng = np.random.default_rng(0)
    file = folder / f"{name.replace(' ', '-')}.npz"
    images = rng.standard_normal((count * 5 // 4, channels, side, side)).astype(np.float32)
    np.savez(file, X=images, y=np.arange(len(images)) % 10, X_test=images[:20], y_test=np.arange(20) % 10)
    trainers = {compiled: Trainer(recipe(name, file, batch, compiled=compiled)) for compiled in (False, True)}
    first = {}
    for compiled, trainer in trainers.items():
        begun = time.perf_counter()
        trainer.next_report()
        first[compiled] = time.perf_counter() - begun
    rates: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(turns):
        for compiled, trainer in trainers.items():
            rates[compiled].append(trainer.next_report().metrics["train/images_per_second"])
    ratios = [fast / slow for slow, fast in zip(rates[False], rates[True], strict=True)]
    return {
        "eager": statistics.median(rates[False]), "compiled": statistics.median(rates[True]),
        "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios), "compiling": first[True] - first[False],
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--turns", type=int, default=4)
    p.add_argument("--only", action="append", choices=CASES)
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    torch.set_num_threads(1)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only or CASES:
            one = found[name] = measure(name, Path(folder), args.turns)
            if not args.json:
                print(
                    f"{name}: eager {one['eager']:.0f} images/s, compiled {one['compiled']:.0f}, {one['ratio']:.2f} times "
                    f"({one['least']:.2f} to {one['most']:.2f}); compiling {one['compiling']:.0f} s",
                    flush=True,
                )
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
