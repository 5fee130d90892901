"""Finds a trained network: in a checkpoint, a training's or a search's folder, a model file, or an MLflow run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from rebnn_search.config import Document, UserError, validate, with_value
from rebnn_search.export._checkpoints import CHECKPOINTS, newest_state, read_state
from rebnn_search.export._files import read_whole
from rebnn_search.export._info import ModelInfo, describe
from rebnn_search.export._loaded import load_model
from rebnn_search.export._mlflow import RUN_ID, download_packed
from rebnn_search.export._packed import load_packed
from rebnn_search.training import Recipe, load_recipe
from rebnn_search.training.checkpoint import MAGIC
from rebnn_search.training.trainer import STATE_VERSION

SEARCH_FILE, RESULT_FILE, JOURNAL = "search.yaml", "result.json", "study.journal"
"""Names in the folder of a search; docs/resume.md describes them."""
CREATE_TRIAL = 4
"""Optuna's number for that in a journal, whose trials are numbered in the order of such lines."""


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        network: On the CPU.
        info: What it was trained as and on.
        folder: Where it was found, and a file made of it goes by default.
    """

    network: nn.Module
    info: ModelInfo
    folder: Path


def find_trained(source: str, *, recipe: str | None = None, tracking_uri: str | None = None) -> Trained:
    """Find a trained network and open its dataset, which knows classes and normalisation.

    Args:
        source: A checkpoint; a folder that holds ``checkpoints/``, whose newest counts; the folder of a finished search, whose best
            trial counts; a packed or torch model; or the id of an MLflow run with a packed model.
        recipe: Recipe file of a checkpoint or folder that lies apart from its own.
        tracking_uri: Of MLflow.

    Raises:
        UserError: If there is nothing of the kind, or what is there is damaged, or its recipe or data are gone.
    """
    path = Path(source)
    if not path.exists():
        if not RUN_ID.fullmatch(source):
            raise UserError(f"{source}: no such file, folder or MLflow run")
        network, info = load_packed(download_packed(source, tracking_uri), Path(f"run {source}"))
        return Trained(network, info, Path())
    if path.is_file():
        return _of_file(path, recipe)
    if (path / SEARCH_FILE).is_file():
        return _of_search(path, recipe)
    folder = path.parent if path.name == CHECKPOINTS else path
    return _of_state(newest_state(folder), _recipe_of(folder, recipe), folder, str(folder / CHECKPOINTS))


def _of_file(path: Path, recipe: str | None) -> Trained:
    if path.parent.name != CHECKPOINTS and not read_whole(path).startswith(MAGIC):
        return _of_model(path)
    state = read_state(path)
    folder = path.absolute().parent
    folder = folder.parent if folder.name == CHECKPOINTS else folder
    return _of_state(state, _recipe_of(folder, recipe), folder, str(path))


def _of_model(path: Path) -> Trained:
    model = load_model(path)
    if model.network is None:
        raise UserError(f"{path}: an ONNX file cannot be turned into another format; start from the training or a packed file")
    return Trained(model.network, model.info, path.parent)


def _of_search(folder: Path, recipe: str | None) -> Trained:
    result = _result(folder)
    if result is None or result.get("best") is None:
        raise UserError(
            f"{folder}: the search has chosen no trial yet: finish it with --resume, or name a trial's folder, {folder}/trials/NNNN"
        )
    trial = folder / "trials" / f"{result['best']['number']:04d}"
    return _of_state(newest_state(trial), load_recipe(recipe or folder / "best.yaml"), folder, str(trial / CHECKPOINTS))


def _recipe_of(folder: Path, given: str | None) -> Recipe:
    """The recipe of a training's folder: the given file, its own ``recipe.yaml``, or of a search's trial the search's."""
    if given is not None:
        return load_recipe(given)
    if (folder / "recipe.yaml").is_file():
        return load_recipe(folder / "recipe.yaml")
    search = folder.absolute().parent.parent
    if folder.absolute().parent.name == "trials" and folder.name.isdigit() and (search / SEARCH_FILE).is_file():
        return _trial_recipe(search, int(folder.name))
    raise UserError(f"{folder}: nothing here says with which recipe this was trained: name it with --recipe FILE")


def _trial_recipe(search: Path, number: int) -> Recipe:
    file = search / SEARCH_FILE
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))["search"]
        base, space = dict(content["recipe"]), list(content["space"])
    except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise UserError(f"{file}: is no resolved search ({type(error).__name__})") from None
    params = _params(search, number)
    if params is None:
        raise UserError(f"{search}: nothing here says what was trained in trial #{number}: name its recipe with --recipe FILE")
    for name in space:  # parents before what depends on them
        if name in params:
            base = with_value(base, tuple(name.split(".")), params[name])
    return validate(Recipe, Document(f"{file}, trial #{number}", base))


def _params(search: Path, number: int) -> Mapping[str, Any] | None:
    """The parameters of a trial: from the result, or of an unfinished search from the lines of Optuna's journal."""
    result = _result(search)
    for trial in (result or {}).get("trials", []):
        if trial["number"] == number:
            params: Mapping[str, Any] = trial["params"]
            return params
    try:
        lines = (search / JOURNAL).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    made = 0
    for line in lines:
        try:
            entry = json.loads(line)
            if entry.get("op_code") == CREATE_TRIAL:
                attrs, trial = entry.get("user_attrs", {}), made
                made += 1
            else:  # an earlier version wrote the parameters after the trial
                attrs, trial = entry.get("user_attr", {}), entry.get("trial_id")
            if trial == number and "params" in attrs:
                found: Mapping[str, Any] = attrs["params"]
                return found
        except (ValueError, AttributeError):
            continue
    return None


def _result(search: Path) -> dict[str, Any] | None:
    file = search / RESULT_FILE
    if not file.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: is damaged: {error}") from None
    return found


def _of_state(state: Mapping[str, Any], recipe: Recipe, folder: Path, source: str) -> Trained:
    trainer = state.get("trainer")
    if not isinstance(trainer, dict) or trainer.get("version") != STATE_VERSION:
        raise UserError(f"{source}: is no checkpoint of a trial, or one of another version")
    data = recipe.data.build().open()
    tensors: dict[str, Tensor] = trainer["network"]
    with torch.random.fork_rng(devices=[]):
        try:
            network: nn.Module = recipe.network.build(
                in_channels=data.channels, num_classes=data.num_classes, image_size=data.image_size, weights=recipe.weights
            )
        except ValueError as error:
            raise UserError(f"network {recipe.network.name}: {error}") from None
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        raise UserError(f"{source}: is of another recipe: its network or dataset is not the one of the recipe") from None
    return Trained(network.eval(), describe(recipe, data), folder)
