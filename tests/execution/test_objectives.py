"""A search of two objectives really trained, in this process: ledger, leaderboard, result, tracking, report and refit agree."""

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from rich.console import Console
from support.commands import call
from support.once import Once

from rebnn_search.api import SearchResult
from rebnn_search.config import UserError
from rebnn_search.execution.events import SearchObserver
from rebnn_search.execution.opening import open_search
from rebnn_search.execution.run_description import run_description
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.export import ModelInfo, find_trained, load_model
from rebnn_search.method import NETWORKS, binary_layers
from rebnn_search.report import TrackedSearch, report_search
from rebnn_search.study.finished import finished_search
from rebnn_search.study.measuring import measured_network
from rebnn_search.study.objectives import OBJECTIVES, MeasuredNetwork
from rebnn_search.study.result import Result
from rebnn_search.terminal import print_result
from rebnn_search.training import Recipe, Trainer

RECIPE = """
data: {name: digits}
network: {name: mlp, width: 8, depth: 1}
optimizer: {name: adam, lr: 1e-2}
epochs: 2
batch_size: 256
reports_per_epoch: 2
"""
SPACE = """
recipe: recipe.yaml
space:
  network.width: {choice: [8, 24, 64, 400]}
  optimizer.lr: {choice: [1e-4, 1e-2]}
fixed:
  - {network.width: 8, optimizer.lr: 1e-2}
  - {network.width: 24, optimizer.lr: 1e-2}
  - {network.width: 64, optimizer.lr: 1e-2}
  - {network.width: 400, optimizer.lr: 1e-2}
  - {network.width: 64, optimizer.lr: 1e-4}
objectives: [val/loss, bytes]
constraints: {bytes: <= 50 kB, binary_ops: <= 1 M}
trials: 6
"""


def searched_in(folder: Path, *overrides: str, resume: bool = False) -> Result:
    session = open_search(
        folder / "space.yaml", overrides=overrides, name="s", storage=str(folder / "results"),
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", or_start=resume, executor=SerialExecutor,
    )  # fmt: skip
    return session.run(SearchObserver())


def prepare(folder: Path, database: Path) -> None:
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
    shutil.copy(database, folder)


@pytest.fixture(scope="module")
def searched(once: Once, tracking_database: Path) -> Path:
    """A finished search; to be copied by those who change it."""

    def make(folder: Path) -> None:
        prepare(folder, tracking_database)
        searched_in(folder)

    return once("searched_for_two", make)


@pytest.fixture(scope="module")
def result(searched: Path) -> Result:
    """As a resume of the finished search says it again."""
    return searched_in(searched, resume=True)


def printed(result: Result, width: int = 200) -> str:
    out = io.StringIO()
    print_result(Console(file=out, width=width, no_color=True, highlight=False), result, "mlflow ui", "resume")
    return out.getvalue()


def test_every_trial_has_what_its_own_network_measures(searched: Path, result: Result) -> None:
    assert {row.state for row in result.rows} == {"COMPLETE", "PRUNED"}
    for row in result.rows:
        recipe = Recipe.model_validate(
            {"data": {"name": "digits"}, "network": {"name": "mlp", "width": row.params["network.width"], "depth": 1},
             "optimizer": {"name": "adam", "lr": 0.01}, "epochs": 1}
        )  # fmt: skip
        model = measured_network(Trainer(recipe))
        tensors = sum(tensor.nbytes for tensor in model.network.state_dict().values())
        assert 0 < row.values["bytes"] < tensors
        assert row.values["binary_ops"] == float(row.params["network.width"]) ** 2  # type: ignore[arg-type]
    best = result.best
    assert best is not None
    size = Path(best.model).stat().st_size
    chosen = next(row for row in result.rows if row.number == best.number)
    header = 8 + int.from_bytes(Path(best.model).read_bytes()[:8], "little")
    assert chosen.values["bytes"] == size - header


def test_what_a_recipe_alone_makes_infeasible_ends_at_its_first_report(result: Result) -> None:
    large = [row for row in result.rows if row.params["network.width"] == 400]
    assert large and all(row.state == "PRUNED" and row.epochs == 0.5 for row in large)
    assert all("bytes" in str(row.infeasible) and str(row.reason).startswith("infeasible: bytes ") for row in large)
    assert all(row.infeasible is None for row in result.rows if row not in large)


