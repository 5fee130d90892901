"""How often signs flip, flip back, and how near to flipping the latent weights lie.

With b^t the signs after step t, a weight flips at step t if b^t ≠ b^{t+1}; it oscillates sequentially if it flips at two steps
running (Figure 3.30 a). Everything is counted on the device; `OscillationTracker.collect` is the one synchronisation.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rebnn_search.method.layers import BinaryLayer, binary_layers
from rebnn_search.method.loss_scaling import overflowed
from rebnn_search.method.weights import Resilient

NEAR_ZERO = 0.1
"""A latent weight is near zero within this share of the layer's mean magnitude, both measured from where its sign turns."""


class _Counts(nn.Module):
    """The counters of one layer."""

    signs: Tensor
    flipped: Tensor
    flips: Tensor
    sequential: Tensor

    def __init__(self, layer: BinaryLayer) -> None:
        super().__init__()
        signs = layer.signs()
        self.register_buffer("signs", signs.clone())
        self.register_buffer("flipped", torch.zeros_like(signs))
        self.register_buffer("flips", torch.zeros((), dtype=torch.int64, device=signs.device))
        self.register_buffer("sequential", torch.zeros((), dtype=torch.int64, device=signs.device))

    def count(self, signs: Tensor) -> Tensor:
        """Take in the signs after a step; return the share of each output channel's that flipped, (C_out,) float64."""
        flipped = signs != self.signs
        per_channel = flipped.flatten(1).view(torch.uint8).sum(1, dtype=torch.int32)  # of booleans, and to int64, it is slow
        self.flips += per_channel.sum()
        self.sequential += torch.count_nonzero(flipped & self.flipped)
        self.signs.copy_(signs)
        self.flipped.copy_(flipped)
        return per_channel.double() / flipped[0].numel()


class OscillationTracker(nn.Module):
    """Counts the flips of every binary layer of a model, whatever its weight binarizer.

    Its state (signs, last flips, counters) is in ``state_dict``; the model's is not. Attach it to the optimizer that trains the
    model, or call `observe` after each step.

    Args:
        model: Any model; its binary layers as they are now, those with real weights left out.
    """

    steps: Tensor

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        # A plain list: the layers are the model's, not this module's.
        self.layers = [layer for _, layer in binary_layers(model) if layer.binarizer.binary]
        self._counts = nn.ModuleList(_Counts(layer) for layer in self.layers)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._handle: RemovableHandle | None = None

    def attach(self, optimizer: torch.optim.Optimizer) -> OscillationTracker:
        """Observe after every step of an optimizer, but for those that it skips for an overflow (``fused=True`` under a GradScaler).

        Raises:
            RuntimeError: If attached already.
        """
        if self._handle is not None:
            raise RuntimeError("this tracker is attached to an optimizer already; detach it first")
        self._handle = optimizer.register_step_post_hook(lambda stepped, *_: void(overflowed(stepped) or self.observe()))
        return self

    def set_progress(self, fraction: float) -> None:
        """Tell the weight binarizers how much of training is done, from 0 to 1; some follow a course over it (`ReCU`, `ReSTE`, ...).

        Raises:
            ValueError: If that is not within [0, 1].
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction must be within [0, 1], not {fraction}")
        for layer in self.layers:
            layer.binarizer.set_progress(fraction)

    def detach(self) -> None:
        """Observe no more."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    @torch.no_grad()
    def observe(self) -> list[Tensor]:
        """Count one step. Returns the share of flipped signs by layer, each (C_out,) float64."""
        self.steps += 1
        return [counts.count(layer.signs()) for counts, layer in zip(self.counts, self.layers, strict=True)]

    @property
    def counts(self) -> list[_Counts]:
        """The layers' counters."""
        return [counts for counts in self._counts if isinstance(counts, _Counts)]

    @torch.no_grad()
    def collect(self, reset: bool = True, extra: Mapping[str, list[Tensor]] | None = None) -> dict[str, float]:
        """Return the statistics since the last reset, with one device synchronisation.

        Keys are ``layer_00/flip_ratio``, ``.../sequential_oscillation_ratio`` (means over the layer's weights and the steps),
        ``.../near_zero_fraction``, ``.../scale_mean`` (as things stand), and ``mean/...`` over all layers, weighted by their
        number of weights. NaN where no step was taken.

        Args:
            reset: Begin counting anew. Which signs flipped at the last step is remembered all the same.
            extra: More values by name, one scalar tensor a layer, to come with the same synchronisation.
        """
        rows: dict[str, list[Tensor]] = {
            "flip_ratio": [c.flips.double() / (self.steps.to(c.flips.device) * c.signs.numel()) for c in self.counts],
            "sequential_oscillation_ratio": [
                c.sequential.double() / (self.steps.to(c.flips.device) * c.signs.numel()) for c in self.counts
            ],
            "near_zero_fraction": [near_zero_fraction(layer.margins()) for layer in self.layers],
            "scale_mean": [_scale_mean(layer) for layer in self.layers],
            **(extra or {}),
        }
        if reset:
            self.reset()
        if not self.layers:
            return {}
        values = torch.stack([torch.stack([v.double() for v in row]) for row in rows.values()]).cpu()
        sizes = torch.tensor([layer.weight.numel() for layer in self.layers], dtype=torch.float64)
        means = (values * sizes).sum(1) / sizes.sum()
        found: dict[str, float] = {}
        for name, row, mean in zip(rows, values.tolist(), means.tolist(), strict=True):
            found |= {f"layer_{index:02d}/{name}": value for index, value in enumerate(row)}
            found[f"mean/{name}"] = mean
        return found

    def reset(self) -> None:
        """Begin counting anew."""
        self.steps.zero_()
        for counts in self.counts:
            counts.flips.zero_()
            counts.sequential.zero_()


def near_zero_fraction(margins: Tensor) -> Tensor:
    """The share of a layer's weights within 0.1·mean|m| of where their sign turns, a scalar tensor; m the distances from there."""
    magnitude = margins.abs()
    return (magnitude < NEAR_ZERO * magnitude.mean()).double().mean()


def _scale_mean(layer: BinaryLayer) -> Tensor:
    if isinstance(layer.binarizer, Resilient):
        return layer.binarizer.scale.detach().mean()
    return layer.binarized().detach().abs().mean()


def void(_: object) -> None:
    """Forget a value: what an optimizer's hook returns would be taken for something else."""
