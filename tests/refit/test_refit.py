"""The command as a user runs it: real MLflow, real kill -9."""

import json
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from rich.console import Console
from scipy import stats
from support.forked import Forked

from rebnn_search.config import UserError
from rebnn_search.export import load_model
from rebnn_search.export._inputs import images_of
from rebnn_search.refit import RefitResult, SeedScore, Stopped, refit_search
from rebnn_search.refit._folder import SeedFolder
from rebnn_search.refit._seed import train_seed
from rebnn_search.refit.progress import Progress
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lock import DriverLock
from rebnn_search.training import CheckpointDirectory, Recipe, Trainer, load_recipe
from rebnn_search.training.data import Digits


def children(finished: Any) -> dict[int, Any]:
    client = MlflowClient(finished.uri)
    search = finished.search()
    experiment = client.get_run(search.parent_run_id).info.experiment_id
    runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{search.parent_run_id}'")
    found = [run for run in runs if "rebnn_search.refit" in run.data.tags]
    by_seed = {int(run.data.tags["rebnn_search.refit"]): run for run in found}
    assert len(by_seed) == len(found)
    return by_seed


def points_once(finished: Any) -> bool:
    with sqlite3.connect(finished.path / "mlflow.db") as database:
        return not database.execute("select 1 from metrics group by run_uuid, key, step having count(*) > 1").fetchall()


def network(finished: Any, seed: int) -> dict[str, torch.Tensor]:
    found = CheckpointDirectory(finished.refit / f"seed-{seed}" / "checkpoints").latest()
    assert found is not None
    tensors: dict[str, torch.Tensor] = found[1]["trainer"]["network"]
    return tensors


def again(finished: Any, **options: Any) -> RefitResult:
    given = {"tracking_uri": finished.uri, "observer": Progress(Console(), True), **options}
    return refit_search(finished.search(), **given)


def test_a_refit_from_beginning_to_end(finished: Any) -> None:
    result = finished.json("--seeds", "3")
    scores = [seed["test"]["top1"] for seed in result["seeds"]]
    assert [seed["seed"] for seed in result["seeds"]] == [0, 1, 2]
    assert result["test_top1"] == pytest.approx(np.mean(scores))
    low, high = stats.t.interval(0.95, 2, np.mean(scores), stats.sem(scores))
    assert result["test_top1_interval"] == pytest.approx((high - low) / 2)
    median = sorted(result["seeds"], key=lambda seed: seed["train_loss"])[1]
    assert result["median_seed"] == median["seed"]
    assert json.loads((finished.refit / "refit.json").read_text()) == result

    # It is the training that the recipe says, on both splits, and nothing else.
    recipe = load_recipe(finished.refit / "seed-1" / "recipe.yaml")
    best = finished.search().recipe
    assert recipe == best.model_copy(update={"seed": 1, "train_on": "train+validation"})
    trainer = Trainer(recipe, device="cpu")
    assert trainer.data.size("train") == best.data.build().open().size("train") + best.data.build().open().size("validation")
    while not trainer.finished:
        assert not [name for name in trainer.next_report().metrics if name.startswith("val/")]
    kept = network(finished, 1)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in trainer.network.state_dict().items())
    assert trainer.evaluate("test") == result["seeds"][1]["test"]

    # The exported model is the median seed's.
    test = Digits().open().samples("test")  # type: ignore[attr-defined]
    model = load_model(finished.refit / "model.safetensors")
    trainer.network.load_state_dict(network(finished, median["seed"]))
    raw = test.images[:100]  # in one part here and there: other sizes may be summed in another order
    with torch.no_grad():
        assert torch.equal(
            model.logits(raw), trainer.network.eval()(model.info.normalised(images_of(raw, model.info, "the images")))
        )

    runs = children(finished)
    assert set(runs) == {0, 1, 2}
    client = MlflowClient(finished.uri)
    for seed, run in runs.items():
        assert run.data.tags["state"] == "COMPLETE"
        assert run.info.status == "FINISHED"
        assert run.data.metrics["test/top1"] == scores[seed]
        assert run.data.params["seed"] == str(seed)
        assert [p.step for p in client.get_metric_history(run.info.run_id, "train/loss")] == list(range(1, 9))
        assert [item.path for item in client.list_artifacts(run.info.run_id, "model")] == ["model/packed.safetensors"]
    parent = client.get_run(finished.search().parent_run_id)
    assert parent.data.metrics["refit/test_top1"] == pytest.approx(np.mean(scores))
    assert parent.data.metrics["refit/trial"] == finished.search().number

    before = {path: path.stat().st_mtime_ns for path in finished.refit.rglob("*.pt")}
    assert again(finished, seeds=3).dump() == result
    assert {path: path.stat().st_mtime_ns for path in finished.refit.rglob("*.pt")} == before
    assert {seed: run.info.run_id for seed, run in children(finished).items()} == {s: r.info.run_id for s, r in runs.items()}
    assert points_once(finished)
    with pytest.raises(UserError, match=r"holds trainings of another recipe \(epochs changed\)"):
        again(finished, seeds=1, epochs=3)


