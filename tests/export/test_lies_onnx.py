"""An ONNX file whose graph contradicts its header, loops, or reads other files is refused before onnxruntime sees it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from model_lies import HEADER_CHANGES, KEY, SOUND, Content, dumps, refusal
from onnx import TensorProto, helper, numpy_helper

from rebnn_search.config import UserError
from rebnn_search.export import load_model

Model = Any
PLACEHOLDER = b"0" * 64


def sound() -> tuple[Model, dict[str, Any]]:
    model = onnx.load(SOUND / "table.onnx")
    header = json.loads(next(entry.value for entry in model.metadata_props if entry.key == KEY))
    del header["sha256"]
    return model, header


def write(path: Path, model: Model, header: str) -> Path:
    """Give a graph its header and the checksum that fits."""
    for entry in model.metadata_props:
        if entry.key == KEY:
            entry.value = header
    content = model.SerializeToString()
    path.write_bytes(content.replace(PLACEHOLDER, hashlib.sha256(content).hexdigest().encode(), 1))
    return path


def sealed(header: Any) -> str:
    return dumps({**header, "sha256": PLACEHOLDER.decode()})


def test_without_a_lie_it_is_the_sound_file(tmp_path: Path) -> None:
    model, header = sound()
    path = write(tmp_path / "m", model, sealed(header))
    assert path.read_bytes() == (SOUND / "table.onnx").read_bytes()
    assert np.isfinite(load_model(path).predict_proba(np.eye(3))).all()


def _first(model: Model) -> Any:
    return next(tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT)


def _external(model: Model, place: str) -> None:
    tensor = _first(model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)


def _nan(model: Model) -> None:
    tensor = _first(model)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _loop(model: Model) -> None:
    body = helper.make_graph([], "\x1b[2J", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["never"], body=body))


def _huge(model: Model) -> None:
    shape = numpy_helper.from_array(np.array([2**20, 2**20], dtype=np.int64), "shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["huge"]))
    model.graph.node.append(helper.make_node("ReduceMax", ["huge"], ["most"], keepdims=0))


GRAPHS: dict[str, tuple[Callable[[Model], Any], str]] = {
    "images of another size": (lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 4), "its images have"),
    "a fixed batch": (lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 2), "its images have"),
    "more logits": (lambda m: setattr(m.graph.output[0].type.tensor_type.shape.dim[1], "dim_value", 4), "its logits have"),
    "images of doubles": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.DOUBLE), "its images have"),
    "another name": (
        lambda m: setattr(m.graph.input[0], "name", "\x1b[31mred"),
        r"must have one input, 'images', not '\\x1b\[31mred'",
    ),
    "no output": (lambda m: m.graph.ClearField("output"), "must have one output, 'logits', not none"),
    "no shape": (lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"), "its images have"),
    "a file's content": (lambda m: _external(m, "rows.npy"), "lies in another file"),
    "a system's file": (lambda m: _external(m, "/dev/zero"), "lies in another file"),
    "weights of nan": (_nan, "no finite numbers"),
    "short weights": (lambda m: setattr(_first(m), "raw_data", _first(m).raw_data[:-4]), "not of the size or type"),
    "huge weights": (lambda m: _first(m).dims.__setitem__(0, 2**40), "not of the size or type"),
    "negative weights": (lambda m: _first(m).dims.__setitem__(0, -8), "not of the size or type|do not fit each other|cannot compute"),
    "unknown type": (lambda m: setattr(_first(m), "data_type", 99), "not of the size or type"),
    "turned weights": (lambda m: _first(m).dims.reverse(), "do not fit each other|cannot compute"),
    "a loop": (_loop, "has graphs within its graph, in 'Loop'"),
    "an operator of another domain": (lambda m: setattr(m.graph.node[0], "domain", "com.microsoft"), "is not ONNX's own"),
    "an operator that is none": (lambda m: setattr(m.graph.node[0], "op_type", "Frobnicate"), "do not fit each other|cannot compute"),
    "a function": (lambda m: m.functions.add(name="f", domain="d"), "more than one graph"),
    "out of nothing": (_huge, r"'huge' would have 1,099,511,627,776 elements"),
    "a missing edge": (lambda m: m.graph.node[-1].input.__setitem__(0, "absent"), "do not fit each other|cannot compute"),
    "no nodes": (lambda m: m.graph.ClearField("node"), "do not fit each other|cannot compute"),
    "the header twice": (lambda m: m.metadata_props.append(m.metadata_props[0]), "is no model that rebnn_search exported"),
    "no header": (lambda m: m.ClearField("metadata_props"), "is no model that rebnn_search exported"),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_lies(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, header = sound()
    change, message = GRAPHS[name]
    change(model)
    path = write(tmp_path / "m", model, sealed(header))
    refusal(path, capsys)
    with pytest.raises(UserError, match=message):
        load_model(path)


def test_a_header_that_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the graph does not tell of is left: the network behind it, and which weights are binary."""
    untold = {
        "width",
        "depth",
        "another network",
        "an unknown",
        "a layer",
        "a real",
        "shape turned",
        "shape of many",
        "digest of another",
    }
    for name, change in HEADER_CHANGES.items():
        if any(name.startswith(start) for start in [*untold, "digest of another"]):
            continue
        model, header = sound()
        content = Content({**header, "sha256": PLACEHOLDER.decode()}, {})
        change(content)
        said = refusal(write(tmp_path / name, model, content.sealed()), capsys)
        assert "checksum does not match" not in said, (name, said)


def test_a_graph_that_cannot_be_computed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It fits every image by its shapes, and fails in the runtime."""
    model, header = sound()
    index = numpy_helper.from_array(np.array([99], dtype=np.int64), "index")
    model.graph.initializer.append(index)
    last = model.graph.node[-1].input
    first = last[0]
    gather = helper.make_node("Gather", [first, "place"], ["gathered"], axis=1)
    offset = helper.make_node("Cast", ["far"], ["place"], to=TensorProto.INT64)
    mean = helper.make_node("ReduceMax", ["images"], ["far"], keepdims=0)
    wide = helper.make_node("Mul", [first, "one"], ["wide"])
    one = helper.make_node("Unsqueeze", ["gathered", "axis"], ["one"])
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"))
    last[0] = "wide"
    position = len(model.graph.node) - 1
    for node in (mean, offset, gather, one, wide):
        model.graph.node.insert(position, node)
        position += 1
    path = write(tmp_path / "m", model, sealed(header))
    rows = np.full((2, 3), 1e6)
    with pytest.raises(UserError, match="onnxruntime cannot compute its graph"):
        load_model(path).predict_proba(rows)
