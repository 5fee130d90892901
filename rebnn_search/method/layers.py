"""The layers of a binary network: activations' sign and PReLU with learnable shifts, binary convolution and linear map."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rebnn_search.method.binarize import ShiftedSign
from rebnn_search.method.weights import WeightBinarizer, Weights, make_binarizer


def _per_channel(channels: int, value: float) -> nn.Parameter:
    return nn.Parameter(torch.full((1, channels), value))


def shaped(parameter: Tensor, x: Tensor, dim: int = 1) -> Tensor:
    """A parameter (1, C) such that it broadcasts over a dimension of C in x."""
    sizes = [1] * x.dim()
    sizes[dim] = -1
    return parameter.view(sizes).to(x.dtype)


class RSign(nn.Module):
    """sign(x + shift), shift learnable per channel (ReActNet). Backward: max(0, 2 − 2|x + shift|).

    Args:
        channels: C of the input.
        dim: Where it stands: 1 of (N, C, ...), -1 of (N, ..., C).
    """

    def __init__(self, channels: int, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim
        self.shift = _per_channel(channels, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Binarize to {-1, +1}."""
        out: Tensor = ShiftedSign.apply(x, shaped(self.shift, x, self.dim))
        return out


class RPReLU(nn.Module):
    """PReLU between two learnable shifts per channel (ReActNet): u + out_shift where u = x − in_shift > 0, slope·u + out_shift else.

    Args:
        channels: C of the input (N, C, ...).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.in_shift = _per_channel(channels, 0.0)
        self.slope = _per_channel(channels, 0.25)
        self.out_shift = _per_channel(channels, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (N, C, ...)."""
        slope = self.slope.flatten().to(x.dtype)
        return F.prelu(x - shaped(self.in_shift, x), slope).add_(shaped(self.out_shift, x))


class BinaryLayer(nn.Module, ABC):
    """A layer whose weights pass through a weight binarizer. No bias: a BatchNorm, or the next shift, takes its place.

    Args:
        shape: Of the latent weights (C_out, ...), which begin uniform in ±1/√M.
        weights: The weight binarizer.

    Attributes:
        products: Number format that the layer multiplies in while it is trained, forward and backward; None for its input's. Sums are
            float32 within a product, whose result is rounded once. Evaluation always is in the input's.
    """

    products: torch.dtype | None = None

    def __init__(self, shape: tuple[int, ...], weights: Weights) -> None:
        super().__init__()
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.binarizer: WeightBinarizer
        self.set_weights(weights)

    def set_weights(self, weights: Weights) -> None:
        """Change the weight binarizer and keep the latent weights.

        Raises:
            ValueError: If there is no such binarizer.
        """
        self.binarizer = make_binarizer(weights, self.weight.detach())

    def binarized(self) -> Tensor:
        """The weights that the layer uses, shaped as ``weight``."""
        used: Tensor = self.binarizer(self.weight)
        return used

    @abstractmethod
    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """Multiply an input (N, C_in, ...) by weights shaped as ``weight``."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, ...) to (N, C_out, ...) with the weights that the layer uses."""
        weight = self.binarized()
        if self.products is None or not self.training:
            return self.product(x, weight)
        return self.product(x.to(self.products), weight.to(self.products)).to(x.dtype)

    def signs(self) -> Tensor:
        """Where the binary weights are +1: bool, shaped as ``weight``."""
        return self.binarizer.signs(self.weight.detach())

    def margins(self) -> Tensor:
        """How far each latent weight lies above the value at which its sign turns, shaped as ``weight``."""
        return self.binarizer.margins(self.weight.detach())


class BinaryConv2d(BinaryLayer):
    """A convolution with binarized weights.

    Args:
        in_channels: C_in of the input (N, C_in, H, W).
        out_channels: C_out.
        kernel_size: Side of the square kernel.
        stride: Of the kernel's positions.
        padding: Zeros around the input.
        weights: The weight binarizer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        *,
        weights: Weights = "rebnn",
    ) -> None:
        super().__init__((out_channels, in_channels, kernel_size, kernel_size), weights)
        self.stride, self.padding = stride, padding

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """Convolve (N, C_in, H, W) to (N, C_out, H', W')."""
        return F.conv2d(x, weight, None, self.stride, self.padding)

    def extra_repr(self) -> str:
        """The layer's shape, for printing."""
        out, in_, kernel, _ = self.weight.shape
        return f"{in_}, {out}, kernel_size={kernel}, stride={self.stride}, padding={self.padding}"


class BinaryLinear(BinaryLayer):
    """A linear map with binarized weights.

    Args:
        in_features: Of the input (N, in_features).
        out_features: Of the output.
        weights: The weight binarizer.
    """

    def __init__(self, in_features: int, out_features: int, *, weights: Weights = "rebnn") -> None:
        super().__init__((out_features, in_features), weights)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """Map (N, in_features) to (N, out_features)."""
        return F.linear(x, weight)

    def extra_repr(self) -> str:
        """The layer's shape, for printing."""
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"


def binary_layers(model: nn.Module) -> list[tuple[str, BinaryLayer]]:
    """The binary layers of a model with their names, in the order the model defines them; those with real weights included."""
    return list(_binary_layers(model))


def _binary_layers(model: nn.Module) -> Iterator[tuple[str, BinaryLayer]]:
    for name, module in model.named_modules():
        if isinstance(module, BinaryLayer):
            yield name, module


def set_progress(model: nn.Module, fraction: float) -> None:
    """Tell every weight binarizer of a model how much of training is done, from 0 to 1."""
    for _, layer in binary_layers(model):
        layer.binarizer.set_progress(fraction)


def set_products(model: nn.Module, products: torch.dtype | None) -> None:
    """Let every binary layer of a model multiply in this number format while it is trained; None for its input's."""
    for _, layer in binary_layers(model):
        layer.products = products


def set_weights(model: nn.Module, weights: Weights) -> None:
    """Give every binary layer of a model another weight binarizer, keeping the latent weights.

    Raises:
        ValueError: If there is no such binarizer.
    """
    for _, layer in binary_layers(model):
        layer.set_weights(weights)
