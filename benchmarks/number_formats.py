"""Does bfloat16 train as well as float32? The same recipe with the same seeds in both, to the end.

    python benchmarks/number_formats.py trials/digits.yaml --seeds 10
    python benchmarks/number_formats.py trials/cifar10_table_3_7_subset.yaml --seeds 3 --set epochs=10 --set stage_one.epochs=10

Prints the mean and the standard deviation over the seeds, and the mean of the differences with its 95 % interval (Student's t): the
seed draws weights and order, the format rounds. Both are compiled, one thread; the validation metrics are float32 in both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from scipy.stats import t

from rebnn_search.training import Trainer, load_recipe

FORMATS = ("float32", "bfloat16")
METRICS = ("val/loss", "val/top1")


def train(recipe: Path, overrides: list[str], seed: int, dtype: str) -> dict[str, float]:
    """The last report's metrics."""
    words = [*overrides, f"seed={seed}", f"precision={{dtype: {dtype}, compile: true}}", "reports_per_epoch=1"]
    trainer = Trainer(load_recipe(recipe, words))
    while not trainer.finished:
        metrics = trainer.next_report().metrics
    trainer.close()
    return {name: metrics[name] for name in METRICS}


def main() -> None:
    """Run the command."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("recipe", type=Path)
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides")
    p.add_argument("--json", action="store_true", help="print every training")
    args = p.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[dict[str, float]]] = {dtype: [] for dtype in FORMATS}
    for seed in range(args.seeds):
        for dtype in FORMATS:
            found[dtype].append(train(args.recipe, args.overrides, seed, dtype))
            print(f"seed {seed} {dtype}: {found[dtype][-1]}", file=sys.stderr, flush=True)
    if args.json:
        print(json.dumps(found))
        return
    print("| metric | float32 | bfloat16 | bfloat16 − float32, 95 % interval |\n|---|---|---|---|")
    for name in METRICS:
        values = {dtype: [row[name] for row in found[dtype]] for dtype in FORMATS}
        differences = [b - a for a, b in zip(*values.values(), strict=True)]
        wide = t.ppf(0.975, args.seeds - 1) * statistics.stdev(differences) / args.seeds**0.5
        spread = [f"{statistics.mean(row):.4f} ± {statistics.stdev(row):.4f}" for row in values.values()]
        mean = statistics.mean(differences)
        print(f"| `{name}` | {spread[0]} | {spread[1]} | {mean:+.4f} [{mean - wide:+.4f}, {mean + wide:+.4f}] |")


if __name__ == "__main__":
    main()
