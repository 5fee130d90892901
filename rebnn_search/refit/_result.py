"""What a refit came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from rebnn_search.study.estimate import Estimate, estimate, median_training
from rebnn_search.terminal.html import table_html


@dataclass(frozen=True)
class SeedScore:
    """How the training of one seed ended.

    Attributes:
        seed: The recipe's.
        train_loss: Mean over what was trained on since the report before the last; None if training diverged.
        test: ``loss``, ``top1`` and ``top5`` (percent) on the test split; None likewise.
        diverged: Why, if it did.
    """

    seed: int
    train_loss: float | None
    test: Mapping[str, float] | None
    diverged: str | None = None


@dataclass(frozen=True)
class RefitResult:
    """What a refit came to.

    Attributes:
        name: Of the search.
        trial: Number of the trial whose recipe was trained.
        epochs: Of each training.
        seeds: In the order they were trained.
        model: Path of the median seed's packed model; None if all diverged.
        untracked: Why tracking lacks some of it, if it does.
        version: Of the registered model, if one was asked for.
        models: Paths of all seeds' packed models, by seed; none of those that diverged.
    """

    name: str
    trial: int
    epochs: int
    seeds: list[SeedScore]
    model: str | None = None
    untracked: str | None = None
    version: str | None = None
    models: Mapping[int, str] = field(default_factory=dict)

    @property
    def median(self) -> SeedScore | None:
        """The seed of median training loss (`rebnn_search.study.estimate.median_training`). None if all diverged."""
        return median_training([score for score in self.seeds if score.test is not None], lambda score: score.train_loss or 0.0)

    def test(self, metric: str) -> Estimate | None:
        """Mean and interval of a metric of the test split over the seeds that did not diverge."""
        return estimate([score.test[metric] for score in self.seeds if score.test is not None])

    def dump(self) -> dict[str, object]:
        """What ``refit.json`` holds and ``--json`` prints."""
        top1, top5, median = self.test("top1"), self.test("top5"), self.median
        return {
            "name": self.name, "trial": self.trial, "epochs": self.epochs, "trained_on": "train+validation",
            "seeds": [vars(score).copy() for score in self.seeds],
            "test_top1": top1 and top1.mean, "test_top1_interval": top1 and top1.half_width,
            "test_top5": top5 and top5.mean, "test_top5_interval": top5 and top5.half_width,
            "median_seed": median and median.seed,
        }  # fmt: skip

    def _repr_html_(self) -> str:
        top1, top5 = self.test("top1"), self.test("top5")
        lines = [f"<b>{escape(self.name)}</b>, trial #{self.trial}, {self.epochs} epochs on training and validation split"]
        if top1 is not None and top5 is not None:
            lines.append(
                f"test Top-1 {top1.text('.2f')} %, Top-5 {top5.text('.2f')} % (n = {top1.n}; ± is the mean's 95 % interval)"
            )
        rows = [
            [str(score.seed), *(("", "", score.diverged or "") if score.test is None or score.train_loss is None else
             (f"{score.train_loss:.4f}", f"{score.test['top1']:.2f}", f"{score.test['top5']:.2f}"))]
            for score in self.seeds
        ]  # fmt: skip
        return f"<div>{'<br>'.join(lines)}{table_html(['seed', 'train loss', 'Top-1', 'Top-5'], rows)}</div>"
