"""Whether there is a Ray cluster at an address: Ray itself tries for minutes before it says so."""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rebnn_search.config import UserError

LOCAL, AUTO = "local", "auto"
ENVIRONMENT = "RAY_ADDRESS"
"""Environment variable whose address ``auto`` means, if it is set."""
MODE = "RAY_AUTH_MODE"
"""Environment variable by which a process shows the token that a head may ask for: ``token``, unless Ray finds out by itself."""
TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 - a name
"""Environment variable that holds the token itself, or with ``_PATH`` the file that does."""
CURRENT = Path("ray_current_cluster")
"""In Ray's temporary folder: the address of the cluster that ``ray start`` last made, or joined, on this machine."""
HOST_PORT = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})")
SECONDS = 5.0
"""For a connection, and for the first answer."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How a client of gRPC begins, with empty settings; the server's first frame is its settings (RFC 9113, 3.4)."""
SETTINGS = 4
"""Type of that frame, its fourth byte."""


def check_address(address: str) -> str:
    """See that ``--address`` names a cluster whose head answers, or asks for a Ray of one's own.

    Returns:
        ``local``, or the head's ``HOST:PORT``.

    Raises:
        UserError: If it is none of the forms, nothing listens there, or what listens is no head of Ray's; within some 10 s.
    """
    if address == LOCAL:
        return address
    option = f"--address {address}"
    if address == AUTO:
        found = _named() or _current()
        if found is None:
            raise UserError(
                f"{option}: no Ray cluster runs on this machine and {ENVIRONMENT} names none: start one with ray start --head, "
                "name one as HOST:PORT, or leave --address out for a Ray of the search's own"
            )
        if _named() is None:
            _show_token()
        address, option = found, f"{option} (which is {found})"
    if address.startswith("ray://"):
        raise UserError(f"{option}: that is the way for remote clients: run this on a node of the cluster, with --address auto")
    match = HOST_PORT.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise UserError(f"{option}: expected local, auto, or HOST:PORT of a cluster's head, as in 10.0.0.5:6379")
    host = match["six"] or match["host"]
    try:
        with socket.create_connection((host, int(match["port"])), SECONDS) as connection:
            connection.settimeout(SECONDS)
            connection.sendall(PREFACE)
            answer = connection.recv(4)
    except (OSError, UnicodeError) as error:
        raise UserError(f"{option}: no Ray cluster answers there: {getattr(error, 'strerror', None) or error}") from None
    if len(answer) < 4 or answer[3] != SETTINGS:
        raise UserError(f"{option}: what answers there is no Ray head; its port is 6379 unless ray start was given another")
    return address


def check_head(address: str) -> None:
    """Ask what answers at an address whether it is a head of Ray's. What Ray's C++ has to say goes to stderr's descriptor.

    Raises:
        UserError: If it is something else that speaks gRPC, such as the port for remote clients.
    """
    try:
        from ray._raylet import GcsClient  # type: ignore[attr-defined]
    except ImportError:  # Ray's own; another version may have moved it, and then joining tells, if late
        return
    try:
        GcsClient(address=address).internal_kv_get(b"rebnn_search", None, timeout=SECONDS)
    except Exception as error:  # Ray's RpcError is not public
        said = str(error).splitlines()[0]
        if "InvalidAuthToken" in said:
            advice = "that of ~/.ray/auth_token, or of RAY_AUTH_TOKEN, is another's"
            if os.environ.get(MODE) != "token":
                advice = f"set {MODE}=token, and have it in ~/.ray/auth_token or in RAY_AUTH_TOKEN"
            raise UserError(f"--address {address}: that cluster asks for a token: {advice}") from None
        raise UserError(f"--address {address}: what answers there is no Ray head: {said}") from None


def own_token() -> dict[str, str]:
    """A token for a Ray of one's own, where there is no home directory that Ray could keep one in; else Ray sees to it."""
    if any(name in os.environ for name in (TOKEN, f"{TOKEN}_PATH")):
        return {}
    try:
        kept = Path.home() / ".ray" / "auth_token"
        nearest = next(path for path in (kept, *kept.parents[:2]) if path.exists())
    except (RuntimeError, OSError, StopIteration):
        return {TOKEN: secrets.token_hex(32)}
    return {} if os.access(nearest, os.R_OK if nearest == kept else os.W_OK) else {TOKEN: secrets.token_hex(32)}


def _show_token() -> None:
    """Let this process show the machine's token, if it has one: then ``ray start`` made a cluster that asks for it.

    Ray does so for its own ``auto``, and never for an address that was given.
    """
    try:
        from ray._private.authentication import authentication_token_setup as setup
    except ImportError:  # Ray's own; a version without it asks for none
        return
    with tokens_unsaid():
        setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


@contextmanager
def tokens_unsaid() -> Iterator[None]:
    """Keep Ray from warning that its processes know each other by a token, as they should: it may have opened its log before ours."""
    logger = logging.getLogger("ray._private.authentication.authentication_token_setup")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _named() -> str | None:
    """The address that the environment names."""
    named = os.environ.get(ENVIRONMENT)
    return named if named and named != AUTO else None


def _current() -> str | None:
    """The cluster that ``ray start`` last made or joined on this machine, None for none.

    Ray's own ``auto`` also takes any Ray it finds among the processes, such as another search's own, which ends with that search.
    """
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - where Ray looks
    try:
        return (Path(folder) / "ray" / CURRENT).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