def test_the_front_is_marked_wherever_the_leaderboard_is(searched: Path, result: Result) -> None:
    front = [row.number for row in result.rows if row.front]
    assert 0 in front and 3 not in front and 4 not in front
    assert result.best is not None and result.best.number == front[0]
    text = printed(result)
    for line in text.splitlines()[1 : len(result.rows) + 1]:
        number = int(line.split("#")[1].split()[0])
        assert ("●" in line) == (number in front)
    assert "● on the Pareto front" in text and "infeasible: #3: bytes" in text
    dumped = json.loads((searched / "results" / "s" / "result.json").read_text(encoding="utf-8"))
    assert {trial["number"] for trial in dumped["trials"] if trial["front"]} == set(front)
    assert dumped["objectives"] == [{"name": "val/loss", "direction": "minimize"}, {"name": "bytes", "direction": "minimize"}]
    assert dumped["constraints"] == ["bytes <= 50 kB", "binary_ops <= 1 M"]
    assert "| front | trial |" in run_description(result, "1")
    of = SearchResult(result, "")
    table = of.table()
    assert set(table.loc[table["front"], "trial"]) == set(front) == {row.number for row in of.front}
    assert table.loc[table["trial"] == 3, "infeasible"].item().startswith("bytes")


def test_mlflow_has_the_values(searched: Path, result: Result) -> None:
    client = MlflowClient(f"sqlite:///{searched / 'mlflow.db'}")
    for row in result.rows:
        run = client.get_run(str(row.run_id))
        assert run.data.metrics["final/bytes"] == row.values["bytes"]
        assert run.data.tags.get("infeasible") == row.infeasible
    parent = client.get_run(result.parent_run_id)
    assert parent.data.params["objectives"] == "minimize val/loss, minimize bytes"
    assert parent.data.params["constraints"] == "bytes <= 50 kB, binary_ops <= 1 M"
    assert result.best is not None
    best = next(row for row in result.rows if row.number == result.best.number)
    assert parent.data.metrics["best/bytes"] == best.values["bytes"]


