"""When each trial was at work, and on how much of the machine: two lines an attempt, in a file beside its reports.

An attempt is one time that a worker has a trial: until it ends, waits, dies or is stopped. A driver that is killed leaves attempts
without an end; `rebnn_search.study.cost` takes their last reports for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError


@dataclass(frozen=True)
class Attempt:
    """One time that a trial was at work.

    Attributes:
        began: Milliseconds since 1970.
        after: The last report that the trial had then; 0 for none.
        cores: CPU cores that it held, over all its workers.
        gpus: GPUs, likewise.
        ended: Milliseconds since 1970; None where nobody was there to note it.
    """

    began: int
    after: int
    cores: int
    gpus: float
    ended: int | None = None


_ATTEMPT = TypeAdapter(Attempt)


def read_attempts(file: Path) -> list[Attempt]:
    """The attempts in a file, in their order. It may be missing; what is torn or damaged of it is passed over."""
    attempts: list[Attempt] = []
    for line in file.read_bytes().splitlines() if file.is_file() else ():
        with suppress(ValueError, ValidationError):
            content = json.loads(line)
            if isinstance(content, dict) and "ended" in content and attempts:
                content = {**vars(attempts.pop()), "ended": content["ended"]}
            attempts.append(_ATTEMPT.validate_python(content))
    return attempts


class AttemptLog:
    """Notes the attempts of a search's trials. What cannot be written is not: no search ends for want of it.

    Args:
        place: Names the file of a trial; None notes nothing.
        cores: CPU cores that a trial holds.
        gpus: GPUs, likewise.
    """

    def __init__(self, place: Callable[[int], Path] | None, cores: int, gpus: float) -> None:
        self._place, self._cores, self._gpus = place, cores, gpus
        self._open: set[int] = set()

    def begin(self, number: int, after: int, when: int | None = None) -> None:
        """Note that a trial is at work, unless it is known to be.

        Args:
            number: Of the trial.
            after: Its last report.
            when: Since then, in milliseconds since 1970; None for now.
        """
        if number not in self._open:
            self._open.add(number)
            self._write(
                number, {"began": now() if when is None else when, "after": after, "cores": self._cores, "gpus": self._gpus}
            )

    def end(self, number: int) -> None:
        """Note that a trial is at work no more; nothing where it was not."""
        if number in self._open:
            self._open.remove(number)
            self._write(number, {"ended": now()})

    def _write(self, number: int, line: dict[str, float]) -> None:
        if self._place is None:
            return
        with suppress(OSError), self._place(number).open("ab") as file:
            torn = file.tell() > 0 and not _ends_whole(self._place(number))
            file.write((b"\n" if torn else b"") + json.dumps(line).encode() + b"\n")


def _ends_whole(file: Path) -> bool:
    with file.open("rb") as content:
        content.seek(-1, 2)
        return content.read() == b"\n"


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
