"""Parts in an installed package: found by their entry point, checked by the checks offered, told of where they are broken."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTEND = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
STRATEGY = re.search(r"## A γ-strategy\n\n```python\n(.*?)```", EXTEND, re.DOTALL)
TEST = re.search(r"Its tests:\n\n```python\n(.*?)```", EXTEND, re.DOTALL)
RECIPE = "data: {name: digits}\nnetwork: {name: mlp, width: 8}\ngamma: {strategy: decaying, half_life: 5.0}\nepochs: 1\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the package of the document in it, as pip leaves it."""
    assert STRATEGY is not None
    package = tmp_path / "site" / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "parts.py").write_text(STRATEGY[1], encoding="utf-8")
    info = tmp_path / "site" / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[rebnn_search.parts]\nmine = my_package.parts\n", encoding="utf-8")
    return tmp_path / "site"


def run(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    return subprocess.run(
        [sys.executable, *words], cwd=site.parent, env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow(minutes=0.5)
def test_a_recipe_knows_the_part_and_the_documented_test_passes(site: Path) -> None:
    (site.parent / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    done = run(site, "-m", "rebnn_search.train", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert TEST is not None
    (site.parent / "test_mine.py").write_text(TEST[1], encoding="utf-8")
    done = run(site, "-m", "pytest", "-q", "test_mine.py")
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout


def test_a_broken_plug_in_is_one_message(site: Path) -> None:
    (site / "my_package" / "parts.py").write_text("import nowhere_to_be_found\n", encoding="utf-8")
    (site.parent / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    done = run(site, "-m", "rebnn_search.train", "recipe.yaml")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "plug-in mine (my_package.parts, of my-package): cannot be imported: ModuleNotFoundError" in done.stderr
