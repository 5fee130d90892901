"""Teachers by name: trained networks whose softmax a student learns (`rebnn_search.training.losses`).

To add one: a subclass of `Teacher` under ``@TEACHERS.register("name")``; its constructor's arguments are its options in a recipe
(``loss: {teacher: {name: name, option: value}}``). An option called ``path`` is relative to the recipe's file.
"""

from __future__ import annotations

import urllib.error
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rebnn_search.base.registry import Registry
from rebnn_search.config import UserError
from rebnn_search.training.data import Data

TEACHERS: Registry[Teacher] = Registry("teacher")
"""Teachers by name."""

Architecture = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


class Teacher(ABC):
    """Options of a teacher; nothing is read before `open`."""

    @abstractmethod
    def build(self, data: Data) -> nn.Module:
        """Return the trained network.

        Raises:
            UserError: If it is missing or does not fit the data.
        """

    def open(self, data: Data) -> nn.Module:
        """Return the trained network in evaluation mode, its parameters frozen. Leaves torch's random state as it was."""
        with torch.random.fork_rng(devices=[]):
            return self.build(data).eval().requires_grad_(False)


@TEACHERS.register("torchvision")
class TorchvisionTeacher(Teacher):
    """A real-valued ResNet of torchvision's. It sees the images as the student does, by the dataset's own normalisation.

    Args:
        arch: Which.
        path: File with its state_dict, as `torch.save` wrote it, alone or under the key ``state_dict`` or ``model``. Without one
            torchvision's own ImageNet weights are taken, downloaded at their first use into torch's hub directory.
        stem: ``imagenet``, or ``cifar`` for a network trained with a 3×3 first convolution of stride 1 and no max-pool.

    Raises:
        ValueError: If the stem is not ImageNet's and there is no path: such weights are nobody's but the user's.
    """

    def __init__(
        self, *, arch: Architecture = "resnet34", path: str | None = None, stem: Literal["imagenet", "cifar"] = "imagenet"
    ) -> None:
        if path is None and stem != "imagenet":
            raise ValueError(f"stem {stem!r} needs a path: torchvision's own weights have the stem 'imagenet'")
        self.arch, self.path, self.stem = arch, path, stem

    def build(self, data: Data) -> nn.Module:
        """Make the network and load its weights."""
        models = _torchvision_models()
        state = self._downloaded(models) if self.path is None else read_state_dict(Path(self.path))
        source = f"loss.teacher: {self.path or f'torchvision {self.arch}'}"
        classes = len(state["fc.weight"]) if "fc.weight" in state else None
        if classes != data.num_classes:
            raise UserError(f"{source}: has {classes or 'no'} classes, the data has {data.num_classes}")
        network: nn.Module = models.get_model(self.arch, weights=None, num_classes=data.num_classes)
        if self.stem == "cifar":
            network.conv1 = nn.Conv2d(data.channels, 64, 3, 1, 1, bias=False)
            network.maxpool = nn.Identity()
        elif data.channels != 3:
            network.conv1 = nn.Conv2d(data.channels, 64, 7, 2, 3, bias=False)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise UserError(f"{source}: does not fit {self.arch} with the stem {self.stem!r}: {error}") from None
        return network

    def _downloaded(self, models: Any) -> Mapping[str, Tensor]:
        try:
            state: Mapping[str, Tensor] = models.get_model_weights(self.arch).DEFAULT.get_state_dict(progress=False)
        except (urllib.error.URLError, OSError) as error:
            raise UserError(
                f"loss.teacher: torchvision's weights of {self.arch} cannot be downloaded ({error}): give a file as loss.teacher.path"
            ) from None
        return state


def _torchvision_models() -> Any:
    from rebnn_search.training.vision import torchvision_module

    return torchvision_module("models")


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """Read a state_dict that `torch.save` wrote, alone or inside a mapping, with or without DataParallel's prefix.

    Raises:
        UserError: If the file is missing or holds something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"loss.teacher: {path}: no such file") from None
    except Exception as error:  # whatever a stranger's bytes lead the unpickler to: KeyError, EOFError, struct.error, ...
        raise UserError(f"loss.teacher: {path}: is no file of weights: {(str(error) or 'empty').splitlines()[0]}") from None
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"loss.teacher: {path}: holds no state_dict")
    return {str(name).removeprefix("module."): value for name, value in content.items()}
