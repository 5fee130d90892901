"""The one entry of metadata that every model file carries: JSON with version, description and checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import torch
from pydantic import Field, ValidationError
from torch import Tensor

from rebnn_search.config import Document, Strict, UserError, explain, printable
from rebnn_search.export._info import ModelInfo

KEY = "rebnn_search"
"""The entry's name. It is but one because safetensors writes several in any order, and the same model is to be the same file."""
VERSION = 1
VERSION_KEY, DIGEST = "version", "sha256"
MOST_TEXT = 32 * 2**20
"""Characters of a header: a table of half a million columns."""
MOST_DEPTH = 50
"""Nesting of a header, as of a recipe."""
MOST_SAID, MOST_SHOWN = 3, 300
"""Mistakes that a message tells of, and characters of each: what is wrong in a file is the file's to choose."""


@dataclass(frozen=True)
class Header:
    """What a model file says beside its tensors.

    Attributes:
        info: What the network was trained as and on.
        binary: The shapes of the weights that have two values a channel, by layer.
    """

    info: ModelInfo
    binary: Mapping[str, list[int]]

    def seal(self, digest: str) -> str:
        """The entry's JSON, with a checksum.

        Raises:
            UserError: If it would be longer than is read.
        """
        text = _json({**self._body(), DIGEST: digest})
        if len(text) > MOST_TEXT:
            raise UserError(f"the model's description needs {len(text):,} characters, a model file takes {MOST_TEXT:,}")
        return text

    def digest(self, tensors: Mapping[str, Tensor]) -> str:
        """SHA-256, in hex, of this header and of every tensor's name, type, shape and values."""
        return _digest(_json(self._body()), tensors)

    def _body(self) -> dict[str, Any]:
        return {VERSION_KEY: VERSION, "model": self.info.model_dump(), "binary": dict(self.binary)}


@dataclass(frozen=True)
class Sealed:
    """A header as a file has it.

    Attributes:
        header: What it says.
        body: Its text without the checksum, in the order and spacing that the checksum is of.
        digest: The checksum, yet to be compared.
    """

    header: Header
    body: str
    digest: str

    def check(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """See that a file's tensors and header are what was written.

        Raises:
            UserError: If not; the message names the file.
        """
        try:
            found = _digest(self.body, tensors)
        except (TypeError, ValueError, RuntimeError):  # tensors of a kind that was not written
            found = ""
        if found != self.digest:
            raise UserError(f"{path}: is damaged: its checksum does not match")


class _File(Strict):
    """What a header's JSON must be."""

    version: int
    model: ModelInfo
    binary: dict[str, Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def read_header(metadata: Any, path: Path, key: str = KEY) -> Sealed:
    """Read a model file's header.

    Args:
        metadata: The file's, which should be a mapping with the key.
        path: The file, for messages.
        key: The entry's name.

    Raises:
        UserError: If it is no model of this program, of another version, or says what cannot be; the message names the file.
    """
    text = metadata.get(key) if isinstance(metadata, Mapping) else None
    if text is None:
        raise UserError(f"{path}: is no model that rebnn_search exported")
    try:
        found = _parse(text)
        body = _json({key: value for key, value in found.items() if key != DIGEST})
        body.encode()  # half a surrogate pair is no text
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: is damaged: its header cannot be read ({type(error).__name__})") from None
    version = found.get(VERSION_KEY)
    if type(version) is not int:
        raise UserError(f"{path}: is damaged: its header has no version")
    if version != VERSION:
        raise UserError(f"{path}: has format version {str(version)[:20]}, this program reads version {VERSION}: export it anew")
    try:
        file = _File.model_validate(found)
    except ValidationError as error:
        raise UserError(brief(explain(error, Document(str(path), {})))) from None
    return Sealed(Header(file.model, file.binary), body, file.sha256)


def shown(names: Iterable[str]) -> str:
    """A few names out of a file, for a message."""
    first = list(names)
    more = f" and {len(first) - MOST_SAID} more" if len(first) > MOST_SAID else ""
    return ", ".join(f"'{printable(name[:MOST_SHOWN])}'" for name in first[:MOST_SAID]) + more


def brief(message: str) -> str:
    """A message with names and values out of a file, as a terminal can take it: its first lines, each not too long."""
    lines = [printable(line) for line in message.splitlines()]
    more = [f"and {len(lines) - MOST_SAID} more"] if len(lines) > MOST_SAID else []
    return "\n".join([line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}..." for line in lines[:MOST_SAID]] + more)


def _parse(text: Any) -> dict[str, Any]:
    if not isinstance(text, str) or len(text) > MOST_TEXT:
        raise TypeError("is no text, or too long")
    found = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    if not isinstance(found, dict):
        raise TypeError("is no mapping")
    level: list[Any] = [found]
    for _ in range(MOST_DEPTH):
        level = [
            item
            for each in level
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, (dict, list))
        ]
    if level:
        raise ValueError("is nested too deep")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _digest(body: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(body.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, allow_nan=False, ensure_ascii=False)
