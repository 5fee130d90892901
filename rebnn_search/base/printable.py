"""Text of others' files on a terminal: what would move its cursor, set colours or turn the order of letters becomes an escape."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable

JOINERS = "\u200c\u200d"
"""Format characters that Persian, Indic scripts and emoji are written with, and that do nothing alone."""


def printable(text: str, *, keep: str = "") -> str:
    r"""Show control and format characters, line and paragraph separators and lone surrogates as ``\x1b``, ``\u202e``, ...

    Args:
        text: Anything.
        keep: Characters to leave as they are.
    """
    return _escaped(text, keep, lambda character: character.encode("unicode_escape").decode())


def printable_json(value: object) -> str:
    """Write a value as JSON on one line that this process's stdout can take; what is escaped is so in JSON's own way."""
    text = _escaped(json.dumps(value, ensure_ascii=False), "", lambda character: json.dumps(character)[1:-1])
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def _escaped(text: str, keep: str, escape: Callable[[str], str]) -> str:
    return text if text.isprintable() else "".join(escape(c) if c not in keep and _acts(c) else c for c in text)


def _acts(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in JOINERS
