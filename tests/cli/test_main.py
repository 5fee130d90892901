"""One command: its first verbs are those of ``python -m rebnn_search.VERB``, and asking for help costs nothing."""

import re
import subprocess
import sys

import pytest

from rebnn_search.base.errors import UserError
from rebnn_search.cli.main import VERBS, main

HEAVY = ["torch", "torchvision", "ray", "optuna", "mlflow", "sklearn", "pandas", "scipy", "numpy", "matplotlib", "sqlalchemy"]
NEW = {"curves", "ui", "spaces", "new", "recipes", "ls", "show", "rm", "doctor", "completion"}
"""Verbs that were there by no other name."""
HELP = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy}:
            raise ImportError(f"{name} is for those who go on")

sys.meta_path.insert(0, Block())
from rebnn_search.cli.main import main
for verb in {verbs}:
    try:
        main([verb, "--help"])
    except SystemExit as end:
        assert end.code == 0
"""
OLDER = """
import runpy, sys

for verb in {verbs}:
    for name in [name for name in sys.modules if name.split(".")[0] == "rebnn_search"]:
        del sys.modules[name]  # each is imported as the first
    sys.argv = [verb, "--help"]
    try:
        runpy.run_module(f"rebnn_search.{verb}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert end.code == 0, verb
    else:
        raise AssertionError(verb)
"""
"""What ``python -m`` does, of one after another."""


def test_help_of_every_verb_imports_nothing_heavy() -> None:
    code = HELP.replace("{heavy}", repr(set(HEAVY))).replace("{verbs}", repr(list(VERBS)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for verb in VERBS:
        assert f"usage: rebnn-search {verb} " in done.stdout


def test_the_first_verbs_go_by_their_older_names_too() -> None:
    older = [verb for verb in VERBS if verb not in NEW]
    code = OLDER.replace("{verbs}", repr(older))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert re.findall(r"^usage: python -m rebnn_search\.(\w+) ", done.stdout, re.MULTILINE) == older


def test_usage_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {verb}" in printed and what in printed for verb, what in VERBS.items())
    assert main([]) == 2


def test_a_verb_that_is_none_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match="rebnn-search serach: no such verb: there are run, "):
        main(["serach"])
    with pytest.raises(UserError, match="did you mean 'train'"):
        main(["trian"])


def test_a_verb_does_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml"):
        main(["train", "nowhere.yaml"])
    with pytest.raises(SystemExit):
        main(["train"])
    assert "usage: rebnn-search train " in capsys.readouterr().err
