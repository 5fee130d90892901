"""Whether classes count alike, or samples do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rebnn_search.training.data import Data
from rebnn_search.training.losses import balanced_weights

UNEVEN = 3
"""Classes are uneven where the largest has more than so many times the samples of the smallest."""


@dataclass(frozen=True)
class Balance:
    """How classes count.

    Attributes:
        balanced: Whether alike: by the class-weighted loss.
        reason: Why, for the user.
        ratio: Samples of the largest class for one of the smallest's, in the training split.
    """

    balanced: bool
    reason: str
    ratio: float

    def weights(self, data: Data) -> Tensor | None:
        """The weight (classes,) of a sample of each class; None where samples count alike."""
        return balanced_weights(data) if self.balanced else None


def uneven(data: Data) -> float:
    """Samples of the largest class for one of the smallest's, in the training split."""
    counts = torch.bincount(data.labels("train"), minlength=data.num_classes)
    return int(counts.max()) / max(1, int(counts.min()))


def balance_for(data: Data, asked: str) -> Balance:
    """Decide by the training split, unless the user did.

    Args:
        data: Opened.
        asked: Of `rebnn_search.auto.presets.ASKED`.
    """
    ratio = uneven(data)
    balanced = ratio > UNEVEN if asked == "auto" else asked == "yes"
    seen = f"the largest class has {ratio:.1f} times the samples of the smallest"
    why = f"--balance {asked}" if asked != "auto" else f"{'more' if balanced else 'not more'} than {UNEVEN}"
    how = (
        "classes count alike: trained and chosen by the class-weighted loss; probabilities are those of even classes"
        if balanced
        else "samples count alike: trained and chosen by the plain loss"
    )
    return Balance(balanced, f"{how} ({seen}: {why})", ratio)
