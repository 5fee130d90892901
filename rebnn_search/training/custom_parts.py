"""A user's own networks and datasets, named ``module:function`` in a recipe and found again by import in every process.

A recipe may come from anybody, and importing runs code: only what the user has allowed, by ``--allow`` or by passing the function
itself, is imported. The permission is an environment variable, which child processes inherit; a trial's task brings it to its worker.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_type_hints

import numpy as np
import torch
from torch import Tensor, nn

from rebnn_search.config import Component, UserError
from rebnn_search.method.convert import convert
from rebnn_search.method.layers import binary_layers, set_weights
from rebnn_search.method.networks import CONTEXT, NETWORKS
from rebnn_search.training.data import AUGMENTATIONS, DATASETS, Augmentation, Data, Dataset, from_arrays
from rebnn_search.training.data.augmentations import AugmentationOption

ALLOWED = "REBNN_SEARCH_ALLOW"
"""Environment variable with the allowed names, separated by commas."""


def allow(part: str | Callable[..., object]) -> str:
    """Let recipes name a function or class, given itself or as ``module:name``. Returns the name.

    Raises:
        UserError: If other processes could not import it: it is a lambda, local to a function, or defined in the script itself.
    """
    name = part if isinstance(part, str) else _name_of(part)
    imported(name)
    allow_too([name])
    return name


def allowed_parts() -> list[str]:
    """What recipes may name in this process."""
    return [name for name in os.environ.get(ALLOWED, "").split(",") if name]


def allow_too(names: Iterable[str]) -> None:
    """Let recipes of this process name what those of another may; imported when it is needed."""
    os.environ[ALLOWED] = ",".join(dict.fromkeys([*allowed_parts(), *names]))


def _name_of(part: Callable[..., object]) -> str:
    module, name = getattr(part, "__module__", None), getattr(part, "__qualname__", "")
    if not module or module == "__main__" or not name.isidentifier():
        raise UserError(
            f"{name or part!r} of {module}: Ray's workers and a later resume must be able to import it: define it at the top level "
            "of a module of its own, not in the script that runs the search, in a function, or as a lambda"
        )
    return f"{module}:{name}"


def imported(name: str) -> Callable[..., object]:
    """What ``module:name`` stands for; importing it runs the module.

    Raises:
        UserError: If it cannot be imported, is nothing that can be called, or does not say which arguments it takes.
    """
    module, separator, attribute = name.partition(":")
    if not separator or not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise UserError(f"{name}: expected MODULE:NAME, as in my_package.networks:make")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{name}: cannot be imported: {error}") from None
    except (Exception, SystemExit) as error:  # what a module does when it is imported is its own
        raise UserError(f"{name}: cannot be imported: {described(error)}") from error
    if not callable(found):
        raise UserError(f"{name}: is a {type(found).__name__}, nothing that can be called")
    _arguments(name, found)
    return found  # type: ignore[no-any-return]


def _arguments(name: str, part: Callable[..., object]) -> tuple[Mapping[str, inspect.Parameter], dict[str, object]]:
    """The arguments that a recipe may give a user's function or class, and their types.

    Raises:
        UserError: If they cannot be known, or not be given by name.
    """
    try:
        arguments = inspect.signature(part).parameters
    except (TypeError, ValueError):
        raise UserError(f"{name}: does not say which arguments it takes: wrap it in a function of yours") from None
    nameless = [key for key, argument in arguments.items() if argument.kind is argument.POSITIONAL_ONLY]
    if nameless:
        raise UserError(f"{name}: its argument {nameless[0]} cannot be given by name: wrap it in a function of yours")
    try:
        return arguments, get_type_hints(part.__init__ if inspect.isclass(part) else part)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise UserError(f"{name}: its arguments' types cannot be found: {error}") from None


def described(error: BaseException) -> str:
    """An exception of a user's code in one line, with the line of the innermost call."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    said = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {said}{where}" if said else f"{type(error).__name__}{where}"


def _allowed(name: str) -> Callable[..., object] | None:
    """What a recipe names, None for a name that is no import path."""
    if ":" not in name:
        return None
    if name not in allowed_parts():
        raise UserError(f"{name}: naming code in a recipe runs it; --allow {name} lets this one")
    return imported(name)


def own_network(name: str) -> Callable[..., nn.Module] | None:
    """The maker of a user's network: as a registered one, and made binary if the user's has no binary layers.

    The function is given those of ``in_channels``, ``num_classes``, ``image_size`` and ``weights`` that it has arguments for; its
    other arguments are options in the recipe. Binary layers of one without ``weights`` get the recipe's, for stage one real ones.
    """
    make = _allowed(name)
    return None if make is None else _network_maker(name, make)


