"""YAML files with the line of every key, and overrides from the command line laid over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rebnn_search.base.errors import UserError
from rebnn_search.config.reading import MAX_DEPTH, Place, read_text, read_yaml


@dataclass
class Document:
    """What a file says, with where it says it.

    Attributes:
        source: The file as the user named it.
        data: The parsed mapping.
        lines: 1-based line of each key or list item, by its place.
        overridden: The ``--set`` text behind a place, where one laid its value over the file's.
    """

    source: str
    data: dict[str, object]
    lines: dict[Place, int] = field(default_factory=dict)
    overridden: dict[Place, str] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """The nearest known origin of a place: ``file:line``, or the ``--set`` that put it, or something in it, there."""
        below = next((text for key, text in self.overridden.items() if key[: len(place)] == place), None)
        if place and below is not None and place not in self.lines:
            return below
        for end in range(len(place), -1, -1):
            if place[:end] in self.overridden:
                return self.overridden[place[:end]]
            if place[:end] in self.lines:
                return f"{self.source}:{self.lines[place[:end]]}"
        return self.source


def load(path: str | Path, overrides: Iterable[str] = ()) -> Document:
    """Read a YAML file whose top level is a mapping, then lay ``KEY=VALUE`` overrides over it.

    Raises:
        UserError: If the file is missing or `rebnn_search.config.reading` refuses it, or an override is not of that form.
    """
    path = Path(path)
    document = parse(read_text(path), str(path))
    for override in overrides:
        apply_override(document, override)
    return document


def parse(text: str, source: str) -> Document:
    """Parse YAML text as `load` parses a file's."""
    document = Document(source, {})
    data = read_yaml(text, source, document.lines)
    if data is not None and not isinstance(data, dict):
        raise UserError(f"{source}:1: the file must be a mapping of keys to values")
    document.data = data or {}
    return document


def apply_override(document: Document, override: str) -> None:
    """Lay one ``a.b.c=VALUE`` (VALUE is YAML) over a document.

    Raises:
        UserError: If there is no ``=``, the value is not YAML, or the path runs through something that is no mapping.
    """
    key, separator, text = override.partition("=")
    path = tuple(key.strip().split("."))
    if not separator or not all(path) or len(path) > MAX_DEPTH:
        raise UserError(f"{named(override)}: expected KEY=VALUE, for example --set optimizer.lr=1e-3")
    value = read_yaml(text, named(override)) if text.strip() else None
    try:
        document.data = with_value(document.data, path, value)
    except KeyError as error:
        raise UserError(f"{named(override)}: {error.args[0]}") from None
    document.overridden[path] = named(override)


def apply_overrides(document: Document, overrides: Iterable[str]) -> None:
    """Lay several over a document, in their order, though what chooses an implementation comes before its options.

    Raises:
        UserError: As `apply_override`.
    """
    for override in sorted(overrides, key=lambda override: part_first(override.partition("=")[0].strip())):
        apply_override(document, override)


def named(override: str) -> str:
    """An override as messages name it."""
    return f"--set {override}" if len(override) <= MOST_CHARACTERS else f"--set {override[:MOST_CHARACTERS]}..."


MOST_CHARACTERS = 100
"""Of an override in a message."""
COMPONENT_KEYS = ("strategy", "name")
"""Keys that choose an implementation; the keys beside them are its options."""


def with_value(data: Mapping[str, object], path: Place, value: object) -> dict[str, object]:
    """Return a copy of nested mappings with the value at a path replaced.

    Choosing another implementation (``gamma.strategy``, ``network.name``) drops the options of the old one, which belong
    to it alone; a component written as a bare name (``gamma: flip_ratio``) counts as its name.

    Raises:
        KeyError: If the path runs through a value that is no mapping.
    """
    head, rest = path[0], path[1:]
    copy: dict[str, object] = dict(data)
    if not rest:
        if head in COMPONENT_KEYS and head in copy and copy[head] != value:
            return {str(head): value}
        copy[str(head)] = value
        return copy
    inner = copy.get(str(head))
    if inner is None:
        inner = {}
    if isinstance(inner, str) and rest[0] not in COMPONENT_KEYS:
        raise KeyError(f"{head} is {inner!r}: write it as a mapping to set {'.'.join(map(str, path))}")
    if isinstance(inner, str):
        inner = {}
    if not isinstance(inner, Mapping):
        raise KeyError(f"{head} is {inner!r}, which has no keys of its own")
    copy[str(head)] = with_value(inner, rest, value)
    return copy


def part_first(name: str) -> int:
    """By what dotted names are sorted, so that what chooses an implementation does not drop options that are set beside it."""
    *_, last = keys = name.split(".")
    return len(keys) - (last in COMPONENT_KEYS)


def get_value(data: Mapping[str, object], path: Place, default: object = None) -> object:
    """The value at a path of nested mappings, or the default."""
    value: object = data
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return default
        value = value[key]
    return value
