"""Checkpoints that a crash cannot spoil: written whole or not at all, checked when read, loaded without running code."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rebnn_search.base.errors import UserError
from rebnn_search.base.files import PARTIAL, write_atomically
from rebnn_search.training.plain_torch import load_plain

MAGIC = b"rebnn_search checkpoint 1\n"
KEEP = 2


class UnreadableCheckpointError(UserError):
    """A checkpoint is as it was written and cannot be loaded here: whoever has it must decide, for nothing is lost yet."""


class CheckpointDirectory:
    """The newest checkpoints of one trial.

    A file is ``MAGIC``, the SHA-256 of what follows in hex and a newline, then `torch.save`'s bytes.

    Args:
        path: The directory; made at the first save.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._damaged: set[Path] = set()
        self._swept = False

    def save(self, step: int, state: Mapping[str, object]) -> Path:
        """Write a checkpoint and remove all but the newest two, and with them what `latest` found to be damaged.

        Under its name there is nothing or the whole of it, also after a power cut: it is written and synced under another name,
        then renamed.
        """
        if not self._swept:  # once, of writers that were killed: another may be writing here by then
            for leftover in self.path.glob(f"*{PARTIAL}"):
                leftover.unlink(missing_ok=True)
            self._swept = True
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        content = buffer.getbuffer()
        target = self.path / f"{step:08d}.pt"
        write_atomically(target, MAGIC, hashlib.sha256(content).hexdigest(), "\n", content)
        self._damaged.discard(target)
        sound = [file for file in self._files() if file not in self._damaged]
        for old in (*sound[:-KEEP], *self._damaged):
            old.unlink(missing_ok=True)
        self._damaged.clear()
        return target

    def latest(self, device: str = "cpu") -> tuple[int, dict[str, Any]] | None:
        """Return step and state of the newest sound checkpoint, None if there is none. Warns of damaged ones.

        Args:
            device: Where all tensors go; a GPU they were on need not be here.

        Raises:
            UnreadableCheckpointError: If the newest is as it was written and cannot be loaded here, as one of a newer version: it
                is no damaged one, which the next save would remove.
            MemoryError: If there is no room for it.
        """
        files = self._files()
        for index in reversed(range(len(files))):
            file = files[index]
            try:
                body = _checked(file.read_bytes(), str(file))
            except (ValueError, OSError) as error:
                self._damaged.add(file)
                warnings.warn(f"{error}; {'falling back to the one before' if index else 'there is none before'}", stacklevel=2)
                continue
            try:
                return int(file.stem), _state(body, str(file), device)
            except ValueError as error:
                then = "go on from the one before" if index else "begin anew"
                raise UnreadableCheckpointError(
                    f"{error}, though its checksum matches: another version may have written it; take it away to {then}"
                ) from None
        return None

    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        return sorted(file for file in self.path.iterdir() if re.fullmatch(r"\d{8}\.pt", file.name) and file.is_file())


def read_checkpoint(file: Path, device: str = "cpu") -> dict[str, Any]:
    """Read one checkpoint.

    Args:
        file: The whole file.
        device: Where all tensors go.

    Raises:
        ValueError: If it is cut short, altered, no checkpoint, or holds more than plain tensors; the message names the file.
        OSError: If it cannot be read.
    """
    return parse_checkpoint(file.read_bytes(), str(file), device)


def parse_checkpoint(content: bytes, source: str, device: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint's bytes.

    Args:
        content: The whole file.
        source: Begins the messages.
        device: Where all tensors go.

    Raises:
        ValueError: As `read_checkpoint`.
    """
    return _state(_checked(content, source), source, device)


def _checked(content: bytes, source: str) -> memoryview:
    """What `torch.save` wrote, of a checkpoint's bytes; ValueError where it is not that any more."""
    head = len(MAGIC) + 65
    if not content.startswith(MAGIC):
        raise ValueError(f"{source} is no checkpoint of this version")
    digest, body = content[len(MAGIC) : head - 1], memoryview(content)[head:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError(f"{source} is damaged: its checksum does not match")
    return body


def _state(body: memoryview, source: str, device: str) -> dict[str, Any]:
    try:
        state = load_plain(body, device)
    except ValueError as error:
        raise ValueError(f"{source} {error}") from None
    if not isinstance(state, dict):
        raise ValueError(f"{source} holds a {type(state).__name__}, no state of a training")
    return state
