"""The page on the estimators works as it shows."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "estimators.md"


def test_the_example_works() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    check = (
        "assert min(one.score(X_test, y_test), search.score(X_test, y_test)) > 0.8\nassert len(search.search_results_) == 8\n"
    )
    subprocess.run([sys.executable, "-c", code + check], check=True, timeout=120)
