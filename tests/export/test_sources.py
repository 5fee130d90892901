"""Where a trained network is found, and what is said where there is none."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial
from torch import nn

from rebnn_search.config import UserError
from rebnn_search.export import ModelInfo, Trained, export_onnx, export_packed, export_torch, find_trained
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.load import load_search
from rebnn_search.training import CheckpointDirectory, Recipe, Trainer, dump_recipe, load_recipe

SPACE = """
recipe: {recipe}
space:
  network.depth: {{choice: [1, 2]}}
  weights: {{choice: [rebnn, recu]}}
trials: 2
"""


def same(found: Trained, network: nn.Module, info: ModelInfo, raw: torch.Tensor) -> bool:
    with torch.no_grad():
        return found.info == info and torch.equal(found.network(raw), network(raw))


@pytest.fixture
def raw() -> torch.Tensor:
    return torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_training_is_found_by_its_folder_its_checkpoints_or_one_of_them(run: Path, raw: torch.Tensor) -> None:
    trainer = Trainer(load_recipe(run / "recipe.yaml"), device="cpu")
    for step in (1, 2):
        state = CheckpointDirectory(run / "checkpoints")._files()[step - 1]
        trainer.load_state_dict(torch.load(_body(state), weights_only=True)["trainer"])
        trainer.network.eval()
        found = find_trained(str(state))
        with torch.no_grad():
            assert torch.equal(found.network(raw), trainer.network(raw))
        assert found.folder == run
    for source in (run, run / "checkpoints"):
        newest = find_trained(str(source))
        with torch.no_grad():
            assert torch.equal(newest.network(raw), trainer.network(raw))
    assert newest.info.classes == [str(digit) for digit in range(10)]
    assert newest.info.white == 16
    assert newest.info.recipe == load_recipe(run / "recipe.yaml").dump()
    assert newest.info.mean == trainer.data.mean.flatten().tolist()


def _body(checkpoint: Path) -> Path:
    """torch's bytes alone: what stands before them is two lines."""
    body = checkpoint.read_bytes().split(b"\n", 2)[2]
    plain = checkpoint.parent.parent / "plain.pt"
    plain.write_bytes(body)
    return plain


def test_a_checkpoint_apart_needs_its_recipe(run: Path, tmp_path: Path, raw: torch.Tensor) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    shutil.copy(sorted((run / "checkpoints").glob("*.pt"))[-1], checkpoint)
    with pytest.raises(UserError, match=f"{tmp_path}: nothing here says with which recipe .* name it with --recipe FILE"):
        find_trained(str(checkpoint))
    found = find_trained(str(checkpoint), recipe=str(run / "recipe.yaml"))
    expected = find_trained(str(run))
    assert same(found, expected.network, expected.info, raw)
    assert found.folder == tmp_path
    recipe = load_recipe(run / "recipe.yaml", ["network.width=8"])
    dump_recipe(tmp_path / "other.yaml", recipe, "another")
    with pytest.raises(UserError, match=r"checkpoint\.pt: is of another recipe"):
        find_trained(str(checkpoint), recipe=str(tmp_path / "other.yaml"))


def test_damaged_checkpoints(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    old, new = sorted((folder / "checkpoints").glob("*.pt"))
    new.write_bytes(new.read_bytes()[:-10])
    with pytest.raises(UserError, match=f"{new.name}: is damaged: its checksum does not match"):
        find_trained(str(new))
    with pytest.warns(UserWarning, match="falling back to the one before"):
        find_trained(str(folder))
    old.unlink()
    with pytest.warns(UserWarning), pytest.raises(UserError, match=f"{folder}: holds no sound checkpoint"):
        find_trained(str(folder))
    stage_one = folder / "stage.pt"
    CheckpointDirectory(tmp_path).save(1, {"version": 1, "network": {}}).replace(stage_one)
    with pytest.raises(UserError, match=r"stage\.pt: is no checkpoint of a trial"):
        find_trained(str(stage_one))


def test_a_checkpoint_of_a_gpu_is_read_without_one(
    run: Path, tmp_path: Path, raw: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gpu"
    folder.mkdir()
    shutil.copy(run / "recipe.yaml", folder)
    state = torch.load(_body(sorted((run / "checkpoints").glob("*.pt"))[-1]), weights_only=True)
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:7")
    file = CheckpointDirectory(folder / "checkpoints").save(2, state)
    monkeypatch.undo()
    expected = find_trained(str(run))
    for source in (folder, file):
        assert same(find_trained(str(source)), expected.network, expected.info, raw)


@pytest.fixture
def search(run: Path, tmp_path: Path) -> tuple[SearchFolder, list[Trainer]]:
    """The folder of a search of two trials, with all that it holds before its end."""
    (tmp_path / "space.yaml").write_text(SPACE.format(recipe=run / "recipe.yaml"))
    search = load_search(tmp_path / "space.yaml")
    folder = SearchFolder(tmp_path / "space-1")
    folder.path.mkdir()
    folder.write_search("space.yaml", search.dump())
    backend = JournalFileBackend(str(folder.journal))
    study = optuna.create_study(storage=JournalStorage(backend), study_name="space")
    trainers = []
    for params in ({"network.depth": 1, "weights": "recu"}, {"network.depth": 2, "weights": "rebnn"}):
        if trainers:  # in one write
            number = len(study.trials)
            study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={"params": params}))
        else:  # as earlier versions recorded a trial
            number = study.ask().number
            study._storage.set_trial_user_attr(number, "params", params)
        trainer = Trainer(search.recipe(params), device="cpu")
        report = trainer.next_report()
        state = {"trainer": trainer.state_dict(), "reports": [asdict(report)]}
        CheckpointDirectory(folder.checkpoints(number)).save(1, state)
        trainer.network.eval()
        trainers.append(trainer)
    return folder, trainers


