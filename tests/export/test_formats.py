"""What comes back from a model file is the trained network."""

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from other_engines import logits, with_signs
from torch import nn

from rebnn_search.config import UserError
from rebnn_search.export import ModelInfo, describe, export_onnx, export_packed, export_torch, load_model
from rebnn_search.export._loaded import BATCH
from rebnn_search.method import NETWORKS, WEIGHTS, binary_layers, summary
from rebnn_search.training import Recipe, Trainer

Make = Callable[[str, str], tuple[nn.Module, ModelInfo]]
Draw = Callable[[ModelInfo, int], torch.Tensor]
EXPORTS: dict[str, Callable[[nn.Module, ModelInfo, Path], Any]] = {
    "packed": export_packed, "torch": export_torch, "onnx": export_onnx,
}  # fmt: skip
FAMILIES = ["resnet20", "resnet18", "digits_resnet", "mlp"]
BINARIZERS = sorted(name for name, binarizer in WEIGHTS.items() if binarizer.binary)


def watched(content: bytes) -> onnxruntime.InferenceSession:
    """A session of the graph in ``content`` that also returns where each activation's sign is +1, in the order of its layers."""
    proto = onnx.load_model_from_string(content)
    signs = [node.output[0] for node in proto.graph.node if node.op_type == "GreaterOrEqual"]
    proto.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, None) for name in signs)
    return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