@functools.cache
def _network_maker(name: str, make: Callable[..., object]) -> Callable[..., nn.Module]:
    arguments, _ = _arguments(name, make)

    @functools.wraps(make)
    def build(**given: Any) -> nn.Module:
        try:
            network = make(**{key: value for key, value in given.items() if key not in CONTEXT or key in arguments})
        except MemoryError:
            raise
        except Exception as error:
            raise ValueError(f"raised {described(error)}") from error
        if not isinstance(network, nn.Module):
            raise ValueError(f"must return a torch.nn.Module, not a {type(network).__name__}")
        if binary_layers(network):
            if "weights" not in arguments:
                set_weights(network, given["weights"])
        elif not convert(network, weights=given["weights"]):
            raise ValueError("none of its layers can be made binary: it needs a Conv2d or Linear between first and last")
        _try(network, given["in_channels"], given["num_classes"], given["image_size"])
        return network

    return build


def _try(network: nn.Module, channels: int, classes: int, size: int) -> None:
    """See that a user's network makes logits of images, and leave it as it was.

    Raises:
        ValueError: If not.
    """
    was = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits = network.eval()(torch.zeros(2, channels, size, size))
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"fails for images of shape (2, {channels}, {size}, {size}): {described(error)}") from error
    finally:
        for module, training in was.items():
            module.training = training
    shape = tuple(getattr(logits, "shape", ()))
    if shape != (2, classes):
        said = f"a {type(logits).__name__}" if not isinstance(logits, Tensor) else f"shape {shape}"
        raise ValueError(f"must map 2 images to logits of shape (2, {classes}), not to {said}")


class OwnData(Dataset):
    """A user's samples, split as `rebnn_search.training.data.from_arrays` does.

    Args:
        name: The function's, for messages.
        load: Returns ``(X, y)``, a mapping with ``X``, ``y`` and optionally ``X_test``, ``y_test``, or a torch map-style dataset of
            ``(image, label)``.
        validation, test: Shares of the samples.
        split_seed: Of the stratified splits.
        augment: Augmentation of training batches.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], Any],
        validation: float,
        test: float,
        split_seed: int,
        augment: Component[Augmentation],
    ) -> None:
        self.name, self.load = name, load
        self.validation, self.test, self.split_seed, self.augment = validation, test, split_seed, augment

    def open(self) -> Data:
        """Call the user's function and split what it returns."""
        try:
            arrays = _as_arrays(self.load(), self.name)
            given = (arrays["X_test"], arrays["y_test"]) if {"X_test", "y_test"} <= arrays.keys() else None
            return from_arrays(
                arrays["X"], arrays["y"], validation=self.validation, test=given or self.test, split_seed=self.split_seed,
                source=self.name, augment=self.augment,
            )  # fmt: skip
        except (UserError, MemoryError):
            raise
        except Exception as error:
            raise UserError(f"{self.name}: cannot be used as data: {described(error)}") from error


def _as_arrays(found: object, name: str) -> Mapping[str, Any]:
    if isinstance(found, Mapping) and {"X", "y"} <= found.keys():
        return found
    if isinstance(found, tuple) and len(found) == 2:
        return {"X": found[0], "y": found[1]}
    if isinstance(found, torch.utils.data.Dataset) and hasattr(found, "__len__"):
        samples = [found[index] for index in range(len(found))]
        return {
            "X": torch.stack([torch.as_tensor(np.asarray(x)) for x, _ in samples]),
            "y": np.array([int(y) for _, y in samples]),
        }
    raise UserError(
        f"{name}: must return (X, y), a mapping with X and y, or a torch map-style dataset, not a {type(found).__name__}"
    )


def own_data(name: str) -> Callable[..., Dataset] | None:
    """The maker of a user's dataset: the function's arguments are options in the recipe, beside those of the split."""
    load = _allowed(name)
    return None if load is None else _data_maker(name, load)


@functools.cache
def _data_maker(name: str, load: Callable[..., object]) -> Callable[..., Dataset]:
    def build(
        *, validation: float = 0.2, test: float = 0.2, split_seed: int = 0,
        augment: AugmentationOption = Component("name", "none", {}, AUGMENTATIONS["none"]), **options: object,  # noqa: B008 - frozen
    ) -> Dataset:  # fmt: skip
        return OwnData(name, functools.partial(load, **options), validation, test, split_seed, augment)

    ours = [p for p in inspect.signature(build).parameters.values() if p.kind is p.KEYWORD_ONLY]
    arguments, types = _arguments(name, load)
    taken = [p.name for p in ours if p.name in arguments]
    if taken:
        raise UserError(f"{name}: its argument {taken[0]} is one of the split's own: call it something else")
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    theirs = [p.replace(kind=p.KEYWORD_ONLY) for p in arguments.values() if p.kind not in variable]
    build.__signature__ = inspect.Signature([*ours, *theirs])  # type: ignore[attr-defined]
    hints = inspect.get_annotations(build, eval_str=True)
    build.__annotations__ = {key: hint for key, hint in hints.items() if key != "options"} | types
    return build


NETWORKS.otherwise = own_network
DATASETS.otherwise = own_data
