"""YAML files with the line of every key, and overrides from the command line laid over them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rebnn_search.config.errors import UserError

Key = str | int
Place = tuple[Key, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 floats: ``1e-3`` is a number, not a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$|^[-+]?\.[0-9]+[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


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
    data: dict[str, Any]
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
        UserError: If the file is missing, not YAML, repeats a key, or an override is not of that form.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    document = parse(text, str(path))
    for override in overrides:
        apply_override(document, override)
    return document


def parse(text: str, source: str) -> Document:
    """Parse YAML text as `load` parses a file's."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        document = Document(source, {})
        if node is None:
            return document
        if not isinstance(node, yaml.MappingNode):
            raise UserError(f"{source}:{node.start_mark.line + 1}: the file must be a mapping of keys to values")
        document.data = _build(loader, node, (), document)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{source}{line}: not valid YAML: {error.problem or error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not valid YAML: {error}") from None
    finally:
        loader.dispose()
    return document


COLLECTION_TAGS: dict[type[yaml.Node], str] = {
    yaml.MappingNode: "tag:yaml.org,2002:map",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
}
MAX_DEPTH = 50
"""Nesting that no real file has: deeper means an alias inside its own anchor."""


def _build(loader: _Loader, node: yaml.Node, place: Place, document: Document) -> Any:
    line = node.start_mark.line + 1
    if node.tag != COLLECTION_TAGS.get(type(node), node.tag):
        raise UserError(f"{document.source}:{line}: the tag {node.tag!r} is not allowed here")
    if len(place) > MAX_DEPTH:
        raise UserError(f"{document.source}:{line}: nested more than {MAX_DEPTH} deep")
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable) or not isinstance(key, (str, int)):
                raise UserError(f"{document.source}:{line}: a key must be a word, not {key!r}")
            if key in mapping:
                raise UserError(f"{document.source}:{line}: key {key!r} stands twice in the same mapping")
            document.lines[(*place, key)] = line
            mapping[key] = _build(loader, value_node, (*place, key), document)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            document.lines[(*place, index)] = item.start_mark.line + 1
            items.append(_build(loader, item, (*place, index), document))
        return items
    return loader.construct_object(node, deep=True)


def apply_override(document: Document, override: str) -> None:
    """Lay one ``a.b.c=VALUE`` (VALUE is YAML) over a document.

    Raises:
        UserError: If there is no ``=``, the value is not YAML, or the path runs through something that is no mapping.
    """
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise UserError(f"--set {override}: expected KEY=VALUE, for example --set optimizer.lr=1e-3")
    try:
        value = yaml.load(text, Loader=_Loader) if text.strip() else None  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        raise UserError(f"--set {override}: the value is not valid YAML: {error}") from None
    path = tuple(key.strip().split("."))
    try:
        document.data = with_value(document.data, path, value)
    except KeyError as error:
        raise UserError(f"--set {override}: {error.args[0]}") from None
    document.overridden[path] = f"--set {override}"


COMPONENT_KEYS = ("strategy", "name")
"""Keys that choose an implementation; the keys beside them are its options."""


def with_value(data: Mapping[str, Any], path: Place, value: Any) -> dict[str, Any]:
    """Return a copy of nested mappings with the value at a path replaced.

    Choosing another implementation (``gamma.strategy``, ``network.name``) drops the options of the old one, which belong
    to it alone; a component written as a bare name (``gamma: flip_ratio``) counts as its name.

    Raises:
        KeyError: If the path runs through a value that is no mapping.
    """
    head, rest = path[0], path[1:]
    copy: dict[str, Any] = dict(data)
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


def get_value(data: Mapping[str, Any], path: Place, default: Any = None) -> Any:
    """The value at a path of nested mappings, or the default."""
    value: Any = data
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return default
        value = value[key]
    return value
