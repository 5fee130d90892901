"""What `pip install` brings: a wheel with everything in it, found from anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.once import Once

ROOT = Path(__file__).parents[1]
SOURCES = ("rebnn_search", "search_spaces", "trials", "setup.py", "pyproject.toml", "README.md")


@pytest.fixture(scope="module")
def wheel(once: Once) -> Path:
    """The wheel of this checkout, built from a copy: a build leaves folders behind."""

    def make(folder: Path) -> None:
        copy = folder / "source"
        copy.mkdir()
        for name in SOURCES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        build = "import setuptools.build_meta as backend; backend.build_wheel('..')"
        done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return next(once("wheel", make).glob("*.whl"))


def test_it_holds_every_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {
        file.relative_to(ROOT).as_posix()
        for suffix in ("py", "j2", "typed")
        for file in (ROOT / "rebnn_search").rglob(f"*.{suffix}")
    }
    data = {
        f"rebnn_search/{file.relative_to(ROOT)}" for name in ("search_spaces", "trials") for file in (ROOT / name).iterdir()
    }
    assert names == code | data


def test_installed_it_finds_its_searches_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:  # what pip install --no-deps --target does
        archive.extractall(target)
    env = {**os.environ, "PYTHONPATH": str(target)}

    def rebnn_search(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "rebnn_search", *words], cwd=elsewhere, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout

    where = subprocess.run(
        [sys.executable, "-c", "import rebnn_search; print(rebnn_search.__file__)"], cwd=elsewhere, env=env, text=True,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert where.startswith(str(target))
    assert str(target / "rebnn_search" / "search_spaces" / "gamma.yaml") in rebnn_search("spaces", "--json")
    assert "gamma-1 would begin with:" in rebnn_search("run", "gamma", "--dry-run")
    assert not list(elsewhere.iterdir())
