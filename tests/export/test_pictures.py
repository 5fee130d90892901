"""Picture files are scaled and cropped for a model as for its validation, and damaged ones left out where that is asked for."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from support.forked import forked

from rebnn_search.config import Notice, UserError, parse, validate
from rebnn_search.export import ModelInfo, describe, export_packed, load_model
from rebnn_search.export._header import KEY
from rebnn_search.predict import main as predict
from rebnn_search.training import Recipe
from rebnn_search.training.data import Data

FIRST_VERSION = {"recipe", "classes", "channels", "image_size", "mean", "std", "white"}
"""What the header said of a model before there was a choice of crops."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for index in range(10):
            pixels = generator.integers(0, 256, (14 + index, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def written(folder: Path, out: Path, augment: str, **options: float) -> tuple[Data, torch.Tensor, list[str]]:
    """A model of a network as it is born; its data, and the logits and files of its test split."""
    more = "".join(f", {name}: {value}" for name, value in options.items())
    data_text = f"{{name: image_folder, root: {folder}, image_size: 8, validation: 0.2, test: 0.5, augment: {augment}{more}}}"
    recipe = validate(Recipe, parse(f"data: {data_text}\nnetwork: {{name: digits_resnet, width: 4}}\nepochs: 1", "recipe"))
    data: Data = recipe.data.build().open()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = recipe.network.build(in_channels=3, num_classes=2, image_size=8, weights="rebnn").eval()
    export_packed(network, describe(recipe, data), out)
    ((images, _),) = data.batches("test", batch_size=100)
    files = recipe.data.build()._list()[1]["test"].files
    with torch.no_grad():
        return data, network(images).softmax(1), [str(file) for file in files]


def info_in(path: Path) -> dict[str, object]:
    with safe_open(path, "pt") as file:
        found: dict[str, object] = json.loads(file.metadata()[KEY])["model"]
        return found


@pytest.mark.parametrize(
    ("augment", "options", "crop_pct"), [("imagenet", {}, 7 / 8), ("none", {"crop_pct": 0.5}, 0.5), ("crop_flip", {}, 1.0)]
)
def test_a_file_is_predicted_as_it_was_evaluated(
    folder: Path, tmp_path: Path, augment: str, options: dict[str, float], crop_pct: float
) -> None:
    data, expected, files = written(folder, tmp_path / "m", augment, **options)
    model = load_model(tmp_path / "m")
    assert model.info.crop_pct == data.crop_pct == crop_pct
    found = np.stack([row for _, row in model.predict_files(map(Path, files))])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_pictures_divided_by_255_are_asked_about(folder: Path, tmp_path: Path) -> None:
    written(folder, tmp_path / "m", "none")
    model = load_model(tmp_path / "m")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    with pytest.warns(Notice, match="has no value above 1, and the model was trained on bytes"):
        model.logits(pictures / 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.logits(pictures)
        model.logits(pictures.astype(float))


def test_a_header_without_a_choice_is_that_of_the_first_version(folder: Path, tmp_path: Path) -> None:
    written(folder, tmp_path / "m", "none")
    assert info_in(tmp_path / "m").keys() == FIRST_VERSION
    old = ModelInfo.model_validate(info_in(tmp_path / "m"))
    assert old.crop_pct == 1.0
    written(folder, tmp_path / "n", "imagenet")
    assert info_in(tmp_path / "n").keys() == {*FIRST_VERSION, "crop_pct"}


def test_damaged_files_are_left_out_of_predictions_and_named(folder: Path, tmp_path: Path) -> None:
    _, _, files = written(folder, tmp_path / "m", "none")
    torn = tmp_path / "torn.png"
    torn.write_bytes(Path(files[0]).read_bytes()[:70])
    words = [str(tmp_path / "m"), files[0], str(torn), files[1]]
    with pytest.raises(UserError, match=r"torn\.png: is damaged or no image: .*; --skip-damaged leaves such files out$"):
        predict(words)
    with pytest.warns(Notice, match=r"^left out 1 of 3 pictures, damaged or no images: .*torn\.png$"):
        assert predict([*words, "--skip-damaged"]) == 0
    done = forked("predict", *words, "--skip-damaged", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["path"] for row in json.loads(done.stdout)] == files[:2]
    assert done.stderr == f"notice: left out 1 of 3 pictures, damaged or no images: {torn}\n"
    with pytest.raises(UserError, match=r"^left out 1 of 1 pictures, damaged or no images: .*torn\.png$"):
        predict([str(tmp_path / "m"), str(torn), "--skip-damaged"])
    with pytest.raises(UserError, match=r"gone\.png: no such file$"):
        predict([str(tmp_path / "m"), str(tmp_path / "gone.png"), "--skip-damaged"])
