"""A model asked with the raw file answers as training's evaluation did, to the bit."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from rebnn_search.config import Notice, UserError, parse, validate
from rebnn_search.export import LoadedModel, describe, export_onnx, export_packed, export_torch, load_model
from rebnn_search.refit.pyfunc import PyfuncModel
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.data._arrays import classes_of, drawn_splits
from tests.tables.conftest import HEADER, as_text

RECIPE = """
data: {{name: csv, path: {path}, label: kind}}
network: {{name: mlp, width: 32}}
epochs: 20
reports_per_epoch: 1
batch_size: 32
optimizer: {{name: adam, lr: 1e-2}}
"""


@pytest.fixture(scope="module")
def trainer(mixed_file: Path) -> Trainer:
    found = Trainer(validate(Recipe, parse(RECIPE.format(path=mixed_file), "recipe")), device="cpu")
    while not found.finished:
        found.next_report()
    found.network.eval()
    return found


@pytest.fixture(scope="module")
def model(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    export_packed(trainer.network, describe(trainer.recipe, trainer.data), path)
    return load_model(path)


@pytest.fixture(scope="module")
def test_rows(mixed: list[list[str]]) -> list[list[str]]:
    classes, targets = classes_of(np.array([row[-1] for row in mixed]), len(mixed), "t")
    rows = drawn_splits(targets, {"test": 0.2, "validation": 0.2}, 0, classes, "t")["test"]
    return [mixed[row] for row in rows.tolist()]


@pytest.fixture(scope="module")
def evaluated(trainer: Trainer) -> np.ndarray[Any, Any]:
    (images, _), *_ = trainer.data.batches("test", batch_size=512)
    with torch.no_grad():
        found: np.ndarray[Any, Any] = trainer.network(images).softmax(1).numpy()
    return found


def predicted(model: LoadedModel, path: Path) -> np.ndarray[Any, Any]:
    return np.stack([row for _, row in model.predict_files([path])])


def test_it_learned_from_words_and_numbers(trainer: Trainer) -> None:
    majority = float(torch.bincount(trainer.data.labels("test")).max()) / trainer.data.size("test")
    assert trainer.evaluate("test")["top1"] > 100 * majority + 20


def test_the_raw_file_gives_the_evaluation_s_probabilities(
    model: LoadedModel, test_rows: list[list[str]], evaluated: Any, tmp_path: Path
) -> None:
    (tmp_path / "test.csv").write_text(as_text(test_rows), encoding="utf-8")
    np.testing.assert_array_equal(predicted(model, tmp_path / "test.csv"), evaluated)


def test_in_another_file_the_same_rows_give_the_same(
    model: LoadedModel, test_rows: list[list[str]], evaluated: Any, tmp_path: Path
) -> None:
    """Columns in another order, without labels and identifiers, in another encoding and separator; and typed, in Parquet."""
    frame = pd.DataFrame(test_rows, columns=HEADER).drop(columns=["kind", "id", "name"])[sorted(set(HEADER[2:-1]))]
    frame.to_csv(tmp_path / "t.csv.gz", index=False, sep=";", encoding="utf-16")
    np.testing.assert_array_equal(predicted(model, tmp_path / "t.csv.gz"), evaluated)
    typed = frame.assign(
        age=pd.to_numeric(frame["age"]), fare=pd.to_numeric(frame["fare"]), joined=pd.to_datetime(frame["joined"]),
        member=frame["member"] == "yes", town=frame["town"].astype("category"),
    )  # fmt: skip
    typed.to_parquet(tmp_path / "t.parquet")
    np.testing.assert_array_equal(predicted(model, tmp_path / "t.parquet"), evaluated)
    for given in (typed, typed[typed.columns[::-1]].reset_index(drop=True), frame):
        np.testing.assert_array_equal(model.predict_frame(given), evaluated)
        np.testing.assert_array_equal(PyfuncModel(model).predict(given), evaluated)
        np.testing.assert_array_equal(model.predict_proba(given), evaluated)
    with pytest.raises(UserError, match="the frame: has no column 'age'"):
        model.predict_frame(typed.drop(columns="age"))
    with pytest.raises(UserError, match=r"must be a DataFrame, not Series: of one row, frame\.iloc"):
        model.predict_frame(frame.iloc[0])
    with pytest.raises(UserError, match="must hold numbers, not object; a table's rows it reads as a DataFrame"):
        model.predict_proba(frame.to_numpy(dtype=object))


def test_a_category_that_is_written_in_another_way_is_told(
    model: LoadedModel, test_rows: list[list[str]], evaluated: Any
) -> None:
    frame = pd.DataFrame(test_rows, columns=HEADER)
    with pytest.warns(Notice, match="the frame: column 'sex': no value of it, as '.*', is one that training had often: '"):
        model.predict_frame(frame.assign(sex=frame["sex"].str.upper()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict_frame(frame)


@pytest.mark.parametrize("export", [export_torch, export_onnx])
def test_the_other_formats_keep_the_preprocessing(
    trainer: Trainer, export: Any, test_rows: list[list[str]], evaluated: Any, tmp_path: Path
) -> None:
    export(trainer.network, describe(trainer.recipe, trainer.data), tmp_path / "m")
    (tmp_path / "test.csv").write_text(as_text(test_rows), encoding="utf-8")
    found = predicted(load_model(tmp_path / "m"), tmp_path / "test.csv")
    # Another runtime may add in another order, which can turn a sign: most rows, not all.
    assert (np.abs(found - evaluated).max(1) < 1e-4).mean() > 0.9


def test_what_training_had_not_is_another_or_missing(model: LoadedModel, test_rows: list[list[str]], tmp_path: Path) -> None:
    row = dict(zip(HEADER, test_rows[0], strict=True))
    unknown, rare, gaps = ({**row, "town": "Atlantis"}, {**row, "town": "village 1"}, dict.fromkeys(HEADER, ""))
    rows = [list(found.values()) for found in (unknown, rare, gaps)]
    (tmp_path / "t.csv").write_text(as_text(rows), encoding="utf-8")
    found = predicted(model, tmp_path / "t.csv")
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[0], found[1])


def test_a_column_that_is_not_there_or_of_another_kind_is_told(
    model: LoadedModel, test_rows: list[list[str]], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(as_text(test_rows).replace("fare", "price", 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"t\.csv: has no column 'fare'; it has id, name, sex"):
        predicted(model, path)
    path.write_text(as_text([[*row[:4], "cheap", *row[5:]] for row in test_rows]), encoding="utf-8")
    with pytest.raises(UserError, match=r"t\.csv:2: column 'fare': 'cheap' is no number with a decimal point, on which"):
        predicted(model, path)


def test_a_section_of_another_width_is_refused(trainer: Trainer) -> None:
    info = describe(trainer.recipe, trainer.data)
    plain = info.model_dump()
    del plain["table"]["columns"][0]
    with pytest.raises(ValueError, match=r"makes \d+ features, the network reads \d+"):
        type(info).model_validate(plain)


def test_a_model_without_the_section_reads_plain_numbers_as_ever(tmp_path: Path) -> None:
    lines = [f"{row * 37 % 61 / 4},{row % 7},{'ab'[row % 2]}" for row in range(60)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["x,z,kind", *lines]), encoding="utf-8")
    trainer = Trainer(
        validate(Recipe, parse(RECIPE.format(path=path).replace("epochs: 20", "epochs: 1"), "recipe")), device="cpu"
    )
    trainer.next_report()
    info = describe(trainer.recipe, trainer.data)
    export_packed(trainer.network, info, tmp_path / "new")
    export_packed(trainer.network, info.model_copy(update={"table": None}), tmp_path / "old")
    old = load_model(tmp_path / "old")
    assert old.info.table is None
    np.testing.assert_array_equal(predicted(old, path), predicted(load_model(tmp_path / "new"), path))
    path.write_text("z,x\n1,2\n3,\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"t\.csv:3: column 'x': '' is no finite number"):
        predicted(old, path)


def test_a_model_of_one_column_reads_a_table_of_one(tmp_path: Path) -> None:
    lines = [f"{index % 2 + 0.01 * index:g},{'ab'[index % 2]}" for index in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["length,kind", *lines]))
    found = Trainer(validate(Recipe, parse(RECIPE.format(path=tmp_path / "t.csv"), "recipe")), device="cpu")
    found.next_report()
    export_packed(found.network.eval(), describe(found.recipe, found.data), tmp_path / "m")
    (tmp_path / "new.csv").write_text("length\n0.1\n1.1\n")
    assert predicted(load_model(tmp_path / "m"), tmp_path / "new.csv").shape == (2, 2)
    (tmp_path / "alone.csv").write_text("kind\na\nb\na\nb\n")
    with pytest.raises(UserError, match=r"alone\.csv: has the column 'kind' of labels alone"):
        validate(Recipe, parse(RECIPE.format(path=tmp_path / "alone.csv"), "recipe")).data.build().open()
