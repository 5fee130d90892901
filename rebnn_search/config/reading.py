"""YAML text to plain data with the line of everything, within bounds that no file of a person's reaches.

A file may come from anybody: what would take for ever, or more stack than there is, ends in a `UserError` before it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from rebnn_search.base.errors import UserError

Key = str | int
Place = tuple[Key, ...]

MAX_BYTES = 1_000_000
"""Of a file: a thousand times what one has."""
MAX_VALUES = 50_000
"""Values in all once aliases and merge keys are written out: a few lines of aliases can stand for more than any memory holds."""
MAX_DEPTH = 50
"""Nesting that no real file has: deeper may also mean an alias inside its own anchor."""

BEGINS_WITH_GREATER = re.compile("chomping|character '>'")
"""In what PyYAML says of a value such as ``>= 0.9``, which begins as a block of text does."""
MERGE = "tag:yaml.org,2002:merge"
COLLECTION_TAGS: dict[type[yaml.Node], str] = {
    yaml.MappingNode: "tag:yaml.org,2002:map",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
}


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 floats (``1e-3`` is a number, not a string) that refuses depth before the stack does."""

    def __init__(self, text: str, where: Callable[[int], str]) -> None:
        super().__init__(text)
        self._where, self._depth = where, 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node, one level further down."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _too_deep(self._where(self.peek_event().start_mark.line + 1))  # type: ignore[no-untyped-call]
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$|^[-+]?\.[0-9]+[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def read_text(path: Path) -> str:
    """The text of a user's file.

    Raises:
        UserError: If it is missing, no file, too large or not UTF-8.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: is {'a folder' if path.is_dir() else 'no regular file'}; expected a YAML file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # a ValueError where the name holds a NUL
        raise UserError(f"{_name(path)}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{path}: is larger than {MAX_BYTES:,} bytes: that is no file of this kind")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: is not UTF-8 text (byte 0x{content[error.start]:02x}); save it as UTF-8") from None


def read_yaml(text: str, source: str, lines: dict[Place, int] | None = None) -> object:
    """What YAML text says; None if it says nothing.

    Args:
        text: The text.
        source: Where it is from, for messages.
        lines: Filled with the 1-based line of each key and list item, by its place; without it messages name no lines.

    Raises:
        UserError: If it is not YAML, repeats a key, has a tag, is nested too deeply, or stands for too many values; the message
            names the source and the line.
    """

    def where(line: int) -> str:
        return source if lines is None else f"{source}:{line}"

    odd = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if odd is not None:
        line = text.count("\n", 0, odd.start()) + 1
        raise UserError(f"{where(line)}: not valid YAML: holds the control character U+{ord(odd[0]):04X}")
    loader = _Loader(text, where)
    try:
        node = loader.get_single_node()
        return None if node is None else _Builder(loader, where, {} if lines is None else lines).build(node, (), 0)
    except yaml.MarkedYAMLError as error:
        place = where(error.problem_mark.line + 1) if error.problem_mark else source
        quotes = " (a value that begins with > needs quotes)" if BEGINS_WITH_GREATER.search(str(error.problem)) else ""
        raise UserError(f"{place}: not valid YAML: {error.problem or error}{quotes}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not valid YAML: {error}") from None
    finally:
        loader.dispose()


OLD_NUMBER = re.compile(r"[-+]?(?:0[0-7_]+|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?)")
"""Numbers that YAML 1.1 reads otherwise than most people: 0100 is 64, 1:30 is 90."""


class _Builder:
    """Makes plain data of one document's nodes, and counts them."""

    def __init__(self, loader: _Loader, where: Callable[[int], str], lines: dict[Place, int]) -> None:
        self._loader, self._where, self._lines = loader, where, lines
        self._values = 0

    def build(self, node: yaml.Node, place: Place, depth: int) -> object:
        """The value of a node, whose place is that of a key or list item; merge keys are deeper at the same place."""
        line = node.start_mark.line + 1
        self._values += 1
        if self._values > MAX_VALUES:
            raise UserError(f"{self._where(line)}: stands for more than {MAX_VALUES:,} values, with its aliases written out")
        if depth > MAX_DEPTH:
            raise _too_deep(self._where(line))
        if node.tag != COLLECTION_TAGS.get(type(node), node.tag):
            raise UserError(f"{self._where(line)}: the tag {node.tag!r} is not allowed here")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*place, index), depth) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _item(self, node: yaml.Node, place: Place, depth: int) -> object:
        self._lines[place] = node.start_mark.line + 1
        return self.build(node, place, depth + 1)

    def _mapping(self, node: yaml.MappingNode, place: Place, depth: int) -> dict[object, object]:
        merged: dict[object, object] = {}
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                merged = {**self._merged(value_node, place, depth), **merged}
        own: dict[object, object] = {}
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                continue
            line = key_node.start_mark.line + 1
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else [...]
            if not isinstance(key, (str, int)):
                said = key_node.value if isinstance(key_node, yaml.ScalarNode) else "a list or a mapping"
                raise UserError(f"{self._where(line)}: a key must be a word, not {said!r}")
            if key in own:
                raise UserError(f"{self._where(line)}: key {key!r} stands twice in the same mapping")
            self._lines[(*place, key)] = line
            own[key] = self.build(value_node, (*place, key), depth + 1)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, place: Place, depth: int) -> Mapping[object, object]:
        """What ``<<: *anchor`` or ``<<: [*one, *other]`` adds; of a key in both the first one's value."""
        found: dict[object, object] = {}
        for part in reversed(node.value if isinstance(node, yaml.SequenceNode) else [node]):
            if not isinstance(part, yaml.MappingNode):
                raise UserError(f"{self._where(part.start_mark.line + 1)}: only mappings can be merged with <<")
            more = self.build(part, place, depth + 1)
            assert isinstance(more, dict)
            found |= more
        return found

    def _scalar(self, node: yaml.Node) -> object:
        if "\0" in node.value:  # written "\0"; no path, name or number holds one
            raise UserError(f"{self._where(node.start_mark.line + 1)}: {node.value[:100]!r} holds a NUL")
        try:
            value = self._loader.construct_object(node, deep=True)
            if type(value) in (int, float) and OLD_NUMBER.fullmatch(node.value):
                where = self._where(node.start_mark.line + 1)
                raise UserError(
                    f"{where}: {node.value} is {value} in YAML ({'to base 60' if ':' in node.value else 'octal'}): "
                    f"write {value}, or what is meant without {'a colon' if ':' in node.value else 'the zero before it'}"
                )
            return value
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError, IndexError) as error:
            if isinstance(error, yaml.YAMLError):
                raise
            # 2024-13-45, 0b, 5,000 digits, !!int word: PyYAML hands the text to Python's constructors.
            kind = node.tag.rpartition(":")[2]
            text = node.value if len(node.value) <= 40 else f"{node.value[:40]}... ({len(node.value):,} characters)"
            where = self._where(node.start_mark.line + 1)
            raise UserError(f"{where}: {text!r} is no valid {kind}; put it in quotes if it is a word") from None


def _too_deep(where: str) -> UserError:
    return UserError(f"{where}: nested more than {MAX_DEPTH} deep")


def _name(path: Path) -> str:
    """A path that may hold what no terminal should be sent, shortened."""
    text = str(path)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= 200 else f"{text[:200]}..."
