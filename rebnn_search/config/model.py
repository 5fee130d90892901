"""Pydantic models for users' files: unknown keys are errors that name the nearest valid one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from rebnn_search.base.errors import UserError
from rebnn_search.config.document import Document
from rebnn_search.config.reading import Key, Place

M = TypeVar("M", bound=BaseModel)


def fail(title: str, place: Place, message: str, value: object) -> NoReturn:
    """Raise a pydantic `ValidationError` at a place below the value being validated."""
    # Braces would be taken for placeholders of the template.
    error = PydanticCustomError("rebnn_search", "{message}", {"message": message})
    raise ValidationError.from_exception_data(title, [InitErrorDetails(type=error, loc=place, input=value)])


def check_keys(title: str, data: dict[Key, object], allowed: list[str]) -> None:
    """Fail on the first key that is not allowed, naming the nearest one that is."""
    for key, value in data.items():
        if key not in allowed:
            fail(title, (key,), f"unknown key; {nearest(key, allowed)}allowed here: {', '.join(allowed) or 'nothing'}", value)


def nearest(name: object, allowed: Iterable[str]) -> str:
    """``did you mean 'trials'?`` and a space, for a name that is not among those allowed; empty where none is near."""
    near = get_close_matches(str(name), list(allowed), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}? " if near else ""


class Strict(BaseModel):
    """A frozen model that takes YAML's own types unconverted and refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: object) -> object:
        if isinstance(data, dict):
            check_keys(cls.__name__, data, [field.alias or name for name, field in cls.model_fields.items()])
        return data


def validate(model: type[M], document: Document, context: Mapping[str, object] | None = None) -> M:
    """Make a model of what a document says.

    Args:
        model: Which.
        document: What says it.
        context: For the model's own validators.

    Raises:
        UserError: Naming for each mistake the file and line (or the ``--set``), the key, its value and what is allowed.
    """
    try:
        return model.model_validate(document.data, context=context)
    except ValidationError as error:
        raise UserError(explain(error, document)) from None


MOST_LINES = 5
"""Mistakes that are reported at a time."""
MOST_CHARACTERS = 200
"""Of a value in a message."""


def shown(value: object) -> str:
    """A value as a message shows it: on one line, and not all of a long one."""
    text = repr(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."


PLAINER = {
    "missing": "required key is missing",
    "model_type": "expected a mapping of keys to values",
    "model_attributes_type": "expected a mapping of keys to values",
    "dict_type": "expected a mapping of keys to values",
    "list_type": "expected a list",
}
"""What pydantic says in its own terms, by its name of the mistake."""


def explain(error: ValidationError, document: Document, above: Place = ()) -> str:
    """One line for each of the first mistakes pydantic found below the place ``above`` of the document."""
    lines = []
    for detail in error.errors(include_url=False):
        place = (*above, *detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:] if not message[:2].isupper() else message
        name = ".".join(map(str, place))
        given = (
            "" if detail["type"] == "missing" or isinstance(detail["input"], (dict, list)) else f" = {shown(detail['input'])}"
        )
        text = PLAINER.get(detail["type"], message)
        lines.append(f"{document.where(place)}: {name}{given}: {text}" if name else f"{document.where(place)}: {text}")
    lines = list(dict.fromkeys(lines))
    more = len(lines) - MOST_LINES
    return "\n".join([*lines[:MOST_LINES], *([f"and {more} more mistakes"] if more > 0 else [])])
