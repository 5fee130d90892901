"""The base of weight binarizers and their registry.

To add one: a module beside this file with a subclass of `WeightBinarizer` under ``@WEIGHTS.register("name")``. Its constructor
takes ``weight``, which the program supplies; its other arguments are its options. Recipes then accept ``weights: name`` and
``weights: {name: name, option: value}``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from rebnn_search.base.registry import Registry
from rebnn_search.method.binarize import channel_dims


class WeightBinarizer(nn.Module):
    """Turns a layer's latent weights into the weights it uses.

    Args:
        weight: The latent weights (C_out, ...), for the shapes and dtypes of what the binarizer keeps.
    """

    binary = True
    """Whether what comes out has two values a channel."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, weight: Tensor) -> Tensor:
        """Return the weights to use, shaped as ``weight``."""

    def margins(self, weight: Tensor) -> Tensor:
        """How far each latent weight lies above the value at which its sign turns, shaped as ``weight``: itself, if that is 0."""
        return weight

    def signs(self, weight: Tensor) -> Tensor:
        """Where the binary weights are +1: bool, shaped as ``weight``."""
        return weight >= 0

    def fit(self, weight: Tensor) -> None:
        """Fit what the binarizer holds to latent weights that have taken others' place, as after stage one; most hold nothing."""

    def set_progress(self, fraction: float) -> None:
        """Note how much of training is done, from 0 to 1; most have no use for it.

        What follows from it belongs in a buffer: a Python number is a constant of compiled code, compiled anew when it changes.
        """


WEIGHTS: Registry[WeightBinarizer] = Registry("weight binarizer")
"""Weight binarizers by name."""

Weights = str | Callable[[Tensor], WeightBinarizer]
"""A weight binarizer's name, or what makes one of a layer's latent weights: ``functools.partial(ReCU, tau_end=0.95)``."""


def make_binarizer(weights: Weights, weight: Tensor) -> WeightBinarizer:
    """The binarizer of a layer.

    Args:
        weights: Which.
        weight: The latent weights (C_out, ...).

    Raises:
        ValueError: If there is none of that name.
    """
    make = WEIGHTS.get_class(weights) if isinstance(weights, str) else weights
    return make(weight)


def per_channel(weight: Tensor) -> tuple[int, ...]:
    """The shape of one value for each output channel, broadcastable to ``weight``."""
    return (weight.shape[0], *[1] * (weight.dim() - 1))


def mean_magnitude(weight: Tensor) -> Tensor:
    """mean|w| of each output channel, (C_out, 1, ...), a constant to the gradient."""
    return weight.detach().abs().mean(channel_dims(weight), keepdim=True)
