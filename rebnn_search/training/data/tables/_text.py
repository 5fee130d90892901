"""Bytes of a text file as text: compression and encoding."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib

from rebnn_search.config import UserError

GZIP = b"\x1f\x8b"
MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
"""Byte order marks; those of UTF-32 begin as one of UTF-16 does."""
SAMPLE = 4096
"""Bytes looked at for an encoding without a mark."""
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")


def decode(content: bytes, source: str) -> tuple[str, str]:
    """Decompress and decode: by a byte order mark, else UTF-8, UTF-16 where every other byte is 0, else Windows-1252 or Latin-1.

    Returns:
        The text, and the encoding's name.

    Raises:
        UserError: If it is cut short, or no text.
    """
    if content[:2] == GZIP:
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{source}: is damaged: {error}") from None
    try:
        text, encoding = _decoded(content)
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: is no text: {error}") from None
    found = CONTROL.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise UserError(f"{source}:{line}: is no text: it holds the control character {found[0]!r}")
    return text, encoding


def _decoded(content: bytes) -> tuple[str, str]:
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding), encoding
    sample = content[:SAMPLE]
    for encoding, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        if len(zeros) and zeros.count(0) > 0.7 * len(zeros):
            return content.decode(encoding), encoding
    for encoding in ("utf-8", "cp1252"):
        try:
            return content.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1"), "latin-1"
