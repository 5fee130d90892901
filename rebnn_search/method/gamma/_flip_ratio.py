"""γ as the method computes it."""

from __future__ import annotations

from torch import Tensor

from rebnn_search.method.gamma.base import GAMMA, GammaStrategy


@GAMMA.register("flip_ratio")
class FlipRatio(GammaStrategy):
    """γ_i^{t+1} = (1/M)·‖b_i^t ⊛ b_i^{t+1} − 1‖₀ · max_j |G_ij^t|, Eq. 3.150. γ^0 = 0.

    A channel whose signs did not flip is left to its task gradient; one whose signs flip is held back in proportion.
    """

    def update(self, flip_fraction: Tensor, max_grad: Tensor, iteration: int, memory: Tensor | None = None) -> Tensor:
        """Return the flip fraction times the largest gradient magnitude of each channel."""
        return flip_fraction * max_grad
