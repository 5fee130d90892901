"""Users' files: YAML with line numbers, strict models, parts chosen by name, one exception for mistakes."""

from rebnn_search.base.errors import Notice, UserError, exit_on_user_error
from rebnn_search.base.printable import printable, printable_json
from rebnn_search.config.component import Choose, Component
from rebnn_search.config.document import (
    Document,
    apply_override,
    apply_overrides,
    get_value,
    load,
    parse,
    part_first,
    with_value,
)
from rebnn_search.config.model import Strict, explain, fail, nearest, validate

__all__ = [
    "Choose",
    "Component",
    "Document",
    "Notice",
    "Strict",
    "UserError",
    "apply_override",
    "apply_overrides",
    "exit_on_user_error",
    "explain",
    "fail",
    "get_value",
    "load",
    "nearest",
    "parse",
    "part_first",
    "printable",
    "printable_json",
    "validate",
    "with_value",
]