def test_a_search_is_found_by_its_trials_and_by_its_best(search: tuple[SearchFolder, list[Trainer]], raw: torch.Tensor) -> None:
    folder, trainers = search

    def check(source: Path, number: int) -> Trained:
        found = find_trained(str(source))
        recipe: Recipe = trainers[number].recipe
        assert found.info.recipe == recipe.dump()
        with torch.no_grad():
            assert torch.equal(found.network(raw), trainers[number].network(raw))
        return found

    # Unfinished: what was trained stands in the journal.
    for number in (0, 1):
        assert check(folder.trial(number), number).folder == folder.trial(number)
        check(folder.checkpoints(number) / "00000001.pt", number)
    with pytest.raises(UserError, match=f"{folder.path}: the search has chosen no trial yet"):
        find_trained(str(folder.path))
    # Finished: in the result.
    folder.journal.unlink()
    with pytest.raises(UserError, match=r"nothing here says what was trained in trial #1: name its recipe with --recipe"):
        find_trained(str(folder.trial(1)))
    trials = [
        {"number": 0, "params": {"network.depth": 1, "weights": "recu"}},
        {"number": 1, "params": {"network.depth": 2, "weights": "rebnn"}},
    ]
    folder.result_file.write_text(json.dumps({"trials": trials, "best": {"number": 1}}))
    dump_recipe(folder.best_recipe, trainers[1].recipe, "best")
    check(folder.trial(0), 0)
    assert check(folder.path, 1).folder == folder.path
    shutil.rmtree(folder.checkpoints(1))
    with pytest.raises(UserError, match=f"{folder.trial(1)}: holds no sound checkpoint"):
        find_trained(str(folder.path))


def test_model_files_are_sources_too(
    tmp_path: Path, made: Callable[[str, str], tuple[nn.Module, ModelInfo]], raw: torch.Tensor
) -> None:
    network, info = made("digits_resnet", "recu")
    export_packed(network, info, tmp_path / "a")
    export_torch(network, info, tmp_path / "b")
    export_onnx(*made("mlp", "recu"), tmp_path / "c")
    for name in ("a", "b"):
        assert same(find_trained(str(tmp_path / name)), network, info, raw)
    with pytest.raises(UserError, match="c: an ONNX file cannot be turned into another format"):
        find_trained(str(tmp_path / "c"))


def test_a_run_of_mlflow_is_a_source(
    tmp_path: Path, made: Callable[[str, str], tuple[nn.Module, ModelInfo]], raw: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rebnn_search.tracking.client import artifact_location, make_client

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(UserError, match=f"there is no tracking database {tmp_path / 'mlflow.db'}"):
        find_trained("0" * 32, tracking_uri=uri)
    assert not (tmp_path / "mlflow.db").exists()
    client = make_client(uri)
    experiment = client.create_experiment("e", artifact_location=artifact_location(uri))
    run, empty = (client.create_run(experiment).info.run_id for _ in range(2))
    network, info = made("digits_resnet", "rebnn")
    export_packed(network, info, tmp_path / "packed.safetensors")
    client.log_artifact(run, str(tmp_path / "packed.safetensors"), "model")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for given in (uri, None):
        assert same(find_trained(run, tracking_uri=given), network, info, raw)
    with pytest.raises(UserError, match=f"run {empty}: has no artifact model/packed.safetensors"):
        find_trained(empty)
    with pytest.raises(UserError, match=rf"run {'0' * 32}: cannot be read from MLflow .*RESOURCE_DOES_NOT_EXIST"):
        find_trained("0" * 32)


def test_what_is_not_there() -> None:
    with pytest.raises(UserError, match="absent: no such file, folder or MLflow run"):
        find_trained("absent")
