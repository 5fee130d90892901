"""What ``precision`` brings a training on the CPU, network by network: number formats and compilation take turns in one process.

    python benchmarks/precision.py [--turns 4] [--only NETWORK] [--mode MODE] [--json]
    python benchmarks/precision.py --only "digits_resnet width 8" --mode float32 --mode "float32 auto format"

A turn is one report of a training on random images, one thread; the first, in which the network is compiled, is told apart. Run it
twice for the second trial of a search, which finds what the first compiled in Inductor's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from rebnn_search.training import Recipe, Trainer

CASES = {  # images, channels, side; batch
    "mlp": (2048, 1, 8, 128),
    "digits_resnet": (2048, 1, 8, 128),
    "resnet20": (768, 3, 32, 128),
    "resnet20 16×16": (1024, 3, 16, 64),
    "resnet18": (96, 3, 32, 32),
    "resnet18 cifar": (96, 3, 32, 32),
    "digits_resnet width 8": (1024, 1, 8, 128),
    "digits_resnet width 32": (1024, 1, 8, 128),
    "digits_resnet width 64": (1024, 1, 8, 128),
}
MODES: dict[str, dict[str, Any]] = {
    "float32": {},
    "float32 channels_last": {"channels_last": True},
    "float32 auto format": {"channels_last": "auto"},
    "float32 compiled": {"compile": True},
    "float32 compiled channels_last": {"compile": True, "channels_last": True},
    "bfloat16 products": {"products": "bfloat16"},
    "bfloat16 products channels_last": {"products": "bfloat16", "channels_last": True},
    "bfloat16 products compiled": {"products": "bfloat16", "compile": True},
    "bfloat16": {"dtype": "bfloat16"},
    "bfloat16 channels_last": {"dtype": "bfloat16", "channels_last": True},
    "bfloat16 compiled": {"dtype": "bfloat16", "compile": True},
    "bfloat16 compiled channels_last": {"dtype": "bfloat16", "compile": True, "channels_last": True},
}
PLAIN = {"dtype": "float32", "products": "float32", "compile": False, "channels_last": False}


def recipe(network: str, file: Path, batch: int, mode: str) -> Recipe:
    """A training of many epochs, a report each."""
    name, *more = network.split()
    options: dict[str, Any] = {"stem": "cifar"} if "cifar" in more else {"width": int(more[1])} if "width" in more else {}
    return Recipe.model_validate({
        "data": {"name": "arrays", "path": str(file)}, "network": {"name": name, **options}, "gamma": {"strategy": "flip_ratio"},
        "optimizer": {"name": "adam", "lr": 1e-3}, "epochs": 1000, "batch_size": batch, "reports_per_epoch": 1,
        "precision": PLAIN | MODES[mode],
    })  # fmt: skip


def measure(name: str, folder: Path, turns: int, modes: list[str]) -> dict[str, dict[str, float]]:
    """Take turns; for each mode images/s, how many times those of the first mode (median, least, most), seconds of compiling."""
    count, channels, side, batch = CASES[name]
    rng = np.random.default_rng(0)
    file = folder / f"{name.replace(' ', '-')}.npz"
    images = rng.standard_normal((count * 5 // 4, channels, side, side)).astype(np.float32)
    np.savez(file, X=images, y=np.arange(len(images)) % 10, X_test=images[:20], y_test=np.arange(20) % 10)
    trainers = {mode: Trainer(recipe(name, file, batch, mode)) for mode in modes}
    first, rates = {}, {mode: list[float]() for mode in modes}
    for mode, trainer in trainers.items():
        begun = time.perf_counter()
        trainer.next_report()
        first[mode] = time.perf_counter() - begun
    for trainer in trainers.values():  # a trainer that compiles forgets what others had compiled
        trainer.next_report()
    for turn in range(turns):
        for mode in modes if turn % 2 else reversed(modes):
            rates[mode].append(trainers[mode].next_report().metrics["train/images_per_second"])
    plain = rates[modes[0]]
    ratios = {mode: [fast / slow for slow, fast in zip(plain, rates[mode], strict=True)] for mode in modes}
    return {
        mode: {
            "rate": statistics.median(rates[mode]), "ratio": statistics.median(ratios[mode]), "least": min(ratios[mode]),
            "most": max(ratios[mode]), "compiling": first[mode] - count / rates[mode][0] if "compiled" in mode else 0.0,
        }
        for mode in modes
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--turns", type=int, default=4)
    p.add_argument("--only", action="append", choices=CASES, help="this network; may be repeated")
    p.add_argument("--mode", action="append", choices=MODES, help="may be repeated; others are compared to the first")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    torch.set_num_threads(1)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only or CASES:
            found[name] = measure(name, Path(folder), args.turns, args.mode or list(MODES))
            for mode, one in found[name].items():
                print(
                    f"| {name} | {mode} | {one['rate']:.0f} | {one['ratio']:.2f} ({one['least']:.2f} to {one['most']:.2f})"
                    f" | {one['compiling']:.0f} |",
                    file=sys.stderr if args.json else sys.stdout, flush=True,
                )  # fmt: skip
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
