"""γ from the largest gradient alone."""

from __future__ import annotations

from torch import Tensor

from rebnn_search.method.gamma.base import GAMMA, GammaStrategy


@GAMMA.register("max_gradient")
class MaxGradient(GammaStrategy):
    """γ_i^{t+1} = max_j |G_ij^t|: Eq. 3.150 without its flip fraction (Table 3.7, sixth row). γ^0 = 0."""

    def update(self, flip_fraction: Tensor, max_grad: Tensor, iteration: int, memory: Tensor | None = None) -> Tensor:
        """Return the largest gradient magnitude of each channel."""
        return max_grad.clone()