def header(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    found: dict[str, Any] = json.loads(content[8 : 8 + length])
    return found


@pytest.mark.parametrize("weights", BINARIZERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_come_back_to_the_bit(tmp_path: Path, family: str, weights: str, made: Make, images: Draw) -> None:
    network, info = made(family, weights)
    for _, layer in binary_layers(network):
        layer.weight.data[0].view(-1)[::3] = 0.0  # sign(0) is +1
    raw = images(info, 9)
    expected = logits(network, info, raw)
    assert len(expected.unique()) > 20
    for name in ("packed", "torch"):
        EXPORTS[name](network, info, tmp_path / name)
        model = load_model(tmp_path / name)
        assert torch.equal(model.logits(raw), expected), name
        assert model.info == info
        assert model.network is not None
        assert not any("binarizer" in key for key in model.network.state_dict())
        assert sum(layer.binary_weights for layer in summary(model.network)) > 0


def test_packed_bytes_are_those_counted_by_hand(tmp_path: Path, made: Make) -> None:
    network, info = made("digits_resnet", "rebnn")
    rows = export_packed(network, info, tmp_path / "m")
    binary = {row.name: row for row in rows if row.binary}
    shapes = {"units.0.conv": (16, 16, 3, 3), "units.1.conv": (32, 16, 3, 3), "units.2.conv": (64, 32, 3, 3)}
    assert {name: row.shape for name, row in binary.items()} == shapes
    assert [(row.float32, row.packed) for row in binary.values()] == [(9216, 288 + 64), (18432, 576 + 128), (73728, 2304 + 256)]
    # stem and its norm, two shortcuts, three units' signs, norms and activations, classifier; a norm also counts its batches.
    real = 4 * (16 * 9 + 4 * 16 + 32 * 16 + 64 * 32 + 4 * (32 + 64) + (16 + 16 + 32) + 7 * (16 + 32 + 64) + 640 + 10) + 6 * 8
    assert sum(row.packed for row in rows if not row.binary) == real
    ends = [entry["data_offsets"][1] for name, entry in header(tmp_path / "m").items() if name != "__metadata__"]
    assert max(ends) == sum(row.packed for row in rows)
    assert not any("binarizer" in name for name in header(tmp_path / "m"))


@pytest.mark.parametrize("family", FAMILIES)
def test_binary_layers_are_25_times_smaller(tmp_path: Path, family: str, made: Make) -> None:
    rows = export_packed(*made(family, "rebnn"), tmp_path / "m")
    assert [row for row in rows if row.binary]
    for row in rows:
        if row.binary:
            assert row.float32 == 4 * math.prod(row.shape)
            assert row.ratio >= 25


@pytest.mark.parametrize("weights", BINARIZERS)
def test_a_real_training_comes_back(tmp_path: Path, weights: str, trained: Trainer, images: Draw) -> None:
    recipe = Recipe.model_validate({**trained.recipe.dump(), "weights": weights, "epochs": 1, "reports_per_epoch": 1})
    trainer = Trainer(recipe, device="cpu", data=trained.data)
    trainer.next_report()
    info = describe(recipe, trainer.data)
    export_packed(trainer.network, info, tmp_path / "m")
    assert trainer.network.training  # as it was
    trainer.network.eval()
    model = load_model(tmp_path / "m")
    for batch, _ in trainer.data.batches("validation", batch_size=100):
        assert model.network is not None
        with torch.no_grad():
            assert torch.equal(model.network(batch), trainer.network(batch))
    assert info.recipe["weights"] == weights
    assert model.classes == [str(digit) for digit in range(10)]


@pytest.mark.parametrize(
    ("family", "weights"),
    [
        ("digits_resnet", "recu"),
        ("mlp", "reactnet"),
        ("resnet20", "rebnn"),
        pytest.param("resnet18", "sign", marks=pytest.mark.slow(minutes=0.5)),
    ],
)
def test_onnx_runs_elsewhere(tmp_path: Path, family: str, weights: str, made: Make, images: Draw) -> None:
    network, info = made(family, weights)
    export_onnx(network, info, tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]  # no weights beside it
    proto = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert {opset.domain for opset in proto.opset_import} <= {"", "ai.onnx"}
    export_packed(network, info, tmp_path / "m.safetensors")
    props = {prop.key: prop.value for prop in proto.metadata_props}
    said, packed = (
        json.loads(props["rebnn_search"]),
        json.loads(header(tmp_path / "m.safetensors")["__metadata__"]["rebnn_search"]),
    )
    assert {**said, "sha256": ""} == {**packed, "sha256": ""}
    assert said["model"]["classes"] == info.classes
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    engine = watched((tmp_path / "m.onnx").read_bytes())
    model = load_model(tmp_path / "m.onnx")
    for count in (1, 7):
        raw = images(info, count)
        (found,) = session.run(["logits"], {"images": info.normalised(raw).numpy()})
        assert found.shape == (count, 10)
        # Another engine sums in another order, which may turn the sign of what is nearly zero and with it all that follows.
        again, *positive = engine.run(None, {"images": info.normalised(raw).numpy()})
        expected = with_signs(network, info, raw, positive).numpy()
        np.testing.assert_allclose(again, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        assert np.array_equal(model.logits(raw).numpy(), found)


def test_the_torch_file_needs_torch_and_the_method_alone(tmp_path: Path, made: Make, images: Draw) -> None:
    network, info = made("resnet20", "recu")
    export_torch(network, info, tmp_path / "m.pt")
    found = torch.load(tmp_path / "m.pt", weights_only=True)
    plain = NETWORKS["resnet20"](in_channels=3, num_classes=10, image_size=8, weights="real")
    plain.load_state_dict(found["network"])
    raw = images(info, 4)
    assert torch.equal(logits(plain.eval(), info, raw), logits(network, info, raw))
    assert json.loads(found["rebnn_search"])["model"]["classes"] == info.classes


def test_formats_turn_into_each_other(tmp_path: Path, made: Make) -> None:
    network, info = made("mlp", "recu")
    export_packed(network, info, tmp_path / "a")
    export_torch(network, info, tmp_path / "b")
    for name in ("a", "b"):
        again = load_model(tmp_path / name).network
        assert again is not None
        export_packed(again, info, tmp_path / f"{name}2")
        assert (tmp_path / f"{name}2").read_bytes() == (tmp_path / "a").read_bytes()


def test_the_memory_format_of_training_is_not_kept(tmp_path: Path, made: Make) -> None:
    network, info = made("resnet20", "rebnn")
    export_packed(network, info, tmp_path / "a")
    export_packed(network.to(memory_format=torch.channels_last), info, tmp_path / "b")  # type: ignore[call-overload]
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_exporting_leaves_network_and_randomness_alone(tmp_path: Path, made: Make) -> None:
    network, info = made("digits_resnet", "rebnn")
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    for name, export in EXPORTS.items():
        export(network, info, tmp_path / name)
        load_model(tmp_path / name)
    assert torch.equal(torch.rand(1), expected)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_probabilities_are_of_raw_images(tmp_path: Path, made: Make, images: Draw) -> None:
    network, info = made("mlp", "sign")
    export_packed(network, info, tmp_path / "m")
    model = load_model(tmp_path / "m")
    raw = images(info, 300)  # more than one batch
    parts = [logits(network, info, part) for part in raw.split(BATCH)]  # another size may be summed in another order
    assert len(parts) == 2
    expected = torch.cat(parts).softmax(1).numpy()
    found = model.predict_proba(raw[:, :, 0, 0].double().numpy())
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    assert model.predict_proba(np.zeros((0, 64))).shape == (0, 10)
    for shape in [(3, 63), (64,), (3, 1, 8, 8), (3, 8, 8)]:
        with pytest.raises(UserError, match=r"has shape .*, the model reads \(n, 64, 1, 1\) or \(n, 64\)"):
            model.predict_proba(np.zeros(shape))
    with pytest.raises(UserError, match="no finite numbers, first in sample 1"):
        model.predict_proba(np.array([[0.0] * 64, [np.nan] * 64]))
    with pytest.raises(UserError, match="must hold numbers"):
        model.predict_proba(np.array([["a"] * 64]))


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, made: Make) -> None:
    network, info = made("mlp", "rebnn")
    layer = dict(binary_layers(network))["layers.1.linear"]
    layer.binarizer.scale.data[3] = float("nan")  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"m: 'layers\.1\.linear\.weight' holds values that are no finite numbers"):
        export_packed(network, info, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
