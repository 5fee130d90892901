"""A network is fed as it was trained, whatever became of its data since."""

from pathlib import Path

import numpy as np
import pytest

from rebnn_search.config import UserError
from rebnn_search.export import load_model
from rebnn_search.export.__main__ import main as export
from rebnn_search.predict import main as predict
from rebnn_search.train import main as train
from rebnn_search.training import CheckpointDirectory

RECIPE = """
data: {name: csv, path: t.csv, label: kind}
network: {name: mlp, width: 8, depth: 1}
optimizer: {name: adam, lr: 1e-2}
epochs: 2
batch_size: 32
"""


def write(path: Path, *, shift: float, towns: str, kinds: str) -> None:
    draw = np.random.default_rng(0)
    rows = [f"{draw.normal() + shift:.3f},{towns[row % 3]},{kinds[row % 2]}" for row in range(90)]
    path.write_text("\n".join(["x,town,kind", *rows]), encoding="utf-8")


def test_a_table_that_changed_since_makes_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    write(tmp_path / "t.csv", shift=0, towns="ABC", kinds="ab")
    (tmp_path / "asked.csv").write_bytes((tmp_path / "t.csv").read_bytes())
    assert train(["recipe.yaml", "--out", "run"]) == 0
    assert export(["run", "--format", "packed", "--out", "before"]) == 0
    write(tmp_path / "t.csv", shift=5, towns="DEF", kinds="cd")
    assert export(["run", "--format", "packed", "--out", "after"]) == 0
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()
    assert load_model("after").info.classes == ["a", "b"]
    capsys.readouterr()
    said = []
    for model in ("before", "after"):
        assert predict([model, "asked.csv"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and said[0].count("\n") == 90

    # One of an earlier version kept nothing of its data, which are then taken as they are.
    checkpoints = CheckpointDirectory(tmp_path / "run" / "checkpoints")
    found = checkpoints.latest("cpu")
    assert found is not None
    del found[1]["trainer"]["data"]
    checkpoints.save(found[0] + 1, found[1])
    assert export(["run", "--format", "packed", "--out", "old"]) == 0
    assert load_model("old").info.classes == ["c", "d"]

    found[1]["trainer"]["data"] = {"classes": ["a", "b"], "mean": [0.0], "std": [1.0], "more": 1}
    checkpoints.save(found[0] + 2, found[1])
    with pytest.raises(UserError, match="what it says of its data cannot be read"):
        export(["run", "--format", "packed", "--out", "bad"])
