"""``rebnn-search recipes SPACE.yaml --out DIR``: the configurations that a search file gives, as recipes to train elsewhere."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from rebnn_search.base.command import allow_words, python_command
from rebnn_search.base.errors import UserError
from rebnn_search.base.layout import trial_name
from rebnn_search.base.packaged import SPACES, find_file
from rebnn_search.cli._allow import add_allow, allow_parts


def parser(prog: str = "rebnn-search recipes") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog,
        description="Write a recipe for each trial whose configuration a search file gives under fixed, all seeds of each, to train "
        "on a machine without Ray, Optuna and MLflow; rebnn-search run --trained takes the trainings up as the search's trials.",
    )
    p.add_argument("space", metavar="SPACE.yaml", help="the search file, or the name of one that comes with the program")
    p.add_argument("--out", metavar="DIR", required=True, help="folder for the recipes, NNNN.yaml; none of them may be there")
    p.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides",
                   help="change a value of the search file or of its recipe; may be repeated")  # fmt: skip
    add_allow(p)
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    # What is above needs milliseconds, torch and Optuna seconds.
    from rebnn_search.execution.trained_elsewhere import given_recipes
    from rebnn_search.study.load import load_search
    from rebnn_search.training import dump_recipe
    from rebnn_search.training.recipe import PATH_OPTIONS

    allow_parts(args.allow)
    file = find_file(args.space, SPACES)
    search = load_search(file, args.overrides)
    recipes = {Path(args.out) / f"{trial_name(number)}.yaml": recipe for number, recipe in given_recipes(search)}
    if not recipes:
        raise UserError(f"{file}: gives no configuration under fixed: the sampler chooses them all, as the search goes on")
    there = [path for path in recipes if path.exists()]
    if there:
        raise UserError(f"--out {args.out}: {there[0].name} is there already: name another folder")
    try:
        Path(args.out).mkdir(parents=True, exist_ok=True)
        for path, recipe in recipes.items():
            dump_recipe(path, recipe, f"Trial {path.stem} of {file.name}")
    except OSError as error:
        raise UserError(f"--out {args.out}: cannot be written: {error.strerror}") from None
    print(f"{args.out}: {len(recipes)} recipes")
    if len(recipes) < search.spec.trials:
        print(
            f"the other {search.spec.trials - len(recipes)} trials are the sampler's to choose: the search itself trains them"
        )
    allowed = allow_words(args.allow)
    train = [
        *python_command(),
        "-m",
        "rebnn_search.train",
        f"{args.out}/NNNN.yaml",
        "--out",
        "RUNS/NNNN",
        "--workspace",
        "RUNS",
    ]
    moved = [option for recipe in list(recipes.values())[:1] for option in PATH_OPTIONS if option in recipe.data.options]
    elsewhere = "".join(f" --set data.{option}=WHERE" for option in moved)  # as another machine has it
    print(f"train each:    {shlex.join([*train, *allowed])}{elsewhere}")
    given = [word for override in args.overrides for word in ("--set", override)]
    print(f"take them up:  {shlex.join(['rebnn-search', 'run', args.space, *given, '--trained', 'RUNS', *allowed])}")
    return 0
