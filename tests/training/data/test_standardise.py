"""Values that differ beyond float32's seven digits keep their differences, from the file to the network."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rebnn_search.config import UserError, parse, validate
from rebnn_search.export import LoadedModel, ModelInfo, describe, export_packed, load_model
from rebnn_search.export._header import Header
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.data import Csv, ResidentData, from_arrays
from rebnn_search.training.data.normalisation import channel_statistics

RNG = np.random.default_rng(0)
COUNT = 180
SECONDS = 1_700_000_000 + np.linspace(0, 60, COUNT)
NORTHINGS = 5_400_000 + RNG.permutation(COUNT) * 0.001
LABELS = np.where(np.arange(COUNT) >= COUNT // 2, "late", "early")
X = np.stack([SECONDS, NORTHINGS], axis=1)


def write(path: Path) -> Path:
    rows = [f"{s!r},{n!r},{y}" for s, n, y in zip(X[:, 0].tolist(), X[:, 1].tolist(), LABELS, strict=True)]
    path.write_text("\n".join(["seconds,northing,y", *rows]) + "\n", encoding="utf-8")
    return path


def inputs(data: ResidentData, split: Any) -> torch.Tensor:
    return torch.cat([images for images, _ in data.batches(split, batch_size=64)]).flatten(1)


def opened(kind: str, folder: Path) -> Any:
    if kind == "csv":
        return Csv(path=str(write(folder / "t.csv")), label="y").open()
    return from_arrays(X, LABELS) if kind == "arrays" else from_arrays(X, LABELS, validation=(X, LABELS), test=(X, LABELS))


@pytest.mark.parametrize("kind", ["csv", "arrays", "given splits"])
def test_no_value_is_lost_before_it_is_standardised(kind: str, tmp_path: Path) -> None:
    data = opened(kind, tmp_path)
    found = inputs(data, "train")
    assert found.dtype == torch.float32
    for column in range(2):
        assert len(found[:, column].unique()) == len(found)
    # As scikit-learn's StandardScaler does, in float64.
    raw = data.samples("train").images.flatten(1).numpy()
    expected = (raw - raw.mean(0)) / raw.std(0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)


class Largest(TorchDispatchMode):
    """The bytes of the largest tensor that an operation makes."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, (list, tuple)) else [made]:
            self.size = max(self.size, one.untyped_storage().nbytes())
        return made


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_statistics_take_no_copy_of_the_images(dtype: torch.dtype) -> None:
    images = torch.zeros(1, 3, 32, 32, dtype=dtype).expand(10_000, -1, -1, -1)
    with Largest() as largest:
        mean, std = channel_statistics(images)
    assert (mean.tolist(), std.tolist()) == ([0.0] * 3, [1.0] * 3)
    assert 0 < largest.size <= images.numel() / 3


def test_statistics_of_bytes_are_exact() -> None:
    images = RNG.integers(0, 256, (700, 2, 32, 32), dtype=np.uint8)  # more than are taken at a time
    images[:, 1] = 255
    images[0, 1, 0, 0] = 254
    mean, std = channel_statistics(torch.from_numpy(images))
    for channel in range(2):
        counts = np.bincount(images[:, channel].ravel(), minlength=256).tolist()
        n = sum(counts)
        first = Fraction(sum(value * count for value, count in enumerate(counts)), n)
        second = Fraction(sum(value**2 * count for value, count in enumerate(counts)), n)
        assert mean[channel] == torch.tensor(float(first), dtype=torch.float64).float()
        assert std[channel] == torch.tensor(math.sqrt(second - first**2), dtype=torch.float64).float()


def test_statistics_of_many_values_are_those_of_all_at_once() -> None:
    values = 1.7e9 + RNG.random((300, 2, 64, 64)) * np.linspace(1, 60, 300)[:, None, None, None]
    mean, std = channel_statistics(torch.from_numpy(values))
    np.testing.assert_allclose(mean.numpy(), values.mean((0, 2, 3)), rtol=1e-14)
    near = values - 1.7e9  # to the last bit, and with small rounding of its own
    np.testing.assert_allclose(std.numpy(), near.std((0, 2, 3)), rtol=1e-5)  # as torch's of all at once
    constant = torch.full((300, 1, 64, 64), 0.1)
    assert channel_statistics(constant)[1].tolist() == [1.0]


