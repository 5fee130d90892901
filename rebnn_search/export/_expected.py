"""What a network's state must be: learned from the network built without memory, before anything of a file is believed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from rebnn_search.config import Choose, Component, Document, Strict, UserError, validate
from rebnn_search.export._header import brief
from rebnn_search.export._info import ModelInfo
from rebnn_search.method import NETWORKS, binary_layers
from rebnn_search.method.networks import CONTEXT

Kind = tuple[torch.Size, torch.dtype]
BINARIZER = ".binarizer."
SLACK = 4
OWN = ":"
"""In the name of a network of the user's, ``module:function``."""


class _Chosen(Strict):
    network: Annotated[Component[nn.Module], Choose(NETWORKS, "network", context=CONTEXT)]


class _TooManyError(Exception):
    """A network has more parameters than there are tensors for it."""


@dataclass(frozen=True)
class Expected:
    """The state of a network.

    Attributes:
        network: Its name.
        tensors: Shape and type of each tensor as `rebnn_search.export._network.FoldedState` has them.
        binary: The shapes of the weights that may be binary, by layer.
    """

    network: str
    tensors: Mapping[str, Kind]
    binary: Mapping[str, torch.Size]


def chosen_network(info: ModelInfo, source: str) -> Component[nn.Module]:
    """The network of a model's recipe.

    Raises:
        UserError: If there is none of that name, or not with these options.
    """
    found = {key: info.recipe[key] for key in ("network",) if key in info.recipe}
    try:
        network: Component[nn.Module] = validate(_Chosen, Document(source, found)).network
    except UserError as error:
        message = str(error)
        raise UserError(brief(message if message.startswith(source) else f"{source}: {message}")) from None
    return network


def expected_state(info: ModelInfo, most: int, source: str) -> Expected:
    """The state that a model file must hold.

    Args:
        info: Of the model.
        most: Tensors in the file: a network of more parameters is not built to its end.
        source: The file, for messages.

    Raises:
        UserError: If there is no such network, or none that so few tensors could be the state of.
    """
    chosen = chosen_network(info, source)

    def build() -> nn.Module:
        return chosen.build(
            in_channels=info.channels, num_classes=len(info.classes), image_size=info.image_size, weights="sign"
        )

    network = without_memory(build, chosen.name, most, source)
    layers = binary_layers(network)
    state = {name: tensor for name, tensor in network.state_dict().items() if BINARIZER not in f".{name}"}
    tensors = {
        name: (tensor.shape, torch.float32 if tensor.is_floating_point() else tensor.dtype) for name, tensor in state.items()
    }
    return Expected(chosen.name, tensors, {name: layer.weight.shape for name, layer in layers})


def without_memory(build: Callable[[], nn.Module], name: str, most: int, source: str) -> nn.Module:
    """Build a network whose tensors have shapes and types alone.

    A network of the user's that cannot be built so is built as usual: it is code that the user has allowed.

    Args:
        build: Makes it.
        name: Its name in the recipe.
        most: Parameters that it may have.
        source: For messages.

    Raises:
        UserError: If it cannot be built, or has more parameters.
    """
    # A network of the user's may replace layers while it is built.
    with torch.random.fork_rng(devices=[]), _at_most(SLACK * most):
        try:
            with torch.device("meta"):
                return build()
        except _TooManyError:
            raise UserError(
                f"{source}: does not fit the network of its recipe, {name}: it has more than {most} tensors"
            ) from None
        except (ValueError, RuntimeError, TypeError, OverflowError, MemoryError) as error:
            if OWN not in name:
                what = (
                    brief(str(error)) if isinstance(error, ValueError) else f"cannot be built so large ({type(error).__name__})"
                )
                raise UserError(f"{source}: network {name}: {what}") from None
    return build_network(build, name, source)


def build_network(build: Callable[[], nn.Module], name: str, source: str) -> nn.Module:
    """Build a network; the random numbers that follow are as if it had not been.

    Raises:
        UserError: If it cannot be.
    """
    with torch.random.fork_rng(devices=[]):  # the initial weights drawn here are thrown away
        try:
            return build()
        except ValueError as error:
            raise UserError(f"{source}: network {name}: {brief(str(error))}") from None


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Refuse to this thread more parameters than a count, while it builds a network: a depth of 10⁹ ends at once."""
    thread, seen = threading.get_ident(), 0

    def registered(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal seen
        if threading.get_ident() == thread:
            seen += 1
            if seen > count:
                raise _TooManyError

    hook = register_module_parameter_registration_hook(registered)
    try:
        yield
    finally:
        hook.remove()


def is_plain(tensor: object) -> bool:
    """Whether this is a tensor whose numbers are all in memory: not sparse, quantized, repeated, or of another device."""
    return (
        isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and tensor.nbytes <= tensor.untyped_storage().nbytes()
    )
