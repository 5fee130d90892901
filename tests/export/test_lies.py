"""A model file that lies, its checksum right wherever one can be, is one clear error: no traceback, no memory, no wrong answer."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_lies import (
    HEADER_CHANGES,
    HEADER_PLACES,
    KEY,
    SOUND,
    TRUE,
    VALUES,
    WEIGHT,
    Content,
    bounded,
    header_lies,
    refusal,
    sound_packed,
    sound_torch,
    tensor_lies,
)  # fmt: skip

from rebnn_search.config import UserError
from rebnn_search.export import LoadedModel, load_model
from rebnn_search.predict import main
from rebnn_search.refit.pyfunc import _load_pyfunc

Capture = pytest.CaptureFixture[str]
SOUNDS = {"packed": sound_packed, "torch": sound_torch}


def write(content: Content, form: str, path: Path) -> Path:
    path.write_bytes(content.packed() if form == "packed" else content.torch())
    return path


@pytest.mark.parametrize("form", SOUNDS)
def test_without_a_lie_it_is_the_sound_file(form: str, tmp_path: Path) -> None:
    """Else what follows would be refused for its checksum alone."""
    model = load_model(write(SOUNDS[form](), form, tmp_path / "m"))
    expected = load_model(SOUND / "table.pt")
    assert model.info == expected.info
    assert torch.equal(model.logits(np.eye(3)), expected.logits(np.eye(3)))


@pytest.mark.parametrize("place", HEADER_PLACES)
def test_a_header_that_lies(place: str, tmp_path: Path, capsys: Capture) -> None:
    for kind, lie in header_lies(place):
        content = sound_packed()
        lie(content)
        said = refusal(write(content, "packed", tmp_path / kind), capsys)
        if place == "sha256" and kind not in ("missing", "text"):
            continue
        assert "checksum does not match" not in said, said


@pytest.mark.parametrize("form", SOUNDS)
@pytest.mark.parametrize("name", HEADER_CHANGES)
def test_a_header_changed(form: str, name: str, tmp_path: Path, capsys: Capture) -> None:
    content = SOUNDS[form]()
    HEADER_CHANGES[name](content)
    said = refusal(write(content, form, tmp_path / "m"), capsys)
    assert ("checksum does not match" in said) == (name == "digest of another"), said


def test_what_is_no_lie_is_read(tmp_path: Path) -> None:
    for place, kind in sorted(TRUE):
        content = sound_packed()
        content.put(place, VALUES[kind])
        model = load_model(write(content, "packed", tmp_path / "m"))
        assert np.isfinite(model.predict_proba(np.eye(3))).all(), (place, kind)


@pytest.mark.parametrize("form", SOUNDS)
def test_tensors_that_lie(form: str, tmp_path: Path, capsys: Capture) -> None:
    for kind, lie in tensor_lies(SOUNDS[form]()):
        content = SOUNDS[form]()
        lie(content)
        said = refusal(write(content, form, tmp_path / kind.replace("/", "_")), capsys)
        assert "checksum does not match" not in said, said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update({f"{WEIGHT}.bits": t[f"{WEIGHT}.bits"][:-1]}), rf"'{WEIGHT}\.bits' has shape \(7\), not \(8\)"),
        (lambda t: t.update({f"{WEIGHT}.scale": t[f"{WEIGHT}.scale"][:-1]}), rf"'{WEIGHT}\.scale' has shape \(7\), not \(8\)"),
        (lambda t: t.update({f"{WEIGHT}.bits": torch.zeros(8)}), rf"'{WEIGHT}\.bits' is torch\.float32, not torch\.uint8"),
        (lambda t: t.update({WEIGHT: torch.ones(8, 8)}), rf"it has no '{WEIGHT}', which the file holds"),
        (lambda t: t.pop(f"{WEIGHT}.scale"), rf"the file lacks '{WEIGHT}\.scale'"),
        (lambda t: t.update({f"{WEIGHT}.low": t[f"{WEIGHT}.scale"] + 1}), rf"'{WEIGHT}\.scale' is below '{WEIGHT}\.low'"),
        (lambda t: t.update({f"{WEIGHT}.low": torch.zeros(1)}), rf"'{WEIGHT}\.low' has shape \(1\), not \(8\)"),
        (lambda t: t.update({"stem.0.weight": torch.full((8, 3), torch.nan)}), r"'stem\.0\.weight' holds values that are no"),
    ],
)  # fmt: skip
def test_the_message_names_tensor_and_mistake(change: Any, message: str, tmp_path: Path, capsys: Capture) -> None:
    content = sound_packed()
    change(content.tensors)
    path = write(content, "packed", tmp_path / "m")
    assert re.search(message, refusal(path, capsys))


def test_safetensors_that_lie_of_their_own_header(tmp_path: Path, capsys: Capture) -> None:
    sound = (SOUND / "table.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", sound[:8])
    head, body = json.loads(sound[8 : 8 + length]), sound[8 + length :]

    def packed(header: Any, text: str | None = None) -> bytes:
        raw = (text or json.dumps(header)).encode()
        return struct.pack("<Q", len(raw)) + raw + body

    huge = {**head, "stem.0.weight": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 96]}}
    turned = {**head, "stem.0.weight": {"dtype": "F32", "shape": [8, 3], "data_offsets": [96, 0]}}
    lies = {
        "length": struct.pack("<Q", 2**63) + sound[8:],
        "length short": struct.pack("<Q", 3) + sound[8:],
        "nested": packed(None, '{"a":' * 10_000 + "1" + "}" * 10_000),
        "huge": packed(huge),
        "turned": packed(turned),
        "negative": packed({**head, "stem.0.weight": {"dtype": "F32", "shape": [-8, -3], "data_offsets": [0, 96]}}),
        "unknown type": packed({**head, "stem.0.weight": {"dtype": "\x1b[31m", "shape": [8, 3], "data_offsets": [0, 96]}}),
        "no metadata": packed({key: value for key, value in head.items() if key != "__metadata__"}),
        "metadata of numbers": packed({**head, "__metadata__": {KEY: 1}}),
        "metadata a list": packed({**head, "__metadata__": [1]}),
    }  # fmt: skip
    for name, content in lies.items():
        (tmp_path / name).write_bytes(content)
        refusal(tmp_path / name, capsys)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("ran").touch, ())


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def compressed(content: bytes, zeros: int) -> bytes:
    """A torch file, its entries deflated, one of them of so many zeros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as after:
        for entry in before.infolist():
            after.writestr(entry.filename, bytes(zeros) if entry.filename.endswith("data/0") else before.read(entry))
    return buffer.getvalue()


