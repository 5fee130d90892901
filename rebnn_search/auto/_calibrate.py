"""How sure a model may be: its temperature, from samples that the network was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rebnn_search.auto._candidate import HELD_OUT, Candidate, Made
from rebnn_search.training.calibration import calibration_error, cross_entropy, effective_samples, fit_temperature
from rebnn_search.training.data import Data
from rebnn_search.training.evaluation import logits_of

FEW = 20.0
"""Of equal samples: a temperature of weighted ones that say less is that of one or two of them, whose class is rare."""


@dataclass(frozen=True)
class TemperatureFit:
    """A temperature, and what it brings where it was fitted.

    Attributes:
        temperature: Probabilities are the softmax of the logits divided by it.
        source: What it was fitted on, in words.
        samples: How many.
        loss: Cross-entropy there before and after.
        error: Expected calibration error there, percent, before and after; of both the weights are those of the fit.
    """

    temperature: float
    source: str
    samples: int
    loss: tuple[float, float]
    error: tuple[float, float]

    def text(self) -> str:
        """For the user."""
        if not self.samples:
            return f"probabilities: not calibrated: {self.source}"
        return (
            f"probabilities: temperature {self.temperature:.2f}, fitted on {self.source}; their cross-entropy "
            f"{self.loss[0]:.4f} -> {self.loss[1]:.4f}, calibration error {self.error[0]:.1f} -> {self.error[1]:.1f} %"
        )


UNCALIBRATED = TemperatureFit(
    1.0, "no network of this recipe was trained on the training split alone", 0, (0.0, 0.0), (0.0, 0.0)
)


def calibrate(made: Made, logits: Tensor | None, labels: Tensor, weights: Tensor | None = None) -> TemperatureFit:
    """The temperature of what becomes the model.

    Where that was trained on the validation split too, it takes the temperature of a network of the same recipe that was not.

    Args:
        made: With that network.
        logits: Its logits (N, classes) of the validation split; None where there is none.
        labels: (N,) of the validation split.
        weights: (N,) of its samples; None is 1 for each.
    """
    judged = made.judged
    if judged is None or logits is None or not len(labels):
        return UNCALIBRATED
    source = f"the {len(labels):,} validation samples"
    if weights is not None and (known := effective_samples(weights)) < min(FEW, len(labels) / 2):
        source += f", each counted once (weighted by class they would say no more than {known:.1f} equal ones)"
        weights = None
    temperature = fit_temperature(logits, labels, weights)
    if made.shipped.trained_on != HELD_OUT:
        source += f" by {judged.name}, of the same recipe, which did not see them"
    loss = tuple(cross_entropy(logits, labels, at, weights) for at in (1.0, temperature))
    error = tuple(calibration_error(logits, labels, at, weights) for at in (1.0, temperature))
    return TemperatureFit(temperature, source, len(labels), (loss[0], loss[1]), (error[0], error[1]))


def validation_logits(candidate: Candidate | None, data: Data) -> Tensor | None:
    """A candidate's logits (N, classes) of the validation split; None of none."""
    return None if candidate is None else logits_of(candidate.network, data, "validation")
