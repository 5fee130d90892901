"""The table of pains names tests that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS = [line for line in (ROOT / "docs" / "pains.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]


def test_every_row_names_threads_and_a_test_that_is_there() -> None:
    assert len(ROWS) > 15
    for row in ROWS:
        threads, there, here, test = (cell.strip() for cell in row.strip("|").split(" | "))
        assert re.findall(r"#(\d+)\]\(https://github\.com/[\w-]+/[\w-]+/issues/\1\)", threads), threads
        assert there and here
        path, _, name = test.strip("`").partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_every_test_named_after_a_thread_has_its_row() -> None:
    tree = ast.parse((ROOT / "tests" / "search" / "test_pains.py").read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    assert names == {row.split("tests/search/test_pains.py::")[1].split("`")[0] for row in ROWS if "test_pains.py::" in row}
