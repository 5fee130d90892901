"""The base of model formats and their registry.

To add one: a subclass of `ModelFormat` under ``@FORMATS.register("name")`` in a module beside this file, found by itself. It takes no
arguments. ``export --format name`` writes it, `rebnn_search.export.load_model` reads it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from torch import nn

from rebnn_search.base.registry import Registry
from rebnn_search.export._info import ModelInfo
from rebnn_search.export._loaded import LoadedModel
from rebnn_search.export.sizes import LayerSize


class ModelFormat(ABC):
    """A kind of file that a trained network is kept in."""

    file: ClassVar[str]
    """What a file is called whose name nobody chose."""
    asked_late: ClassVar[bool] = False
    """Whether the signature is weak: all other formats are then asked first whether a file is theirs."""

    engine: ClassVar[str] = "torch"
    """What computes a file of this kind where nobody says otherwise, see `rebnn_search.export.load_model`."""
    packages: ClassVar[Sequence[str]] = ()
    """What must be installed, beyond what always is, for a file to be written and computed by that engine."""
    extra: ClassVar[str] = "export"
    """The extra of this package that brings them."""

    @abstractmethod
    def claims(self, content: bytes) -> bool:
        """Whether this begins as a file of this kind, sound or damaged."""

    @abstractmethod
    def write(self, network: nn.Module, info: ModelInfo, path: Path) -> Sequence[LayerSize]:
        """Write a trained network, the whole file or none; the network stays as it is.

        Args:
            network: Of the class that the info's recipe names, on any device and in any mode.
            info: From `rebnn_search.export.describe`.
            path: The file; replaced as a whole if it is there.

        Returns:
            The sizes of the layers, where the format makes them smaller.

        Raises:
            UserError: If it cannot be written, or the weights are no finite numbers.
        """

    @abstractmethod
    def read(self, content: bytes, path: Path) -> LoadedModel:
        """Make a model of a file that this claims, on the CPU. Runs no code of the file.

        Raises:
            UserError: If it is cut short, altered, of another version or no model; the message names the path.
        """


FORMATS: Registry[ModelFormat] = Registry("model format")
"""Model formats by name."""


def format_of(content: bytes) -> ModelFormat | None:
    """The format that claims a file, None where none does."""
    found = sorted((form() for form in FORMATS.values()), key=lambda form: form.asked_late)
    return next((form for form in found if form.claims(content)), None)
