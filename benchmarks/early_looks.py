"""How well early looks tell a training's end: over a whole space, among nearly equal learning rates, and where γ alone varies.

    python benchmarks/early_looks.py

Spearman's rank correlation, with its 95 % interval, of the validation loss after a share of the training with that at the end, over
recorded trainings: the bank of digits (`curves/`), its configurations in groups of one batch size and a sixth of that size's learning
rates, and the rules for γ at one learning rate on a subset of CIFAR-10 (`results/gamma_rule_cifar10_subset`). No training is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from banks import digits

from rebnn_search.report.statistics import Interval, rank_correlation

GAMMA_RULES = Path(__file__).parent / "results" / "gamma_rule_cifar10_subset" / "curves.csv.gz"
SHARES = (1 / 40, 1 / 10, 1 / 5, 2 / 5, 4 / 5)
GROUPS = 6
Floats = npt.NDArray[np.float64]


def groups() -> Iterator[tuple[str, Floats, str]]:
    """What trainings are compared: a name, (n, reports) validation losses, and their learning rates."""
    bank = digits()
    yield "digits, all", bank.values, "all"
    rates = np.array([float(str(params["optimizer.lr"])) for params in bank.configurations])
    sizes = np.array([int(str(params["batch_size"])) for params in bank.configurations])
    for size in np.unique(sizes):
        alike = np.flatnonzero(sizes == size)
        for part in np.array_split(alike[np.argsort(rates[alike])], GROUPS):
            yield f"digits, batches of {size}", bank.values[part], f"{rates[part].min():.1e} to {rates[part].max():.1e}"
    table = pd.read_csv(GAMMA_RULES)
    whole = table[table.state == "COMPLETE"].pivot(index="trial", columns="step", values="val/loss")
    yield "CIFAR-10 subset, rules for γ", whole.to_numpy(dtype=np.float64), "0.004"


def after(curves: Floats, share: float) -> Interval | None:
    """ρ after a share of the training; None where no report is as early."""
    report = math.floor(share * curves.shape[1] + 1e-9)
    return rank_correlation(curves[:, report - 1].tolist(), curves[:, -1].tolist()) if report else None


def main() -> None:
    """Print the table."""
    print(
        f"| trainings | learning rates | n | median at the end (least) | {' | '.join(f'{100 * share:.3g} %' for share in SHARES)} |"
    )
    print("|---" * (4 + len(SHARES)) + "|")
    for name, curves, rates in groups():
        sound = curves[np.isfinite(curves).all(axis=1)]
        found = [after(sound, share) for share in SHARES]
        cells = ["" if rho is None else f"{rho.mean:+.2f} [{rho.low:+.2f}, {rho.high:+.2f}]" for rho in found]
        ends = f"{np.median(sound[:, -1]):.3f} ({sound[:, -1].min():.3f})"
        print(f"| {name} | {rates} | {len(sound)} | {ends} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
