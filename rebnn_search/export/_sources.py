"""Finds a trained network: in a checkpoint, a training's or a search's folder, a model file, or an MLflow run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from rebnn_search.base.files import read_whole
from rebnn_search.base.layout import (
    BEST_RECIPE_FILE,
    CHECKPOINTS,
    RECIPE_FILE,
    RESULT_FILE,
    SEARCH_FILE,
    STORAGE,
    TRIALS,
    trial_name,
)
from rebnn_search.config import UserError
from rebnn_search.export._check import check_values
from rebnn_search.export._checkpoints import newest_state, read_state
from rebnn_search.export._expected import build_network, is_plain, without_memory
from rebnn_search.export._header import brief
from rebnn_search.export._info import ModelInfo, as_trained, describe
from rebnn_search.export._load import read_model
from rebnn_search.export._mlflow import RUN_ID, download_packed
from rebnn_search.export._older_trials import recipe_of_older_trial
from rebnn_search.export._records import read_result
from rebnn_search.export.formats import load_packed
from rebnn_search.training import Recipe, load_recipe
from rebnn_search.training.checkpoint import MAGIC
from rebnn_search.training.trainer import STATE_VERSION


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
    """Find a trained network and open its dataset.

    Classes and normalisation are those it was trained with, whatever became of its data; of a checkpoint that does not hold them, as
    earlier versions', those of its dataset.

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
            kept = Path(STORAGE) / source
            meant = f"; did you mean {kept}?" if "/" not in source and kept.is_dir() else ""
            raise UserError(f"{source}: no such file, folder or MLflow run{meant}")
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
    _, model = read_model(path)
    if model.network is None:
        raise UserError(f"{path}: an ONNX file cannot be turned into another format; start from the training or a packed file")
    return Trained(model.network, model.info, path.parent)


def _of_search(folder: Path, recipe: str | None) -> Trained:
    result = read_result(folder / RESULT_FILE)
    if result is None or result.best is None:
        raise UserError(
            f"{folder}: the search has chosen no trial yet: finish it with --resume, or name a trial's folder, {folder}/{TRIALS}/NNNN"
        )
    trial = folder / TRIALS / trial_name(result.best.number)
    return _of_state(newest_state(trial), load_recipe(recipe or folder / BEST_RECIPE_FILE), folder, str(trial / CHECKPOINTS))


def _recipe_of(folder: Path, given: str | None) -> Recipe:
    """The recipe of a training's folder: the given file or its own ``recipe.yaml``."""
    if given is not None:
        return load_recipe(given)
    if (folder / RECIPE_FILE).is_file():
        return load_recipe(folder / RECIPE_FILE)
    if (found := recipe_of_older_trial(folder)) is not None:
        return found
    raise UserError(f"{folder}: nothing here says with which recipe this was trained: name it with --recipe FILE")


def _of_state(state: Mapping[str, Any], recipe: Recipe, folder: Path, source: str) -> Trained:
    trainer = state.get("trainer")
    if not isinstance(trainer, dict) or trainer.get("version") != STATE_VERSION:
        raise UserError(f"{source}: is no checkpoint of a trial, or one of another version")
    tensors = trainer.get("network")
    if not isinstance(tensors, dict) or not all(isinstance(name, str) and is_plain(part) for name, part in tensors.items()):
        raise UserError(f"{source}: is no checkpoint of a trial: it holds no network")
    data = recipe.data.build().open()

    def build() -> nn.Module:
        return recipe.build_network(data)

    name = recipe.network.name
    wanted = without_memory(build, name, len(tensors), source).state_dict()
    if {key: part.shape for key, part in wanted.items()} != {key: part.shape for key, part in tensors.items()}:
        raise UserError(f"{source}: is of another recipe: its network or dataset is not the one of the recipe")
    check_values(tensors, source)
    network = build_network(build, name, source)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"{source}: does not fit the network of its recipe, {name}: {brief(str(error))}") from None
    return Trained(network.eval(), as_trained(describe(recipe, data), trainer.get("data"), source), folder)
