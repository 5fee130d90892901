"""A model file that is none, or no longer what was written, is one message that names it."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from rebnn_search.config import UserError
from rebnn_search.export import ModelInfo, _header, export_onnx, export_packed, export_torch, load_model
from rebnn_search.export.formats import _onnx

EXPORTS: dict[str, Callable[[nn.Module, ModelInfo, Path], Any]] = {
    "packed": export_packed, "torch": export_torch, "onnx": export_onnx,
}  # fmt: skip


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory, made: Callable[[str, str], tuple[nn.Module, ModelInfo]]
) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("models")
    for name, export in EXPORTS.items():
        export(*made("mlp", "rebnn"), folder / name)
    return {name: (folder / name).read_bytes() for name in EXPORTS}


@pytest.mark.parametrize("name", EXPORTS)
def test_cut_short(tmp_path: Path, name: str, files: dict[str, bytes]) -> None:
    path, content = tmp_path / "model", files[name]
    for length in (0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=str(path)):
            load_model(path)


@pytest.mark.parametrize("name", EXPORTS)
def test_altered(tmp_path: Path, name: str, files: dict[str, bytes]) -> None:
    """One flipped bit, in places spread over the file, changes no logit unnoticed."""
    path, content = tmp_path / "model", files[name]
    path.write_bytes(content)
    raw = np.linspace(-1, 1, 128).reshape(2, 64)
    expected = load_model(path)
    noticed = 0
    places = np.random.default_rng(0).integers(0, len(content), 60)
    for place in (*places.tolist(), len(content) // 2):
        altered = bytearray(content)
        altered[place] ^= 1
        path.write_bytes(altered)
        try:
            model = load_model(path)
        except UserError as error:
            assert str(path) in str(error)
            noticed += 1
        else:  # bytes that say nothing: a zip's own bookkeeping, the last digit of a number in JSON
            assert np.array_equal(model.predict_proba(raw), expected.predict_proba(raw))
            assert model.info == expected.info
    assert noticed >= (40 if name == "torch" else 58)


def test_a_packed_tensor_altered_is_a_checksum(tmp_path: Path, files: dict[str, bytes]) -> None:
    altered = bytearray(files["packed"])
    altered[-1] ^= 0x80
    (tmp_path / "m").write_bytes(altered)
    with pytest.raises(UserError, match="m: is damaged: its checksum does not match"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("name", EXPORTS)
def test_another_version(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, made: Callable[[str, str], tuple[nn.Module, ModelInfo]]
) -> None:
    monkeypatch.setattr(_header, "VERSION", 2)
    EXPORTS[name](*made("mlp", "sign"), tmp_path / "m")
    monkeypatch.undo()
    with pytest.raises(UserError, match="m: has format version 2, this program reads version 1"):
        load_model(tmp_path / "m")


def test_what_is_no_model(tmp_path: Path, run: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "text").write_text("hello, this is no model at all")
    (tmp_path / "pickle").write_bytes(pickle.dumps(Evil()))
    save_file({"a": np.zeros(3)}, tmp_path / "foreign.safetensors")
    torch.save({"a": torch.zeros(3)}, tmp_path / "foreign.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save(Evil(), tmp_path / "evil.pt")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("a", "b")
    wanted = {
        "text": "no model", "pickle": "no model", "foreign.safetensors": "is no model that rebnn_search exported",
        "foreign.pt": "is no model that rebnn_search exported", "list.pt": "is no model that rebnn_search exported",
        "evil.pt": "no file of plain tensors", "zip": "no file of plain tensors", "absent": "no such file", ".": "is a folder",
    }  # fmt: skip
    for name, message in wanted.items():
        with pytest.raises(UserError, match=message) as caught:
            load_model(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    assert not (tmp_path / "ran").exists()
    checkpoint = next((run / "checkpoints").glob("*.pt"))
    with pytest.raises(UserError, match=r"is a checkpoint of a training, no model: python -m rebnn_search\.export"):
        load_model(checkpoint)


def test_a_network_that_is_not_here(tmp_path: Path, made: Callable[[str, str], tuple[nn.Module, ModelInfo]]) -> None:
    network, info = made("mlp", "sign")
    for recipe, message in (
        ({"network": {"name": "mlpp"}}, "m: network.name = 'mlpp': no such network; did you mean 'mlp'"),
        ({}, "m: network: required key is missing"),
        ({"network": {"name": "mlp", "width": 64}}, "m: does not fit the network of its recipe, mlp"),
        ({"network": {"name": "mlp", "width": 0}}, "m: network mlp: width must be at least 1 and depth within 1 and 1000"),
    ):
        export_packed(network, info.model_copy(update={"recipe": recipe}), tmp_path / "m")
        with pytest.raises(UserError, match=message):
            load_model(tmp_path / "m")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages_are_named(
    tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes],
    made: Callable[[str, str], tuple[nn.Module, ModelInfo]],
) -> None:  # fmt: skip
    real = _onnx.importlib.import_module

    def without(name: str) -> Any:
        if name == package:
            raise ModuleNotFoundError(name)
        return real(name)

    monkeypatch.setattr(_onnx.importlib, "import_module", without)
    (tmp_path / "m.onnx").write_bytes(files["onnx"])
    with pytest.raises(UserError, match=rf"needs the package {package}: pip install 'rebnn-search\[export\]'"):
        if package == "onnxruntime":
            load_model(tmp_path / "m.onnx")
        else:
            export_onnx(*made("mlp", "sign"), tmp_path / "n.onnx")


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[str, str], tuple[nn.Module, ModelInfo]]
) -> None:
    export_packed(*made("mlp", "sign"), tmp_path / "m")
    before = (tmp_path / "m").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="m: cannot be written: No space left on device"):
        export_packed(*made("mlp", "rebnn"), tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    monkeypatch.undo()
    with pytest.raises(UserError, match="is a folder"):
        export_packed(*made("mlp", "rebnn"), tmp_path)
    with pytest.raises(UserError, match="absent/m: cannot be written"):
        export_packed(*made("mlp", "rebnn"), tmp_path / "absent" / "m")


def test_a_folder_is_told_which_file_in_it_is_the_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder; a model is a file, as python -m "):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"is a folder; a model is a file: of this one it is .*/model\.safetensors"):
        load_model(tmp_path)
