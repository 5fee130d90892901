"""Turns layers of any torch model into binary ones."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from rebnn_search.method.layers import BinaryConv2d, BinaryLayer, BinaryLinear, RSign, shaped
from rebnn_search.method.weights import Weights

READ_BY_THEIR_PARENT = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
"""Modules that compute with their layers' weights and do not call the layers, or not always."""


def convert(
    model: nn.Module, layers: Iterable[str] | None = None, *, weights: Weights = "rebnn", signs: bool = True
) -> list[str]:
    """Make layers of a model binary, in place, keeping their trained weights as latent weights; frozen ones stay frozen.

    A layer's bias is kept as a real one, added after. With ``signs`` its input is binarized too, by an `RSign` before it with a shift
    for each channel of (N, C, H, W), or each feature of (N, ..., C) before a linear map.

    Args:
        model: Any model of `torch.nn.Conv2d` and `torch.nn.Linear` layers.
        layers: Names, as ``named_modules`` gives them, of the layers to convert. None converts all but the first and last, and leaves
            those out that cannot be.
        weights: The weight binarizer.
        signs: Binarize the layers' inputs.

    Returns:
        The names of the converted layers, in the model's order.

    Raises:
        ValueError: If a named layer is not there or cannot be converted; the message says why. The model is then as it was.
    """
    found = {name: module for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))}
    if layers is None:
        inner = list(found)[1:-1]
        names = [name for name in inner if why_not(model, name) is None]
    else:
        wanted = set(layers)
        for name in wanted:
            reason = why_not(model, name)
            if reason is not None:
                raise ValueError(f"layer {name!r} cannot be made binary: {reason}")
        names = [name for name in found if name in wanted]
    for name in names:
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, _binary(found[name], weights, signs))
    return names


def why_not(model: nn.Module, name: str) -> str | None:
    """Why a layer cannot be made binary, in words; None if it can."""
    modules = dict(model.named_modules(remove_duplicate=False))
    real = [n for n, m in modules.items() if isinstance(m, (nn.Conv2d, nn.Linear))]
    module = modules.get(name)
    if module is None:
        return f"there is no such layer; layers are {', '.join(real[:8])}{', ...' if len(real) > 8 else ''}"
    if isinstance(module, BinaryLayer):
        return "it is binary already"
    if type(module) not in (nn.Conv2d, nn.Linear):
        return f"it is a {type(module).__name__}; a Conv2d or a Linear can be"
    parent = modules[name.rpartition(".")[0]]
    if isinstance(parent, READ_BY_THEIR_PARENT):
        return f"its parent, a {type(parent).__name__}, reads its weight itself"
    if name in (real[0], real[-1]):
        return "it is the first layer or the last, which stay real: their input, and the logits, are not binary"
    shared = [n for n, p in model.named_parameters(remove_duplicate=False) if p is module.weight and n != f"{name}.weight"]
    if shared:
        return f"its weight is shared with {shared[0]}"
    if isinstance(module, nn.Conv2d):
        if module.groups != 1:
            return f"it has {module.groups} groups"
        if module.dilation != (1, 1):
            return f"it has dilation {module.dilation}"
        if module.padding_mode != "zeros" or isinstance(module.padding, str):
            return f"it pads with {module.padding_mode} {module.padding!r}"
        for what, pair in (("kernel", module.kernel_size), ("stride", module.stride), ("padding", module.padding)):
            if pair[0] != pair[1]:
                return f"its {what} is not square: {pair}"
    if torch.nn.utils.parametrize.is_parametrized(module):
        return "its weight is parametrized"
    return None


def _binary(layer: nn.Module, weights: Weights, signs: bool) -> nn.Module:
    if isinstance(layer, nn.Conv2d):
        made: BinaryLayer = BinaryConv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], int(layer.padding[0]), weights=weights
        )
        inputs, outputs, dim = layer.in_channels, layer.out_channels, 1
    else:
        assert isinstance(layer, nn.Linear)
        made = BinaryLinear(layer.in_features, layer.out_features, weights=weights)
        inputs, outputs, dim = layer.in_features, layer.out_features, -1
    made.to(layer.weight)
    made.weight.data.copy_(layer.weight.detach())
    made.set_weights(weights)  # its scale from the trained weights
    made.weight.requires_grad_(layer.weight.requires_grad)
    parts: list[nn.Module] = [RSign(inputs, dim), made] if signs else [made]
    if layer.bias is not None:
        bias = ChannelBias(outputs, dim)
        bias.bias.data.copy_(layer.bias.detach().view_as(bias.bias))
        bias.bias.requires_grad_(layer.bias.requires_grad)
        parts.append(bias)
    sequence = parts[0] if len(parts) == 1 else nn.Sequential(*parts)
    return sequence.to(layer.weight).train(layer.training)


class ChannelBias(nn.Module):
    """Adds a learnable value per channel.

    Args:
        channels: C.
        dim: Where it stands: 1 of (N, C, ...), -1 of (N, ..., C).
    """

    def __init__(self, channels: int, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim
        self.bias = nn.Parameter(torch.zeros(1, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add."""
        return x + shaped(self.bias, x, self.dim)
