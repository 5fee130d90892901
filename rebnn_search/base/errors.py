"""The one exception for mistakes a user can mend; commands print it and exit with code 2."""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from rebnn_search.base.printable import printable

UNUSABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP})
"""Errors of a path that no program mends: whoever meets one, the user gets the same message."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of a file system, or of a user's quota on it, that is full: who makes room can go on."""

ROOM = "free some and continue with --resume: nothing that was reported is lost"
"""What to do then."""

NEWLINE = "\n"


class UserError(Exception):
    """Something the user asked for that cannot be done: the message is complete and needs no traceback."""


class Notice(UserWarning):
    """Something a user must know of that is no error: the message is complete. Commands print it alone, without where it arose."""


def _plainly(show: Callable[..., str]) -> Callable[..., str]:
    def formatted(message: object, category: type[Warning], *rest: object, **more: object) -> str:
        return (
            f"notice: {printable(str(message), keep=NEWLINE)}\n"
            if issubclass(category, Notice)
            else show(message, category, *rest, **more)
        )

    return formatted


def exit_on_user_error(command: Callable[[], int]) -> NoReturn:
    """Run a command's body and leave the process with its exit code.

    2 and one message on a `UserError`, 130 on Ctrl-C, 141 without a word where nobody reads what it prints any more (``| head``).
    """
    before = warnings.formatwarning
    warnings.formatwarning = _plainly(before)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")  # of a terminal without γ or ±
    try:
        code = command()
        sys.stdout.flush()
    except UserError as error:
        # Names and values in it may come from a file of anybody's.
        print(f"error: {printable(str(error), keep=NEWLINE)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    except MemoryError:
        print("error: the machine's memory is not enough for this", file=sys.stderr)
        code = 2
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        code = 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno in UNUSABLE and error.filename is not None:
            print(f"error: {str(error.filename)[:200]}: {error.strerror}", file=sys.stderr)
            sys.exit(2)
        if error.errno not in NO_ROOM:
            raise
        print(f"error: {error}; {ROOM}", file=sys.stderr)
        code = 2
    finally:
        warnings.formatwarning = before  # a process may run many commands
    sys.exit(code)


def _nobody_reads() -> bool:
    """Whether the reader of stdout is gone. What is left for it is dropped then, or Python would try again at its end."""
    ends = select.poll()
    ends.register(sys.stdout, 0)
    gone = any(event & (select.POLLERR | select.POLLHUP) for _, event in ends.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return gone
