"""Networks without what training alone needs: each binary layer holds the weights that it uses, and nothing they are made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rebnn_search.config import UserError
from rebnn_search.export._expected import build_network, chosen_network
from rebnn_search.export._header import brief
from rebnn_search.export._info import ModelInfo
from rebnn_search.method import WeightBinarizer, binary_layers


class Folded(WeightBinarizer):
    """Passes on weights that are what the layer uses already.

    Args:
        binary: Whether they have two values a channel.
    """

    def __init__(self, binary: bool) -> None:
        nn.Module.__init__(self)
        self.binary = binary

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weights."""
        return weight


@dataclass(frozen=True)
class FoldedState:
    """A network's state on the CPU with the used weights in place of the latent ones.

    Attributes:
        tensors: As ``state_dict`` names them, real ones in float32; none of a weight binarizer's.
        binary: The shapes of the weights that have two values a channel, by layer.
    """

    tensors: dict[str, Tensor]
    binary: dict[str, list[int]]


@torch.no_grad()
def fold(network: nn.Module) -> FoldedState:
    """Take from a trained network what computing its logits needs; the network stays as it is."""
    layers = dict(binary_layers(network))
    state = dict(network.state_dict())
    for name, layer in layers.items():
        state = {key: value for key, value in state.items() if not key.startswith(f"{name}.binarizer.")}
        state[f"{name}.weight"] = layer.binarized()
    tensors = {key: _plain(value) for key, value in state.items()}
    binary = {name: list(layer.weight.shape) for name, layer in layers.items() if layer.binarizer.binary}
    return FoldedState(tensors, binary)


def _plain(value: Tensor) -> Tensor:
    value = value.detach().to("cpu", torch.float32 if value.is_floating_point() else value.dtype)
    return value.clone(memory_format=torch.contiguous_format)


def restore(info: ModelInfo, state: FoldedState, path: Path | str) -> nn.Module:
    """Build the network of a model in evaluation mode, without gradients.

    Args:
        info: Of the model.
        state: Its state, checked by `rebnn_search.export._check`.
        path: Where they come from, for messages.

    Raises:
        UserError: If the state is not that of the network.
    """
    chosen = chosen_network(info, str(path))

    def build() -> nn.Module:
        return chosen.build(
            in_channels=info.channels, num_classes=len(info.classes), image_size=info.image_size, weights="sign"
        )

    network = build_network(build, chosen.name, str(path))
    for name, layer in binary_layers(network):
        layer.binarizer = Folded(name in state.binary)
    try:
        network.load_state_dict(state.tensors)
    except RuntimeError as error:
        raise UserError(f"{path}: does not fit the network of its recipe, {chosen.name}: {_first(error)}") from None
    return network.eval().requires_grad_(False)


def _first(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return brief(" ".join(lines[1:2] or lines))
