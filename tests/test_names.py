"""Names: one class a name, and the field's standard terms."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import rebnn_search

PACKAGE = Path(rebnn_search.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
STANDARD = {
    r"heard?|hears|hearing": "is notified, is called with, reports",
    r"hopeless": "aborted",
    r"chatter": "output, logging",
    r"conductor": "controller",
    r"story": "description",
}
"""Words that a docstring, a message or an identifier has no use for, with what the field says."""


def test_no_two_public_classes_share_a_name() -> None:
    places = defaultdict(list)
    for file in FILES:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(file.relative_to(PACKAGE)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


@pytest.mark.parametrize("word", STANDARD)
def test_standard_terms(word: str) -> None:
    pattern = re.compile(rf"(?<![a-z])(?:{word})(?![a-z])", re.IGNORECASE)
    found = [
        f"{file.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for file in FILES
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == [], f"say instead: {STANDARD[word]}"


def test_what_registered_models_name_is_there() -> None:
    """MLflow's models keep the name of their loader's module, and MLflow calls its `_load_pyfunc`."""
    tree = ast.parse((PACKAGE / "refit" / "pyfunc.py").read_text(encoding="utf-8"))
    assert "_load_pyfunc" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
