"""What was found, and how bad it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: `OK`; worth knowing, and a search runs all the same; or in the way of one."""

    OK = "ok"
    NOTE = "note"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of an examination.

    Attributes:
        area: What it belongs to: ``software``, ``machine``, ``storage``, ``ray``, ``mlflow`` or ``choices``.
        name: What was looked at.
        value: What is there.
        level: How bad that is.
        advice: What to do about it; empty where nothing is to be done.
    """

    area: str
    name: str
    value: str
    level: Level = Level.OK
    advice: str = ""

    def dump(self) -> dict[str, str]:
        """The object that ``--json`` prints."""
        return {key: str(value) for key, value in asdict(self).items()}
