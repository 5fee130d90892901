"""A temperature in a model file: what it changes, and what it leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from rebnn_search.export import FORMATS, ModelInfo, export_packed, find_trained, load_model
from rebnn_search.predict import main as predict
from rebnn_search.refit.pyfunc import _load_pyfunc

Made = Callable[[str, str], tuple[torch.nn.Module, ModelInfo]]
Draw = Callable[[ModelInfo, int], torch.Tensor]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_divides_the_logits_by_it(tmp_path: Path, made: Made, images: Draw, form: str) -> None:
    network, info = made("mlp", "rebnn")
    raw = images(info, 40)
    found = {}
    for temperature in (1.0, 2.5):
        path = tmp_path / f"{temperature}"
        FORMATS[form]().write(network, info.model_copy(update={"temperature": temperature}), path)
        model = load_model(path)
        assert model.info.temperature == temperature
        expected = (model.logits(raw).double() / temperature).softmax(1).numpy()
        found[temperature] = model.predict_proba(raw)
        np.testing.assert_allclose(found[temperature], expected, rtol=1e-4, atol=1e-6)
    assert np.array_equal(found[1.0].argmax(1), found[2.5].argmax(1))
    assert (found[2.5].max(1) < found[1.0].max(1)).all()


def test_it_goes_along_to_mlflow_s_flavour_another_format_and_the_command(
    tmp_path: Path, made: Made, images: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    network, info = made("mlp", "rebnn")
    raw = images(info, 3).flatten(1).numpy()
    export_packed(network, info.model_copy(update={"temperature": 3.0}), tmp_path / "m.safetensors")
    expected = load_model(tmp_path / "m.safetensors").predict_proba(raw)
    assert np.array_equal(_load_pyfunc(str(tmp_path / "m.safetensors")).predict(raw), expected)
    again = find_trained(str(tmp_path / "m.safetensors"))
    FORMATS["torch"]().write(again.network, again.info, tmp_path / "m.pt")
    assert np.array_equal(load_model(tmp_path / "m.pt").predict_proba(raw), expected)
    np.save(tmp_path / "x.npy", raw)
    capsys.readouterr()
    predict(["--json", str(tmp_path / "m.safetensors"), str(tmp_path / "x.npy")])
    printed = [row["probability"] for row in json.loads(capsys.readouterr().out)]
    assert printed == [float(row.max()) for row in expected]


def test_a_file_without_one_is_as_before(tmp_path: Path, made: Made) -> None:
    network, info = made("mlp", "rebnn")
    export_packed(network, info, tmp_path / "m")
    with safe_open(tmp_path / "m", "pt") as file:
        header = json.loads(file.metadata()["rebnn_search"])["model"]
    assert "temperature" not in header
    assert ModelInfo.model_validate(header).temperature == 1.0


def test_large_logits_stay_numbers(tmp_path: Path, made: Made, images: Draw) -> None:
    network, info = made("mlp", "rebnn")
    with torch.no_grad():
        list(network.parameters())[-2].mul_(1e30)
    export_packed(network, info.model_copy(update={"temperature": 0.01}), tmp_path / "m")
    found = load_model(tmp_path / "m").predict_proba(images(info, 5))
    assert np.isfinite(found).all()
