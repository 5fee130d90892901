"""A process that kills itself at a chosen place of the program."""

import itertools
import os
import signal
from importlib import import_module
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies(when: str, count: int, place: str) -> None:
    """Let this process kill itself at the n-th call of a function: before it, or after it."""
    module, _, path = place.partition(":")
    owner: Any = import_module(module)
    *classes, name = path.split(".")
    for part in classes:
        owner = getattr(owner, part)
    function, calls = getattr(owner, name), itertools.count(1)

    def deadly(*args: Any, **kwargs: Any) -> Any:
        call = next(calls)
        if call == count and when == "before":
            die()
        result = function(*args, **kwargs)
        if call == count and when == "after":
            die()
        return result

    setattr(owner, name, deadly)
