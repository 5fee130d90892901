"""`rebnn_search.auto` beside logistic regression and the majority guess, on scikit-learn's digits and breast-cancer data.

    python benchmarks/auto.py --time 3m

Writes the digits as PNG files in class folders and the breast-cancer data as a CSV file, runs auto on each as a user would,
classifies the test split with `rebnn_search.predict` and the exported model, and fits scikit-learn's LogisticRegression
(standardised features) on the same training and validation samples.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rebnn_search.training import load_recipe
from rebnn_search.training.data import ResidentData


def write_digits(folder: Path) -> Path:
    """Write the digits as grey PNG files in class folders."""
    bunch, root = load_digits(), folder / "digits"
    for index, (image, target) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        (root / str(target)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255 / 16).round().astype(np.uint8)).save(root / str(target) / f"{index:04d}.png")
    return root


def write_breast_cancer(folder: Path) -> Path:
    """Write the breast-cancer data as a CSV file."""
    bunch, path = load_breast_cancer(), folder / "breast_cancer.csv"
    rows = [[*map(float, row), bunch.target_names[label]] for row, label in zip(bunch.data, bunch.target, strict=True)]
    write_csv(path, [*bunch.feature_names, "diagnosis"], rows)
    return path


def write_csv(path: Path, names: list[str], rows: list[list[Any]]) -> None:
    """Write a header and rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])


def command(folder: Path, *words: str) -> str:
    """Run a command of the program; return what it printed."""
    return subprocess.run([sys.executable, "-m", *words], cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout


def split(data: ResidentData, *names: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) and labels (n,) of some splits, one after another."""
    parts = [data.samples(name) for name in names]  # type: ignore[arg-type]
    images = np.concatenate([part.images.flatten(1).numpy() for part in parts])
    return images, np.concatenate([part.labels.numpy() for part in parts])


def test_files(folder: Path, data: ResidentData, recipe: Any) -> list[str]:
    """The test split as files that predict reads, in its order."""
    if recipe.data.name == "image_folder":
        return [str(path) for path in recipe.data.build()._list()[1]["test"].files]
    path = folder / "test.csv"
    write_csv(path, list(recipe.data["features"]), split(data, "test")[0].tolist())
    return [str(path)]


def measure(folder: Path, write: Callable[[Path], Path], limit: str, *options: str) -> dict[str, Any]:
    """Run auto on what a function writes, and compare."""
    source = write(folder)
    begun = time.monotonic()
    print(command(folder, "rebnn_search.auto", str(source), "--time", limit, "--out", f"out-{source.stem}", *options))
    seconds = time.monotonic() - begun
    out = folder / f"out-{source.stem}"
    result = json.loads((out / "auto.json").read_text(encoding="utf-8"))
    recipe = load_recipe(out / "recipe.yaml")
    data = recipe.data.build().open()
    known, labels = split(data, "train", "validation")
    unknown, truth = split(data, "test")
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(known, labels)
    predicted = json.loads(
        command(folder, "rebnn_search.predict", "--json", str(out / "model.safetensors"), *test_files(folder, data, recipe))
    )
    hits = [found["class"] == data.classes[label] for found, label in zip(predicted, truth, strict=True)]
    return {
        "data": source.name, "seconds": round(seconds, 1), "trials": result["trials"], "seeds": result["seeds"],
        "auto": round(result["test_top1"], 2), "±": result["half_width"] and round(result["half_width"], 2),
        "predict, median seed": round(100 * float(np.mean(hits)), 2), "of": len(hits),
        "majority": round(result["majority"], 2), "logistic regression": round(100 * fitted.score(unknown, truth), 2),
        "bytes": (out / "model.safetensors").stat().st_size,
    }  # fmt: skip


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", default="3m", help="for each of the two (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for row in (
            measure(folder, write_digits, args.time),
            measure(folder, write_breast_cancer, args.time, "--label", "diagnosis"),
        ):
            print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
