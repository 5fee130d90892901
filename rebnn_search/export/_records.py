"""The result that a finished search's folder holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rebnn_search.base.files import read_whole
from rebnn_search.config import Document, UserError, explain
from rebnn_search.export._header import brief

Number = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    """Of what stands there this much is read."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Chosen(_Part):
    """The best trial."""

    number: Number


class Trial(_Part):
    """A trial and its parameters by dotted name."""

    number: Number
    params: dict[str, Any]


class StoredResult(_Part):
    """A search's ``result.json``."""

    trials: list[Trial] = []
    best: Chosen | None = None


def read_result(file: Path) -> StoredResult | None:
    """Read a search's result, None where there is none yet.

    Raises:
        UserError: If it is no result; the message names the file.
    """
    if not file.exists():
        return None
    try:
        found = json.loads(read_whole(file))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: is damaged: {brief(str(error))}") from None
    try:
        return StoredResult.model_validate(found)
    except ValidationError as error:
        raise UserError(brief(explain(error, Document(str(file), {})))) from None