@pytest.mark.slow(minutes=0.5)
def test_killed_again_and_again_it_ends_as_if_never(finished: Any, tmp_path: Path) -> None:
    whole = type(finished)(tmp_path / "whole")
    shutil.copytree(finished.path, whole.path)
    options = ("--seeds", "2", "--epochs", "4")
    expected = whole.json(*options)
    for seed, reports in ((0, 5), (1, 3)):
        process = Forked("refit", *finished.words(*options, "--quiet"), cwd=finished.path)
        file = finished.refit / f"seed-{seed}" / "reports.jsonl"
        while process.poll() is None and (not file.exists() or file.read_bytes().count(b"\n") < reports):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        problem, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, problem
    assert finished.json(*options) == expected
    for seed in (0, 1):
        kept, wanted = network(finished, seed), network(whole, seed)
        assert kept.keys() == wanted.keys()
        assert all(torch.equal(kept[name], tensor) for name, tensor in wanted.items())
    assert (finished.refit / "model.safetensors").read_bytes() == (whole.refit / "model.safetensors").read_bytes()
    runs = children(finished)
    assert set(runs) == {0, 1}
    client = MlflowClient(finished.uri)
    for seed, run in runs.items():
        there = MlflowClient(whole.uri).get_metric_history(children(whole)[seed].info.run_id, "train/loss")
        mine = client.get_metric_history(run.info.run_id, "train/loss")
        assert [(p.step, p.value) for p in mine] == [(p.step, p.value) for p in there]
    assert points_once(finished)


def test_a_registered_model_is_one_version_and_predicts(finished: Any) -> None:
    first, second = (again(finished, seeds=1, epochs=1, registered="digits") for _ in range(2))
    assert (first.version, second.version) == ("1", "1")
    assert points_once(finished)
    mlflow.set_tracking_uri(finished.uri)
    model = mlflow.pyfunc.load_model("models:/digits/1")
    images = Digits().open().samples("test").images.numpy()  # type: ignore[attr-defined]
    assert first.model is not None
    assert np.array_equal(model.predict(images), load_model(first.model).predict_proba(images))


def test_stopped_it_leaves_a_checkpoint_and_goes_on(finished: Any) -> None:
    class Impatient(Progress):
        def reported(self, seed: int, report: Any, reports: int) -> bool:
            assert reports == 4
            return bool(report.step == 2)

    with pytest.raises(Stopped):
        again(finished, seeds=1, epochs=1, observer=Impatient(Console(), True))
    assert children(finished)[0].data.tags["state"] == "INTERRUPTED"
    found = CheckpointDirectory(finished.refit / "seed-0" / "checkpoints").latest()
    assert found is not None
    assert found[0] == 2
    outcome = again(finished, seeds=1, epochs=1)
    assert outcome.median is not None
    assert children(finished)[0].data.tags["state"] == "COMPLETE"


def test_what_cannot_be_refitted_is_said(finished: Any, tmp_path: Path, tracking_database: Path) -> None:
    other = shutil.copy(tracking_database, tmp_path / "other.db")
    with pytest.raises(UserError, match="does not hold the search's run"):
        again(finished, seeds=1, tracking_uri=f"sqlite:///{other}")
    with DriverLock(finished.search().folder), pytest.raises(UserError, match="is being driven by process"):
        again(finished, seeds=1)
    (finished.search().folder.result_file).unlink()
    with pytest.raises(UserError, match="is not finished"):
        finished.search()
    finished.name = "yours"
    with pytest.raises(UserError, match=r"yours: no such search in .*; there: mine"):
        finished.search()


def test_a_test_loss_that_is_no_number_is_one_message_and_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe.model_validate({"data": "digits", "network": {"name": "mlp", "width": 8}, "epochs": 1, "batch_size": 512})
    spoilt, sound = {"loss": float("nan"), "top1": 10.0, "top5": 50.0}, Trainer.evaluate
    monkeypatch.setattr(Trainer, "evaluate", lambda self, split: spoilt if split == "test" else sound(self, split))
    stored = SimpleNamespace(folder=SearchFolder(tmp_path / "mine"), number=0, refit_path=tmp_path / "refit")
    folder = SeedFolder(stored, 0)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="seed 0: the loss on the test split is no finite number"):
        train_seed(recipe, folder, lambda *_: False)
    assert folder.outcome is None


def test_the_median_is_of_the_training_loss_and_of_those_that_did_not_diverge() -> None:
    def score(seed: int, loss: float, top1: float) -> SeedScore:
        return SeedScore(seed, loss, {"loss": 1.0, "top1": top1, "top5": 100.0})

    lost = SeedScore(7, None, None, "training loss is no finite number")
    outcome = RefitResult("a", 0, 1, [score(0, 0.3, 99.0), lost, score(1, 0.1, 50.0), score(2, 0.2, 10.0), score(3, 0.4, 90.0)])
    assert outcome.median is not None
    assert outcome.median.seed == 2
    top1 = outcome.test("top1")
    assert top1 is not None
    assert top1.n == 4
    nothing = RefitResult("a", 0, 1, [lost])
    assert nothing.median is None
    assert nothing.dump()["test_top1"] is None
