"""What a search's folder says of its trials: the result of a finished one, the journal of one that still runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rebnn_search.base.files import read_whole
from rebnn_search.base.journal import CREATE_TRIAL
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


def journal_params(file: Path, number: int) -> Mapping[str, Any] | None:
    """The parameters of a trial in the lines of Optuna's journal, None where no sound line says them."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return None
    made = 0
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(entry, dict):
            continue
        trial: Any = made
        if entry.get("op_code") == CREATE_TRIAL:
            attributes = entry.get("user_attrs")
            made += 1
        else:  # an earlier version wrote the parameters after the trial
            trial, attributes = entry.get("trial_id"), entry.get("user_attr")
        params = attributes.get("params") if isinstance(attributes, dict) and trial == number else None
        if isinstance(params, dict):
            return params
    return None
