"""A file for OpenVINO that lies or is damaged is one clear error, before anything is computed; it is read where OpenVINO is not."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from model_lies import HEADER_CHANGES, KEY, SOUND, Content, refusal, sound_packed, tensor_lies
from safetensors.torch import save

from rebnn_search.config import UserError
from rebnn_search.export import export_openvino, export_packed, find_trained, load_model
from rebnn_search.export.formats import format_of
from rebnn_search.predict import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO is not installed."""
    monkeypatch.setitem(sys.modules, "openvino", None)


def write(content: Content, path: Path) -> Path:
    path.write_bytes(save(content.tensors, {f"{KEY}.openvino": content.sealed(), **content.metadata}))
    return path


def test_without_a_lie_it_is_the_sound_file(tmp_path: Path) -> None:
    model = load_model(write(sound_packed(), tmp_path / "m"), engine="torch")
    expected = load_model(SOUND / "table.pt")
    assert model.info == expected.info
    assert torch.equal(model.logits(np.eye(3)), expected.logits(np.eye(3)))


@pytest.mark.parametrize("name", HEADER_CHANGES)
def test_a_header_changed(name: str, tmp_path: Path, capsys: Capture) -> None:
    content = sound_packed()
    HEADER_CHANGES[name](content)
    said = refusal(write(content, tmp_path / "m"), capsys)
    assert ("checksum does not match" in said) == (name == "digest of another"), said


def test_tensors_that_lie(tmp_path: Path, capsys: Capture) -> None:
    for kind, lie in tensor_lies(sound_packed()):
        content = sound_packed()
        lie(content)
        said = refusal(write(content, tmp_path / kind.replace("/", "_")), capsys)
        assert "checksum does not match" not in said, said


def test_a_file_cut_short_or_altered(tmp_path: Path) -> None:
    sound = write(sound_packed(), tmp_path / "sound").read_bytes()
    path = tmp_path / "m"
    places = np.random.default_rng(0).integers(0, len(sound), 60).tolist()
    altered = [sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :] for place in places]
    for content in (*(sound[:length] for length in (0, 1, 8, 9, 40, len(sound) // 2, len(sound) - 1)), *altered):
        path.write_bytes(content)
        with pytest.raises(UserError, match=str(path)):
            load_model(path)


def test_packed_and_openvino_files_are_told_apart(tmp_path: Path) -> None:
    packed = load_model(SOUND / "table.safetensors")
    assert packed.network is not None
    export_packed(packed.network, packed.info, tmp_path / "packed")
    export_openvino(packed.network, packed.info, tmp_path / "openvino")
    kinds = [type(format_of((tmp_path / name).read_bytes())).__name__ for name in ("packed", "openvino")]
    assert kinds == ["Packed", "OpenVINOFormat"]
    again = find_trained(str(tmp_path / "openvino"))  # said of no engine: nothing is computed
    export_packed(again.network, again.info, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "packed").read_bytes()


def test_predict_takes_an_engine(tmp_path: Path, capsys: Capture) -> None:
    rows = tmp_path / "rows.npy"
    np.save(rows, np.eye(3, dtype=np.float32))
    words = [str(write(sound_packed(), tmp_path / "m")), str(rows)]
    assert main([*words, "--engine", "torch"]) == 0
    expected = capsys.readouterr().out
    assert main([str(SOUND / "table.safetensors"), str(rows)]) == 0
    assert capsys.readouterr().out == expected
    with pytest.warns(UserWarning, match="m: computed by torch: OpenVINO is not installed"):
        assert main(words) == 0
    assert capsys.readouterr().out == expected
    with pytest.raises(UserError, match="m: OpenVINO is not installed: pip install"):
        main([*words, "--engine", "openvino"])
    with pytest.raises(UserError, match="engine 'gpu': valid are torch, openvino, auto"):
        main([*words, "--engine", "gpu"])
