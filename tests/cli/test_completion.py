"""Completion: what a shell is told may come next."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import call

from rebnn_search.base.registry import Registry
from rebnn_search.cli._completers import PARTS, RECIPE_KEYS, SEARCH_KEYS, part_values
from rebnn_search.cli.main import VERBS
from rebnn_search.export import FORMATS
from rebnn_search.method import GAMMA, NETWORKS, SCALE_INIT, WEIGHTS
from rebnn_search.study.pruners import PRUNERS
from rebnn_search.study.samplers import SAMPLERS
from rebnn_search.study.spec import SearchSpec
from rebnn_search.training import Recipe
from rebnn_search.training.data import AUGMENTATIONS, DATASETS
from rebnn_search.training.optimizers import OPTIMIZERS
from rebnn_search.training.schedules import SCHEDULES
from rebnn_search.training.teachers import TEACHERS

REGISTRIES: dict[str, Registry[object]] = {
    "sampler.name": SAMPLERS, "pruner.name": PRUNERS, "data.name": DATASETS, "data.augment.name": AUGMENTATIONS,
    "network.name": NETWORKS, "weights": WEIGHTS, "gamma.strategy": GAMMA, "scale_init.strategy": SCALE_INIT,
    "optimizer.name": OPTIMIZERS, "schedule.name": SCHEDULES, "loss.teacher.name": TEACHERS,
}  # fmt: skip
SEPARATOR = "\x0b"
HEAVY = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "ray", "optuna", "mlflow", "numpy"}:
            raise ImportError(f"{name} is for those who go on")

sys.meta_path.insert(0, Block())
from rebnn_search.cli.main import entry
entry()
"""


def complete(line: str, cwd: Path) -> set[str]:
    """What is offered after a line, asked as a shell does: in the environment, answered at descriptor 8."""
    answer = cwd / "answer"
    env = {
        **os.environ, "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": SEPARATOR, "COMP_LINE": line, "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "COMP_TYPE": "9",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", HEAVY], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = answer.read_text(encoding="utf-8")
    return {word.strip() for word in text.split(SEPARATOR) if word.strip()}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("gamma-1", "gamma-2"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "search.yaml").touch()
    (tmp_path / "there" / "mine-1").mkdir(parents=True)
    (tmp_path / "there" / "mine-1" / "search.yaml").touch()
    (tmp_path / "own.yaml").write_text("recipe: own.recipe.yaml\nspace: {}\n", encoding="utf-8")
    (tmp_path / "own.recipe.yaml").write_text("data: {name: csv, path: x.csv}\n", encoding="utf-8")
    return tmp_path


def test_verbs(place: Path) -> None:
    assert complete("rebnn-search ", place) >= set(VERBS)
    assert complete("rebnn-search re", place) == {"recipes", "refit", "report"}


def test_flags_of_a_verb(place: Path) -> None:
    assert {"--storage", "--json", "--names"} <= complete("rebnn-search ls --", place)
    assert complete("rebnn-search run gamma --tri", place) == {"--trials"}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("show ", {"gamma-1", "gamma-2"}),
        ("rm gamma-1 g", {"gamma-1", "gamma-2"}),
        ("show --storage there ", {"mine-1"}),
        ("run gamma --resume --name gamma-", {"gamma-1", "gamma-2"}),
        ("new x.yaml --from table_3_7_d", {"table_3_7_digits"}),
        ("run gam", {"gamma", "gamma_rule", "gamma_rule_cifar10_subset", "gamma_rule_cifar10_subset_fresh"}),
        ("run ow", {"own.yaml", "own.recipe.yaml"}),
        ("train digi", {"digits"}),
        ("export results/gamma-1 --format on", {"onnx"}),
    ],
)
def test_names(place: Path, line: str, offered: set[str]) -> None:
    assert complete(f"rebnn-search {line}", place) >= offered
    assert all(word in offered or word.startswith("-") for word in complete(f"rebnn-search {line}", place))


def test_keys_and_registered_parts(place: Path) -> None:
    assert complete("rebnn-search run gamma --set pruner.name=s", place) == {"pruner.name=successive_halving"} or complete(
        "rebnn-search run gamma --set pruner.name=s", place
    ) == {"successive_halving"}
    assert "data.path=" in complete("rebnn-search run own.yaml --set data.", place), "a key of the file's own recipe"
    keys = complete("rebnn-search run gamma --set ", place)
    assert {"trials=", "gamma.strategy=", "epochs=", "space="} <= keys
    assert "trials=" not in complete("rebnn-search train digits --set ", place)


def test_the_parts_are_those_that_are_registered() -> None:
    assert REGISTRIES.keys() == PARTS.keys()
    for key, registry in REGISTRIES.items():
        own = {name for name, cls in registry.items() if cls.__module__.startswith("rebnn_search.")}
        if key == "weights":
            own = {name for name in own if WEIGHTS[name].binary}
        assert set(part_values(key)) == own, key
    assert FORMATS.keys() >= {"onnx"}


def test_the_keys_are_those_of_the_files() -> None:
    fields = {"search": SearchSpec.model_fields, "recipe": Recipe.model_fields}
    for key in SEARCH_KEYS:
        assert key.split(".")[0] in fields["search"], key
    for key in {*RECIPE_KEYS, *PARTS} - SEARCH_KEYS:
        assert key.split(".")[0] in fields["recipe"], key


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_shell_is_given(tmp_path: Path, shell: str) -> None:
    done = call("cli.completion", shell, cwd=tmp_path)
    assert done.returncode == 0 and "rebnn-search" in done.stdout and "_ARGCOMPLETE" in done.stdout, done.stderr
    program = shutil.which(shell)
    if program is not None:  # it can be read by that shell
        subprocess.run([program, "-n" if shell != "fish" else "--no-execute"], input=done.stdout, text=True, check=True)


def test_bash_completes(place: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    script = call("cli.completion", "bash", cwd=place).stdout
    command = place / "bin" / "rebnn-search"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nfrom rebnn_search.cli.main import entry\nentry()\n", encoding="utf-8")
    command.chmod(0o755)
    ask = "COMP_WORDS=(rebnn-search show gam); COMP_CWORD=2; COMP_LINE='rebnn-search show gam'; COMP_POINT=21; COMP_TYPE=9\n"
    function = next(line.split()[-2] for line in script.splitlines() if line.strip().startswith("complete "))
    code = f"{script}\n{ask}{function} rebnn-search gam show\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    env = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"}
    done = subprocess.run([bash, "-c", code], cwd=place, env=env, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"gamma-1", "gamma-2"}
