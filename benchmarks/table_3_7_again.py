"""Whether Table 3.7, trained again, is the same table within its intervals.

    python benchmarks/table_3_7_again.py benchmarks/results/table_3_7_cifar10_subset/runs.csv benchmarks/results/AGAIN/runs.csv

Takes two ``runs.csv`` of `table_3_7.py` and compares the mean Top-1 of each row, with each of its settings, that both have: Welch's
95 % interval of the difference says what the spread over the seeds of the two allows for. On another machine the same seeds begin
alike and soon round elsewhere; the two measurements are taken as independent.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from scipy import stats
from table_3_7 import ROW_NAMES, TRIAL_COLUMNS

from rebnn_search.base.errors import UserError, exit_on_user_error
from rebnn_search.study.estimate import Estimate, estimate, has_spread

COLUMNS = {"val": "val_top1", "test": "test_top1"}
"""Top-1 in percent by split."""
Values = dict[tuple[str, str], dict[str, float]]
"""Those of each row with each of its settings, by seed."""
CHANCE = 0.05
HEADINGS = ("row", "settings", "n", "first", "again", "again − first", "95 % interval", "p")


@dataclass(frozen=True)
class Comparison:
    """One row of the table with one setting.

    Attributes:
        first, again: Mean Top-1 (%) over seeds.
        low, high: Welch's 95 % interval of again − first, in percentage points.
        p: Welch's test, two-sided, that the difference is 0.
        by_seed: Again − first, of the seeds that both have.
    """

    row: str
    settings: str
    first: Estimate
    again: Estimate
    low: float
    high: float
    p: float
    by_seed: Mapping[str, float]

    @property
    def difference(self) -> float:
        """Of the means, in percentage points."""
        return self.again.mean - self.first.mean

    @property
    def within(self) -> bool:
        """Whether the two are the same within their seeds' spread."""
        return self.low <= 0 <= self.high


def read(file: Path, column: str) -> Values:
    """The seeds' values.

    Raises:
        UserError: If the file is none that `table_3_7.py` wrote.
    """
    try:
        with file.open(encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    if not rows or not {*TRIAL_COLUMNS} <= rows[0].keys():
        raise UserError(f"{file}: is no runs.csv that benchmarks/table_3_7.py wrote")
    found: Values = {}
    for row in rows:
        told = ((name, value) for name, value in row.items() if name not in TRIAL_COLUMNS and name not in ROW_NAMES)
        settings = ", ".join(f"{name} {value}" for name, value in told if value)
        found.setdefault((row["strategy"], settings), {})[row["seed"]] = float(row[column])
    return found


def compare(first: Values, again: Values) -> list[Comparison]:
    """What both have with two seeds or more that differ, in the first's order."""
    found = []
    for key, one in first.items():
        other = again.get(key, {})
        before, after = list(one.values()), list(other.values())
        means = estimate(before), estimate(after)
        if means[0] is None or means[1] is None or not (has_spread(before) and has_spread(after)):
            continue
        test = stats.ttest_ind(after, before, equal_var=False)
        low, high = test.confidence_interval()
        by_seed = {seed: other[seed] - one[seed] for seed in one if seed in other}
        found.append(Comparison(*key, *means, float(low), float(high), float(test.pvalue), by_seed))
    return found


def minus(text: str) -> str:
    """With the sign for the hyphen."""
    return text.replace("-", "−")


def page(comparisons: Sequence[Comparison]) -> str:
    """The comparison in Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    for c in comparisons:
        n = str(c.first.n) if c.first.n == c.again.n else f"{c.first.n}, {c.again.n}"
        texts = [
            c.row.replace("|", "\\|"), c.settings, n, c.first.text(".2f"), c.again.text(".2f"), minus(f"{c.difference:+.2f}"),
            minus(f"{c.low:+.2f} to {c.high:+.2f}"), f"{c.p:.3f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join([*lines, "", *(f"- {fact}" for fact in facts(comparisons))]) + "\n"


def facts(comparisons: Sequence[Comparison]) -> Iterable[str]:
    """What they say together."""
    within = sum(c.within for c in comparisons)
    yield (
        f"{within} of {len(comparisons)} rows are the same within 95 % intervals; {CHANCE * len(comparisons):.1f} outside of theirs "
        "would be chance."
    )
    # A seed's first stage and order of samples are all rows': rows are no independent evidence of a shift, seeds are.
    common = set[str].intersection(*(set(c.by_seed) for c in comparisons))
    shift = estimate([fmean(c.by_seed[seed] for c in comparisons) for seed in sorted(common)])
    if shift is not None:
        told = minus(shift.text("+.2f").replace("± +", "± "))
        yield f"All rows together: again − first {told} points (Student's t over {shift.n} seeds, each the mean of the rows)."
    if len(comparisons) > 2:
        ranks = stats.spearmanr([c.first.mean for c in comparisons], [c.again.mean for c in comparisons]).statistic
        yield f"Order of the rows: Spearman's ρ {minus(f'{ranks:+.2f}')}."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns 1 where more rows lie outside than chance explains, and 0 otherwise.

    By a binomial test at 5 %, which takes the rows for independent. Their seeds are in common, so that it finds more than it should.
    """
    p = argparse.ArgumentParser(description="Compare two measurements of Table 3.7.")
    p.add_argument("first", type=Path, help="the runs.csv of the one")
    p.add_argument("again", type=Path, help="the runs.csv of the other")
    p.add_argument("--split", choices=COLUMNS, default="val", help="whose Top-1 (default: val)")
    args = p.parse_args(argv)
    comparisons = compare(read(args.first, COLUMNS[args.split]), read(args.again, COLUMNS[args.split]))
    if not comparisons:
        raise UserError(f"{args.again}: has no row with two seeds or more whose settings {args.first} has, too")
    print(page(comparisons), end="")
    outside = sum(not c.within for c in comparisons)
    return int(stats.binomtest(outside, len(comparisons), CHANCE, alternative="greater").pvalue < CHANCE)


if __name__ == "__main__":
    sys.exit(exit_on_user_error(main))