def test_the_report_draws_the_front_and_names_its_points(searched: Path, result: Result, tmp_path: Path) -> None:
    shutil.copytree(searched, tmp_path / "s")
    uri = f"sqlite:///{searched / 'mlflow.db'}"
    tracked = TrackedSearch(uri, "s")
    assert tracked.front == {row.number for row in result.rows if row.front}
    page = report_search(
        uri, open_search(searched / "space.yaml", name="s", storage=str(searched / "results"), resume=True).folder
    )
    text = page.read_text(encoding="utf-8")
    assert 'id="figure-front"' in text and (page.parent / "figures" / "front.png").is_file()
    section = text.partition('<h2 id="front">')[2].partition("<h2")[0]
    assert section.count("<li>") == len(tracked.front) and "#3" not in section
    assert "bytes &lt;= 50 kB" in text and "<li>#3: bytes " in text


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        ("3", "is no trial of the front of s; there are #0"),
        ("kneee", "did you mean 'knee'?"),
        ("latency", "an objective (val/loss, bytes)"),
    ],
)
def test_what_cannot_be_picked_is_told(searched: Path, pick: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        finished_search(str(searched / "results"), "s", pick)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_point_of_the_front_is_trained_once_more(searched: Path, result: Result, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(searched, folder)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    found = finished_search(str(folder / "results"), "s", "bytes")
    smallest = min((row for row in result.rows if row.front), key=lambda row: row.values["bytes"])
    assert found.number == smallest.number == finished_search(str(folder / "results"), "s", f"#{smallest.number}").number
    assert found.picked and not finished_search(str(folder / "results"), "s", "val/loss").picked
    done = call("refit", "s", "--pick", "bytes", "--seeds", "1", "--tracking-uri", uri, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trial"] == smallest.number
    kept = folder / "results" / "s" / "refit" / f"trial-{smallest.number:04d}"
    assert find_trained(str(kept / "seed-0")).info.recipe["network"]["width"] == smallest.params["network.width"]
    parent = MlflowClient(uri).get_run(result.parent_run_id)
    assert f"refit/trial_{smallest.number}/test_top1" in parent.data.metrics and "refit/test_top1" not in parent.data.metrics


def test_none_feasible_is_one_line_and_no_best(tracking_database: Path, tmp_path: Path) -> None:
    prepare(tmp_path, tracking_database)
    result = searched_in(tmp_path, "constraints={val/top1: '>= 99.9 %'}", "trials=3")
    assert result.best is None and not any(row.front for row in result.rows) and not result.interrupted
    told = [line for line in printed(result).splitlines() if "no trial keeps to the constraints" in line]
    assert told == ["s: no trial keeps to the constraints (val/top1 >= 99.9 %), so none is chosen: 3 broke them"]
    assert "INFEASIBLE" in printed(result) and "\nchosen: " not in printed(result)
    assert not (tmp_path / "results" / "s" / "best.yaml").exists()
    for words in (("refit", "s"), ("refit", "s", "--pick", "knee")):
        done = call(*words, "--tracking-uri", f"sqlite:///{tmp_path / 'mlflow.db'}", cwd=tmp_path)
        assert done.returncode == 2 and "no trial of this search keeps to its constraints" in done.stderr
    with pytest.raises(UserError, match="no trial keeps to the constraints"):
        _ = SearchResult(result, "").best
    page = report_search(
        f"sqlite:///{tmp_path / 'mlflow.db'}",
        open_search(tmp_path / "space.yaml", overrides=["constraints={val/top1: '>= 99.9 %'}", "trials=3"], name="s",
                    storage=str(tmp_path / "results"), resume=True).folder,
    )  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert "No trial was trained to its end within the constraints." in text and 'id="best"' not in text


def test_one_objective_has_nothing_to_pick_from(tracking_database: Path, tmp_path: Path) -> None:
    prepare(tmp_path, tracking_database)
    (tmp_path / "space.yaml").write_text(SPACE.replace("objectives: [val/loss, bytes]\n", ""), encoding="utf-8")
    result = searched_in(tmp_path, "trials=2")
    assert result.best is not None and not result.several
    with pytest.raises(UserError, match="has one objective, whose best trial is"):
        finished_search(str(tmp_path / "results"), "s", "knee")
    assert "front" not in printed(result) and "bytes" in printed(result).splitlines()[0]


def test_binary_operations_are_the_published_count() -> None:
    """Bi-Real Net (arXiv 1808.00278), Table 3: 1.68e9 of its ResNet-18 at 224×224, whose stem, shortcuts and classifier are real."""
    network = NETWORKS["resnet18"](in_channels=3, num_classes=1000, image_size=224).eval()
    info = ModelInfo(
        recipe={}, classes=[str(k) for k in range(1000)], channels=3, image_size=224, mean=[0.0] * 3, std=[1.0] * 3
    )
    ops = OBJECTIVES["binary_ops"]()
    counted = ops.measure(MeasuredNetwork(network, info, b""))
    first = 4 * 64 * 64 * 9 * 56**2
    later = sum(width * (width // 2 + 3 * width) * 9 * side**2 for width, side in ((128, 28), (256, 14), (512, 7)))
    assert counted == first + later and round(counted / 1e9, 2) == 1.68
    for _, layer in binary_layers(network):
        layer.register_forward_pre_hook(
            lambda layer, inputs: (inputs[0] * torch.linspace(1, 2, inputs[0].shape[1]).view(1, -1, 1, 1),)
        )
    assert ops.measure(MeasuredNetwork(network, info, b"")) == 0, "activations that are real"


def test_a_measured_model_is_the_exported_one(searched: Path, result: Result) -> None:
    assert result.best is not None
    trained = find_trained(str(searched / "results" / "s"))
    weights, file = (OBJECTIVES["bytes"](of=of) for of in ("weights", "file"))
    recipe = Recipe.model_validate(trained.info.recipe)
    model = measured_network(Trainer(recipe))
    assert file.measure(model) == len(model.packed) > weights.measure(model)
    assert load_model(result.best.model).network is not None
