"""The two commands, called as a user calls them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from support.forked import forked

from rebnn_search.config import UserError, parse, validate
from rebnn_search.export import describe, export_packed, load_model
from rebnn_search.export.__main__ import main as export
from rebnn_search.export._inputs import read_pictures
from rebnn_search.predict import main as predict
from rebnn_search.training import Recipe
from rebnn_search.training.data import Data


def call(command: str, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"rebnn_search.{command}", *map(str, words)], capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The first digits as image files whose levels are those of the data set to the nearest of 256."""
    folder = tmp_path_factory.mktemp("digits")
    files = []
    for index, image in enumerate(load_digits().images[:20]):
        files.append(folder / f"{index:02d}.png")
        Image.fromarray((image * 255 / 16).round().astype(np.uint8)).save(files[-1])
    return files


def test_export_then_predict(run: Path, digits: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    done = call("export", run, "--format", "packed")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["layer", "shape", "float32", "bytes", "packed", "bytes", "ratio"]
    assert next(line for line in lines if "units.0.conv" in line).split() == [
        "units.0.conv",
        "16×16×3×3",
        "9,216",
        "352",
        "26.2",
    ]
    assert next(line for line in lines if "all binary" in line).split()[-3:] == ["101,376", "3,616", "28.0"]
    size = (run / "packed.safetensors").stat().st_size
    assert lines[-1] == f"{run / 'packed.safetensors'}: {size:,} bytes"

    done = call("predict", run / "packed.safetensors", *digits)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [str(file) for file in digits]
    model = load_model(run / "packed.safetensors")
    raw = read_pictures(digits, model.info)
    levels = load_digits().images[:20]
    assert float(np.abs(raw[:, 0].numpy() - levels).max()) < 0.04  # in the data set's units, to the nearest of 256 levels
    expected = model.predict_proba(raw)
    assert [row[1] for row in rows] == [str(label) for label in expected.argmax(1)]
    assert [float(row[2]) for row in rows] == pytest.approx(expected.max(1).tolist(), abs=1e-3)

    assert export([str(run), "--format", "torch"]) == 0
    capsys.readouterr()
    assert export([str(run), "--format", "onnx"]) == 0
    said = capsys.readouterr()
    assert said.err == ""  # nothing of torch's own chatter
    assert said.out == f"{run / 'model.onnx'}: {(run / 'model.onnx').stat().st_size:,} bytes\n"
    for name in ("model.pt", "model.onnx"):
        assert predict([str(run / name), *map(str, digits)]) == 0
        labels = load_model(run / name).predict_proba(raw).argmax(1)
        wanted = [[str(file), str(label)] for file, label in zip(digits, labels, strict=True)]
        assert [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()] == wanted


def test_json_top_and_arrays(run: Path, digits: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export([str(run), "--format", "packed", "--out", str(tmp_path / "m")])
    capsys.readouterr()
    images = load_digits().images[:3]
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "b.npz", X=images[:, None].astype(np.uint8), y=np.arange(3))
    np.savez(tmp_path / "c.npz", only=images)
    files = [digits[4], tmp_path / "a.npy", digits[5], digits[6], tmp_path / "b.npz", tmp_path / "c.npz"]
    assert predict([str(tmp_path / "m"), *map(str, files), "--json", "--top", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["path"] for row in found] == [
        str(digits[4]), *(f"{tmp_path / 'a.npy'}[{i}]" for i in range(3)), str(digits[5]), str(digits[6]),
        *(f"{tmp_path / name}[{i}]" for name in ("b.npz", "c.npz") for i in range(3)),
    ]  # fmt: skip
    expected = load_model(tmp_path / "m").predict_proba(images)
    for row, probabilities in zip(found[1:4], expected, strict=True):
        assert [likely["probability"] for likely in row["top"]] == sorted(map(float, probabilities), reverse=True)[:3]
        assert row["class"] == row["top"][0]["class"] == str(probabilities.argmax())
        assert row["probability"] == row["top"][0]["probability"]
    for other in (found[6:9], found[9:12]):
        assert [row["top"] for row in other] == [row["top"] for row in found[1:4]]
    assert predict([str(tmp_path / "m"), str(digits[4]), "--top", "99"]) == 0
    assert len(capsys.readouterr().out.split("\t")) == 1 + 2 * 10


def test_files_are_read_as_the_validation_split(tmp_path: Path) -> None:
    """Odd sizes, grey files among colour ones and transparent ones: the images that training validates on, to the bit."""
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for index, (mode, height, width) in enumerate([("RGB", 9, 14), ("L", 20, 8), ("RGBA", 8, 8), ("P", 31, 17)] * 5):
            depth = {"RGB": 3, "RGBA": 4}.get(mode, 1)
            pixels = generator.integers(0, 256, (height, width, depth), dtype=np.uint8).squeeze()
            Image.fromarray(pixels, None if mode == "P" else mode).convert(mode).save(folder / f"{index:02d}.png")
    for grey in ("false", "true"):
        text = f"data: {{name: image_folder, root: {tmp_path / 'data'}, image_size: 8, grayscale: {grey}, validation: 0.3}}\n"
        recipe = validate(Recipe, parse(text + "network: {name: digits_resnet, width: 4}\nepochs: 1", "recipe"))
        data: Data = recipe.data.build().open()
        info = describe(recipe, data)
        ((images, _),) = data.batches("validation", batch_size=100)
        assert len(images) == 12
        found = info.normalised(read_pictures(sorted((tmp_path / "data").rglob("*.png")), info))
        assert {tuple(image.flatten().tolist()) for image in images} <= {tuple(image.flatten().tolist()) for image in found}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{run}/packed.safetensors", "{tmp}/text.png"], r"text\.png: is damaged or no image"),
        (["{run}/packed.safetensors", "{tmp}/absent.png"], r"absent\.png: no such file"),
        (["{run}/packed.safetensors", "{tmp}"], "cannot be read: Is a directory"),
        (["{run}/packed.safetensors", "{tmp}/absent.npy"], r"absent\.npy: no such file"),
        (["{run}/packed.safetensors", "{tmp}/text.npz"], r"text\.npz: is damaged, or no file of plain arrays"),
        (["{run}/packed.safetensors", "{tmp}/colour.npy"], r"colour\.npy: has shape \(2, 3, 8, 8\), the model reads"),
        (["{run}/packed.safetensors", "{tmp}/two.npz"], r"two\.npz: has no array 'X'; it holds a, b"),
        (["{run}/packed.safetensors", "{tmp}/objects.npy"], r"objects\.npy: is damaged, or no file of plain arrays"),
        (["{run}/packed.safetensors", "a.png", "--top", "0"], "--top 0: at least one class is named"),
        (["{run}/recipe.yaml", "a.png"], r"recipe\.yaml: is damaged, or no model"),
        (["{tmp}/table", "{tmp}/text.png"], r"text\.png: the model was trained on rows of 64 features, not on image files"),
    ],
)
def test_a_mistake_of_predict_is_one_message(run: Path, tmp_path: Path, words: list[str], message: str, made: object) -> None:
    if not (run / "packed.safetensors").exists():
        export([str(run), "--format", "packed"])
    for name in ("text.png", "text.npz"):
        (tmp_path / name).write_text("no image")
    np.save(tmp_path / "colour.npy", np.zeros((2, 3, 8, 8)))
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    export_packed(*made("mlp", "sign"), tmp_path / "table")  # type: ignore[operator]
    with pytest.raises(UserError, match=message):
        predict([word.replace("{run}", str(run)).replace("{tmp}", str(tmp_path)) for word in words])


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("export", ["absent", "--format", "packed"], "error: absent: no such file, folder or MLflow run\n"),
        (
            "export",
            ["{run}", "--format", "packed", "--out", "{run}/no/m"],
            "error: --out {run}/no/m: there is no folder {run}/no\n",
        ),
        ("predict", ["absent", "a.png"], "error: absent: no such file\n"),
    ],
)
def test_a_mistake_leaves_with_2_and_no_traceback(run: Path, command: str, words: list[str], message: str) -> None:
    done = forked(command, *(word.replace("{run}", str(run)) for word in words), cwd=run)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message.replace("{run}", str(run)))


def test_out_needs_its_folder(run: Path) -> None:
    with pytest.raises(UserError, match=r"--out .*/no/m: there is no folder .*/no$"):
        export([str(run), "--format", "packed", "--out", str(run / "no" / "m")])
