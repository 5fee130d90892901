"""Passwords in URLs, which no message, file or tag may show."""

from __future__ import annotations

import re


def hide_secrets(text: str) -> str:
    """A text with the password of every URL in it replaced by ***."""
    return re.sub(r"(\w[\w+.-]*://[^\s:/@]*):[^\s@]*@", r"\1:***@", text)