def test_bytes_are_standardised_as_ever() -> None:
    images = RNG.integers(0, 255, (60, 1, 8, 8), dtype=np.uint8)
    data: Any = from_arrays(images, np.arange(60) % 2)
    raw = data.samples("train").images
    assert data.mean.dtype == torch.float32
    assert torch.equal(inputs(data, "train"), ((raw.float() - data.mean) / data.std).flatten(1))


def test_what_is_constant_but_for_rounding_stays_constant() -> None:
    columns = np.stack([np.full(100, 0.1), np.full(100, 5_400_000.7), np.linspace(0, 1, 100)], axis=1)
    found = inputs(from_arrays(columns, np.arange(100) % 2), "train")  # type: ignore[arg-type]
    assert found[:, :2].abs().max() < 1e-6
    assert len(found[:, 2].unique()) == 60


def test_values_too_large_to_standardise_are_told() -> None:
    columns = np.stack([np.linspace(0, 1, 100), np.linspace(0, 1e200, 100)], axis=1)
    with pytest.raises(UserError, match=r"too large to standardise: their squares overflow, first in feature 1"):
        from_arrays(columns, np.arange(100) % 2)


RECIPE = """
data: {{name: csv, path: {path}, label: y}}
network: {{name: mlp, width: 16}}
epochs: 10
batch_size: 32
optimizer: {{name: adam, lr: 1e-2}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trainer, LoadedModel]:
    folder = tmp_path_factory.mktemp("seconds")
    path = write(folder / "t.csv")
    trainer = Trainer(validate(Recipe, parse(RECIPE.format(path=path), "recipe")), device="cpu")
    while not trainer.finished:
        trainer.next_report()
    trainer.network.eval()
    export_packed(trainer.network, describe(trainer.recipe, trainer.data), folder / "m.safetensors")
    return path, trainer, load_model(folder / "m.safetensors")


def test_seconds_within_a_minute_are_told_apart(trained: tuple[Path, Trainer, LoadedModel]) -> None:
    assert trained[1].evaluate("validation")["top1"] > 90


def test_predict_computes_as_the_evaluation(trained: tuple[Path, Trainer, LoadedModel]) -> None:
    path, trainer, model = trained
    data: Any = trainer.data
    evaluated = {}
    with torch.no_grad():
        for split in ("train", "validation", "test"):
            images, labels = next(iter(data.batches(split, batch_size=COUNT)))
            raw, outputs = data.samples(split).images.flatten(1), trainer.network(images).softmax(1)
            for row, label, output in zip(raw.tolist(), labels.tolist(), outputs, strict=True):
                evaluated[label, *row] = output
    by_file = [row for _, row in model.predict_files([path])]
    assert len(by_file) == COUNT
    by_array = model.predict_proba(X)
    for row, label, from_file, from_array in zip(X.tolist(), LABELS, by_file, by_array, strict=True):
        expected = evaluated[(data.classes.index(label), *row)]
        # Batches of other sizes may add in another order.
        torch.testing.assert_close(torch.from_numpy(from_file), expected, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(from_file, from_array)


def test_a_model_file_keeps_the_statistics_exactly(trained: tuple[Path, Trainer, LoadedModel]) -> None:
    _, trainer, model = trained
    assert model.info.mean == trainer.data.mean.flatten().tolist()
    assert model.info.std == trainer.data.std.flatten().tolist()
    raw = torch.from_numpy(X)[:, :, None, None]
    assert model.info.normalised(raw).dtype == torch.float32
    assert len(model.info.normalised(raw)[:, 0].unique()) == COUNT


def test_a_value_far_beyond_the_training_data_s_is_refused(trained: tuple[Path, Trainer, LoadedModel]) -> None:
    with pytest.raises(UserError, match="too far from those that the network was trained on"):
        trained[2].predict_proba(np.array([[1e300, 0.0]]))


def test_an_earlier_header_reads_as_it_was_written() -> None:
    old = {
        "recipe": {"network": {"name": "mlp"}}, "classes": ["a", "b"], "channels": 1, "image_size": 1, "mean": [0.5], "std": [2.0],
        "white": None,
    }  # fmt: skip
    info = ModelInfo.model_validate(old)
    assert info.model_dump() == old  # the checksum is of this
    assert '"table"' not in Header(info, {}).seal("")
    assert info.normalised(torch.ones(1, 1, 1, 1)).item() == 0.25
