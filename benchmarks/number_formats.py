"""Does bfloat16 train as well as float32? The same recipe with the same seeds in each, to the end.

    python benchmarks/number_formats.py trials/digits.yaml --seeds 40
    python benchmarks/number_formats.py trials/cifar10_table_3_7_subset.yaml --seeds 5 --set epochs=3 --set stage_one.epochs=3

Prints the mean and the standard deviation over the seeds, and the mean of the differences to float32 with its 95 % interval
(Student's t): the seed draws weights and order, the format rounds. ``bfloat16 products`` is float32 but for what the binary layers
multiply. One thread, compiled unless ``--eager``; the validation metrics are float32 in all.
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

FORMATS = {
    "float32": "dtype: float32, products: float32", "bfloat16 products": "dtype: float32, products: bfloat16",
    "bfloat16": "dtype: bfloat16, products: float32",
}  # fmt: skip
METRICS = ("val/loss", "val/top1")


def train(recipe: Path, overrides: list[str], seed: int, precision: str) -> dict[str, float]:
    """The last report's metrics."""
    words = [*overrides, f"seed={seed}", f"precision={{{precision}}}", "reports_per_epoch=1"]
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
    p.add_argument("--only", action="append", choices=[*FORMATS][1:], help="compare this to float32; may be repeated")
    p.add_argument("--eager", action="store_true", help="uncompiled")
    p.add_argument("--json", action="store_true", help="print every training")
    args = p.parse_args()
    torch.set_num_threads(1)
    plain, *others = ["float32", *(args.only or [*FORMATS][1:])]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in (plain, *others)}
    for seed in range(args.seeds):
        for name in found:
            precision = f"{FORMATS[name]}, compile: {str(not args.eager).lower()}"
            found[name].append(train(args.recipe, args.overrides, seed, precision))
            print(f"seed {seed} {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    if args.json:
        print(json.dumps(found))
        return
    print("| format | metric | mean ± standard deviation | less float32, 95 % interval |\n|---|---|---|---|")
    for name, rows in found.items():
        for metric in METRICS:
            values = [row[metric] for row in rows]
            differences = [row[metric] - base[metric] for row, base in zip(rows, found[plain], strict=True)]
            wide = t.ppf(0.975, args.seeds - 1) * statistics.stdev(differences) / args.seeds**0.5
            mean = statistics.mean(differences)
            less = "" if name == plain else f"{mean:+.4f} [{mean - wide:+.4f}, {mean + wide:+.4f}]"
            print(f"| {name} | `{metric}` | {statistics.mean(values):.4f} ± {statistics.stdev(values):.4f} | {less} |")


if __name__ == "__main__":
    main()