def test_torch_files_that_lie(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weight = "stem.0.weight"
    shared = torch.zeros(2**20)
    parts: dict[str, Any] = {
        "repeated": torch.zeros(1).expand(2**30, 2**10), "sparse": torch.zeros(8, 3).to_sparse(),
        "meta": torch.zeros(8, 3, device="meta"),
        "complex": torch.zeros(8, 3, dtype=torch.complex64), "a number": 3, "a list": [[1.0] * 3] * 8, "nothing": None,
    }  # fmt: skip
    lies: dict[str, bytes] = {}
    for name, part in parts.items():
        content = sound_torch()
        content.tensors[weight] = part
        lies[name] = content.torch()
    content = sound_torch()
    content.tensors.update({f"{i}": shared for i in range(500)})  # 2 GB of one storage of 4 MB
    lies["shared"] = content.torch()
    content = sound_torch()
    content.tensors[3] = torch.zeros(1)  # type: ignore[index]
    lies["a name that is none"] = content.torch()
    content = sound_torch()
    content.tensors[WEIGHT][0, :3] = torch.tensor([1.0, 2.0, 3.0])
    lies["three values"] = content.torch()
    lies |= {
        "code": saved(Evil()), "code inside": saved({KEY: sound_torch().sealed(), "network": {"a": Evil()}}),
        "a list of all": saved([1]), "no network": saved({KEY: sound_torch().sealed()}),
        "header of bytes": saved({KEY: sound_torch().sealed().encode(), "network": sound_torch().tensors}),
        "header of a number": saved({KEY: 1, "network": {}}), "compressed": compressed(sound_torch().torch(), 2**24),
    }  # fmt: skip
    for name, file in lies.items():
        (tmp_path / name).write_bytes(file)
        refusal(tmp_path / name, capsys)
    assert not (tmp_path / "ran").exists()
    assert "more than two values" in refusal(tmp_path / "three values", capsys)


def test_names_are_shown_and_do_nothing(tmp_path: Path, capsys: Capture) -> None:
    names = ["\x1b[31mred\x1b[0m", "a\tb\nc\r", "\u202eright [bold]\x9b2J"]
    content = sound_packed()
    content.put("model/classes", names)
    path = write(content, "packed", tmp_path / "m")
    rows = tmp_path / "rows\x1b[2J.npy"
    np.save(rows, np.array([[30, 150, 60]], dtype=np.float32))
    assert main([str(path), str(rows), "--top", "3"]) == 0
    said = capsys.readouterr().out
    assert said.isascii() and said.count("\n") == 1 and said.count("\t") == 6 and "\x1b" not in said
    assert {r"\x1b[31mred\x1b[0m", r"a\tb\nc\r", r"\u202eright [bold]\x9b2J"} <= set(said.rstrip("\n").split("\t"))
    assert r"rows\x1b[2J.npy[0]" in said
    assert main([str(path), str(rows), "--top", "3", "--json"]) == 0
    said = capsys.readouterr().out
    assert said.rstrip("\n").isprintable()
    assert {likely["class"] for likely in json.loads(said)[0]["top"]} == set(names)
    content.put("model/classes", ["می‌خواهم", "naïve 猫 🐈‍⬛", r"C:\new"])
    assert main([str(write(content, "packed", path)), str(rows), "--top", "3"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in content.header["model"]["classes"])


def test_an_answer_is_never_no_number(tmp_path: Path) -> None:
    """Finite weights so large that sums overflow, a mean that no float32 holds."""
    large, far = sound_packed(), sound_packed()
    large.tensors["stem.0.weight"].fill_(3e38)
    far.put("model/mean", [1e300, 0.0, 0.0])
    for content, rows, message in (
        (large, np.full((2, 3), 1e10), "logits are no finite numbers"),
        (far, np.eye(3), "too far from those that the network was trained on"),
    ):
        model = load_model(write(content, "packed", tmp_path / "m"))
        with pytest.raises(UserError, match=message):
            model.predict_proba(rows)


def test_python_and_mlflow_say_the_same(tmp_path: Path, capsys: Capture) -> None:
    content = sound_packed()
    content.tensors[f"{WEIGHT}.scale"].fill_(torch.nan)
    path = write(content, "packed", tmp_path / "m.safetensors")
    said = refusal(path, capsys).removeprefix("error: ").rstrip("\n")
    capsys.readouterr()
    for load in (load_model, _load_pyfunc, lambda path: _load_pyfunc(str(path.parent))):
        with pytest.raises(UserError) as caught:
            load(path)
        assert str(caught.value) == said
    for form in ("packed", "torch"):
        assert isinstance(load_model(write(SOUNDS[form](), form, tmp_path / form)), LoadedModel)
    path.unlink()
    with pytest.raises(UserError, match="no packed model"):
        _load_pyfunc(str(tmp_path))


def test_nothing_is_reserved_for_what_does_not_fit(tmp_path: Path) -> None:
    """The limit that the other tests run under is one: a tensor of its size cannot be made in it."""
    with bounded(), pytest.raises(RuntimeError):
        torch.zeros(2**29)
