"""Table 3.7: accuracy by γ-strategy, mean and 95 % interval over seeds, and the difference to γ = 0."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from scipy import stats

from rebnn_search.base.metrics import VAL_LOSS, VAL_TOP1, VAL_TOP5, final
from rebnn_search.report.strategies import ZERO, Method, methods
from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.study.estimate import Estimate, estimate, has_spread

SMALLEST_P = 0.001
"""A smaller one is shown as such."""
TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "`": "",
    **{letter: f"\\{letter}" for letter in "%_&#$"}, **{letter: f"${letter}$" for letter in "<>"},
    "γ": r"$\gamma$", "±": r"$\pm$", "−": "$-$",
}  # fmt: skip
"""What LaTeX does not take as it stands."""
HEADINGS = ("strategy", "n", "Top-1 (%)", "Top-5 (%)", "validation loss", "Top-1 − γ = 0", "p")


@dataclass(frozen=True)
class StrategyRow:
    """One strategy.

    Attributes:
        difference: Mean over common seeds of Top-1 less that of γ = 0, in percentage points; None for γ = 0 itself or without it.
        p: Of the paired t-test (two-sided) over common seeds that the difference is 0; None with fewer than two, or where it is the
            same for all.
    """

    label: str
    top1: Estimate
    top5: Estimate
    loss: Estimate
    difference: Estimate | None
    p: float | None


def table(search: TrackedSearch) -> list[StrategyRow]:
    """The rows, of every strategy that a trial was trained to its end with, on the validation split."""
    found = methods(search)
    zero = next((method for method in found if method.label == ZERO), None)
    rows = []
    for method in found:
        top1, top5, loss = (method.estimate(name) for name in (VAL_TOP1, VAL_TOP5, VAL_LOSS))
        if top1 is not None and top5 is not None and loss is not None:
            rows.append(StrategyRow(method.label, top1, top5, loss, *_against(method, zero)))
    return rows


def _against(method: Method, zero: Method | None) -> tuple[Estimate | None, float | None]:
    if zero is None or method is zero:
        return None, None
    ours, theirs = ({t.seed: t.metrics[final(VAL_TOP1)] for t in m.trials} for m in (method, zero))
    common = sorted(ours.keys() & theirs.keys(), key=str)
    differences = [ours[seed] - theirs[seed] for seed in common]
    if not has_spread(differences):
        return estimate(differences), None
    return estimate(differences), float(stats.ttest_rel([ours[s] for s in common], [theirs[s] for s in common]).pvalue)


def notes(search: TrackedSearch) -> list[str]:
    """What a reader of the table must know."""
    spec = search.search.spec
    found = [
        "Accuracy on the validation split at the last report, mean ± 95 % interval (Student's t) over n seeds.",
        "p: two-sided paired t-test over common seeds, not corrected for the number of rows.",
    ]
    if any(method.configurations > 1 for method in methods(search)):
        found.append(
            "Strategies were tried with several configurations; each row is its best by validation "
            f"({spec.objective.metric}), which favours those tried more often."
        )
    found += _fewer(search)
    if spec.seeds == 1:
        found.append("One seed: no intervals and no tests. With seeds: 3 in the search file there are both.")
    return found


def _fewer(search: TrackedSearch) -> list[str]:
    """Of which rows there are fewer seeds than the search has, and what that may do to them."""
    found, rows = [], table(search)
    seeds = search.search.spec.seeds
    short = [row.label for row in rows if row.top1.n < seeds]
    if short:
        found.append(
            f"Fewer than {seeds} seeds: {', '.join(short)}. The others were pruned, failed or have not ended; a mean of those that "
            "are left may be of the ones that looked good early."
        )
    less = [f"{row.label} {row.difference.n}" for row in rows if row.difference is not None and row.difference.n < row.top1.n]
    if less:
        found.append(f"Seeds in common with γ = 0, where that is fewer than n: {', '.join(less)}.")
    return found


def cells(row: StrategyRow) -> list[str]:
    """A row's texts."""
    return [
        row.label,
        str(row.top1.n),
        row.top1.text(".2f"),
        row.top5.text(".2f"),
        row.loss.text(".4f"),
        "" if row.difference is None else row.difference.text("+.2f").replace("± +", "± ").replace("-", "−"),
        "" if row.p is None else f"{row.p:.3f}" if row.p >= SMALLEST_P else f"< {SMALLEST_P:g}",
    ]


def markdown(rows: list[StrategyRow]) -> str:
    """The table in Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    lines += ["| " + " | ".join(text.replace("|", "\\|") for text in cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def latex(rows: list[StrategyRow], caption: list[str]) -> str:
    """The table in LaTeX (booktabs), the best mean Top-1 in bold."""
    best = max(row.top1.mean for row in rows) if rows else 0.0
    lines = [r"\begin{table}", r"\centering", r"\begin{tabular}{lrrrrrr}", r"\toprule"]
    lines.append(" & ".join(_tex(name) for name in HEADINGS) + r" \\")
    lines.append(r"\midrule")
    for row in rows:
        texts = [_tex(text) for text in cells(row)]
        if row.top1.mean == best:
            texts[2] = rf"\textbf{{{texts[2]}}}"
        lines.append(" & ".join(texts) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{_tex(' '.join(caption))}}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _tex(text: str) -> str:
    return "".join(TEX.get(letter, letter) for letter in text).replace("|G|", r"$|G|$")


def as_csv(rows: list[StrategyRow]) -> str:
    """The table as CSV, each number in a column of its own and unrounded."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = ("top1", "top5", "val_loss", "top1_difference")
    parts = [f"{name}_{part}" for name in names for part in ("mean", "half_width")]
    writer.writerow(["strategy", "n", *parts, "top1_difference_n", "p"])
    for row in rows:
        estimates = (row.top1, row.top5, row.loss, row.difference)
        numbers = [part for e in estimates for part in ((None, None) if e is None else (e.mean, e.half_width))]
        writer.writerow([row.label, row.top1.n, *numbers, None if row.difference is None else row.difference.n, row.p])
    return file.getvalue()
