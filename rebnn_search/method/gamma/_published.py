"""What the released implementation does."""

from __future__ import annotations

from torch import Tensor

from rebnn_search.method.binarize import channel_dims, sign
from rebnn_search.method.blocks import by_channels
from rebnn_search.method.gamma._constant import Constant
from rebnn_search.method.gamma.base import GAMMA

CLAMPED = 2e-4
"""What the released rule's clamp, its bounds the wrong way round, returns for every input."""
FACTOR = 0.02
"""The factor of the released forward pass, ŵ = FACTOR·s·sign(w) with s the learned scale, so that α is FACTOR·s."""


@GAMMA.register("published_code")
class PublishedCode(Constant):
    """The step of the released implementation, its faults included: the row to choose to know what it trains.

    There δw = s·G + 2e-4·(w − α·b), without the mask 1[|w| ≤ 1], and δs_i = Σ_j G_ij·w_ij − 2e-4·Σ_j (w_ij − α_i·b_ij)·0.02·b_ij,
    with w where Eq. 3.151 has b. The task's part lacks the factor of α = 0.02·s, so that relative to it γ is 0.02·2e-4 = 4e-6:

    - δw = α·G + 4e-6·(w − α·b), the released one's direction and a fiftieth of its length (which Adam does not see);
    - δs as above; a step of s moves α by 0.02 of it.

    Where s crosses zero the released code takes its magnitude; here α stops at `SCALE_FLOOR`, as under every strategy. The scale
    that it begins with is the init ``randn_abs``.
    """

    scale_unit = FACTOR

    def __init__(self) -> None:
        super().__init__(FACTOR * CLAMPED)

    def gradients(self, grad: Tensor, weight: Tensor, scale: Tensor, gamma: Tensor) -> Tensor:
        """Turn G into δw in place and return δs."""
        return by_channels(_gradients, grad, weight, scale, gamma)


def _gradients(grad: Tensor, weight: Tensor, scale: Tensor, gamma: Tensor) -> Tensor:
    b = sign(weight)
    reconstruction = (weight - scale * b).mul_(gamma)
    d_scale = (grad * weight).sub_(reconstruction * b).sum(channel_dims(weight), keepdim=True)
    grad.mul_(scale).add_(reconstruction)
    return d_scale
