"""Whether a network still holds finite numbers alone.

A loss does not tell: the sign of NaN is −1, so that behind a binary layer without a shortcut everything looks sound.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FiniteWatch:
    """Looks through a network's parameters and buffers, on the device.

    Activations are seen by what they leave: NaN passes through every layer's gradient into the weights, and at once into a
    BatchNorm's statistics.

    Args:
        network: Any. A buffer that is not finite now, such as a mask of -inf, is left out.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        buffers = {name: buffer for name, buffer in network.named_buffers() if buffer.is_floating_point()}
        self.names = [name for name, _ in network.named_parameters()]
        self.names += [name for name, buffer in buffers.items() if bool(torch.isfinite(buffer).all())]

    @torch.no_grad()
    def flags(self, device: torch.device) -> Tensor:
        """1 for each of ``names`` that holds a number which is not finite, 0 for the others; (K,) float64 on the device."""
        now: dict[str, Tensor] = {**dict(self._network.named_buffers()), **dict(self._network.named_parameters())}
        found = [(~torch.isfinite(now[name])).any() if name in now else torch.tensor(False) for name in self.names]
        return torch.stack([flag.to(device) for flag in found]).double() if found else torch.zeros(0, device=device).double()
