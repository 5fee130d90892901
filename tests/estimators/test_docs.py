"""The page on the estimators works as it shows."""

import re
from pathlib import Path

from support.forked import forked_code

PAGE = Path(__file__).parents[2] / "docs" / "estimators.md"


def test_the_example_works() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    check = (
        "assert min(one.score(X_test, y_test), search.score(X_test, y_test)) > 0.8\nassert len(search.search_results_) == 8\n"
    )
    assert forked_code(code + check) == 0
