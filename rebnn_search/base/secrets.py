"""Passwords in URLs, which no message, file or tag may show."""

from __future__ import annotations

import re

HIDDEN = "***"
URL = re.compile(r"(\w[\w+.-]*)://((?:(?!\w[\w+.-]*://)\S)*)")
"""A URL's scheme and what follows, up to the next URL in the same word."""
SECRET_OPTION = re.compile(r"([?&;][\w.-]*(?:password|passwd|pwd|token|secret)[\w.-]*=)[^&;\s]*", re.IGNORECASE)
"""An option of a URL's query whose value is a secret, as of libpq and of pyarrow."""
HOST_AND_PORT = re.compile(r"[\w.-]*:\d*|\[[0-9a-f:.]*\](?::\d*)?", re.IGNORECASE)
WEB = ("http", "https")


def hide_secrets(text: str) -> str:
    """A text with the password of every URL in it replaced by ***: before the host, or among its options."""
    return URL.sub(_hidden, text)


def _hidden(url: re.Match[str]) -> str:
    scheme, rest = url.groups()
    web = scheme.lower() in WEB
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    end = authority.rfind("@")
    if end < 0 and ":" in authority and not (web and HOST_AND_PORT.fullmatch(authority)):
        end = rest.rfind("@")  # of a password with a slash in it that should have been written as %2F
    if end >= 0:
        user, colon, _ = rest[:end].partition(":")
        if colon:
            rest = f"{user}:{HIDDEN}{rest[end:]}"
        elif web:  # a token alone
            rest = f"{HIDDEN}{rest[end:]}"
    return f"{scheme}://" + SECRET_OPTION.sub(rf"\1{HIDDEN}", rest)
