"""OpenVINO computes what the trained network does: its binary layers to the bit, all else within rounding; or torch computes it."""

import copy
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from other_engines import logits, with_signs
from torch import nn

from rebnn_search.config import Notice, UserError
from rebnn_search.export import ModelInfo, describe, export_onnx, export_openvino, export_packed, load_model
from rebnn_search.export import _engine as engines
from rebnn_search.export import _openvino as by_openvino
from rebnn_search.export._lowering import CannotLowerError, Lowered, Signs, Sums, lower
from rebnn_search.export._network import Folded, fold, restore
from rebnn_search.method import BinaryConv2d, BinaryLinear, RSign, binary_layers, convert
from rebnn_search.method.networks import NETWORKS
from rebnn_search.training import Trainer

ov = pytest.importorskip("openvino", reason="OpenVINO computes")


def computes(sums: Sums) -> bool:
    """Whether OpenVINO can compute so on this processor."""
    network = nn.Sequential(nn.Conv2d(1, 8, 1), RSign(8), BinaryConv2d(8, 8, 1, weights="sign"), nn.Flatten()).eval()
    info = ModelInfo(recipe={}, classes=["a"] * 8, channels=1, image_size=1, mean=[0.0], std=[1.0])
    try:
        by_openvino.OpenVINO(network, info, sums)
    except by_openvino.NoEngineError:
        return False
    return True


HERE = [sums for sums in engines.EXACT if computes(sums)]
if not HERE:
    pytest.skip("OpenVINO computes neither on bits nor in int8 here", allow_module_level=True)
SUMS = pytest.mark.parametrize("sums", HERE)
BITS = pytest.mark.skipif("bits" not in HERE, reason="no kernel for bits")
Make = Callable[[str, str], tuple[nn.Module, ModelInfo]]
Draw = Callable[[ModelInfo, int], torch.Tensor]
FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}


def run(lowered: Lowered, images: torch.Tensor, watch: bool = False) -> list[np.ndarray[Any, Any]]:
    """The graph's logits, and with ``watch`` where each sign is +1."""
    outputs = [result.input_value(0) for result in lowered.model.get_results()]
    more = [x for _, x, _ in lowered.signs] if watch else []
    compiled = by_openvino.openvino_core().compile_model(
        ov.Model(outputs + more, lowered.model.get_parameters()), "CPU", FLOAT32
    )
    found = compiled(images.contiguous().numpy())
    values = [np.array(found[index]) for index in range(len(outputs + more))]
    signs = [
        x > threshold.reshape(1, -1, *[1] * (x.ndim - 2))
        for x, (_, _, threshold) in zip(values[1:], lowered.signs, strict=watch)
    ]
    return [values[0], *signs]


def plain(network: nn.Module, info: ModelInfo) -> nn.Module:
    """The network as a model file gives it back."""
    return restore(info, fold(network), "a test")


@SUMS
@pytest.mark.parametrize(
    ("channels", "out", "kernel", "stride", "padding", "side", "count"),
    [
        (16, 16, 3, 1, 1, 8, 2), (64, 128, 3, 2, 1, 8, 1), (128, 64, 3, 1, 1, 7, 3), (8, 24, 3, 2, 1, 5, 2), (48, 40, 3, 1, 1, 4, 2),
        (32, 16, 3, 1, 1, 1, 2), (24, 8, 3, 2, 1, 2, 1), (72, 56, 1, 1, 0, 5, 2), (40, 32, 5, 1, 2, 9, 1), (16, 8, 3, 1, 0, 6, 1),
        (64, 64, 3, 1, 1, 32, 1),
    ],
)  # fmt: skip
def test_a_binary_convolution_is_integer_arithmetic(
    channels: int, out: int, kernel: int, stride: int, padding: int, side: int, count: int, sums: Sums
) -> None:
    """At every pixel, with values at their thresholds, just below and just above them, zeros of both signs among them."""
    generator = torch.Generator().manual_seed(channels * out + kernel + side)
    sign, layer = RSign(channels), BinaryConv2d(channels, out, kernel, stride, padding, weights="sign")
    sign.shift.data.normal_(generator=generator)
    sign.shift.data[0, ::3] = 0.0
    x = torch.randn(count, channels, side, side, generator=generator)
    limit = -sign.shift.view(1, -1, 1, 1).expand_as(x)
    away = torch.full_like(x, torch.inf)
    where = torch.randint(6, x.shape, generator=generator)
    for index, near in enumerate((limit, torch.nextafter(limit, -away), torch.nextafter(limit, away), -0.0 * limit)):
        x = torch.where(where == index, near, x)
    # Smaller numbers than these may count as zero: as a processor is set.
    x = torch.where((x != 0) & (x.abs() < torch.finfo(torch.float32).tiny), torch.zeros(()), x)
    layer.weight.data.normal_(generator=generator)
    network = nn.Sequential(sign, layer).eval()
    lowered = lower(network, x.shape, sums)
    assert list(lowered.binary) == ["1"]
    with torch.no_grad():
        assert np.array_equal(run(lowered, x)[0], network(x).numpy())


@SUMS
@pytest.mark.parametrize(("features", "out", "count"), [(128, 128, 3), (8, 16, 1), (72, 24, 5)])
def test_a_binary_linear_map_is_integer_arithmetic(features: int, out: int, count: int, sums: Sums) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), RSign(features), BinaryLinear(features, out, weights="sign")).eval()
    x = torch.randn(count, features, 1, 1)
    x[:, ::5] = 0.0
    lowered = lower(network, x.shape, sums)
    assert list(lowered.binary) == ["2"]
    with torch.no_grad():
        assert np.array_equal(run(lowered, x)[0], network(x).numpy())


CASES = [("digits_resnet", "recu"), ("mlp", "reactnet"), ("resnet20", "rebnn"), ("resnet18", "sign"), ("resnet18", "rebnn")]


@SUMS
@pytest.mark.parametrize(("family", "weights"), CASES)
def test_a_network_is_what_torch_computes_with_its_signs(
    family: str, weights: str, made: Make, images: Draw, sums: Sums
) -> None:
    network, info = made(family, weights)
    folded = plain(network, info)
    for count in (1, 5):
        raw = images(info, count)
        lowered = lower(folded, raw.shape, sums)
        assert len(lowered.binary) == len(binary_layers(network)) and not lowered.real
        found, *positive = run(lowered, info.normalised(raw), watch=True)
        expected = with_signs(network, info, raw, positive).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@SUMS
def test_an_imagenet_stem_is_too(sums: Sums) -> None:
    torch.manual_seed(0)
    network = NETWORKS["resnet34"](in_channels=3, num_classes=10, image_size=64, weights="sign")
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 64, 64))
    for _, layer in binary_layers(network):
        layer.binarizer = Folded(True)
        layer.weight.data = torch.where(layer.weight >= 0, 0.02, -0.02)
    info = ModelInfo(
        recipe={"network": "resnet34"},
        classes=[f"{i}" for i in range(10)],
        channels=3,
        image_size=64,
        mean=[0.0] * 3,
        std=[1.0] * 3,
    )
    raw = torch.randn(1, 3, 64, 64)
    lowered = lower(network.eval(), raw.shape, sums)
    assert len(lowered.binary) == 32
    found, *positive = run(lowered, raw, watch=True)
    expected = with_signs(network, info, raw, positive).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@SUMS
def test_a_trained_network_says_the_same_of_real_images(tmp_path: Path, trained: Trainer, sums: Sums) -> None:
    """All of the digits' validation split: layer by layer, and the class of each but where rounding turned a sign."""
    info = describe(trained.recipe, trained.data)
    network = trained.network.eval()
    images = torch.cat([batch for batch, _ in trained.data.batches("validation", batch_size=100)])
    mean, std = info.statistics()
    raw = images * std + mean
    lowered = lower(plain(network, info), images.shape, sums)
    found, *positive = run(lowered, info.normalised(raw.float()), watch=True)
    expected = with_signs(network, info, raw.float(), positive)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5 * float(expected.abs().max()))
    own = logits(network, info, raw.float())
    same = (expected - own).abs().amax(1) <= 1e-5 * float(own.abs().max())
    assert same.any() and torch.equal(torch.from_numpy(found)[same].argmax(1), own[same].argmax(1))
    export_openvino(network, info, tmp_path / "m")
    model = load_model(tmp_path / "m", engine="openvino")
    assert model.engine == "openvino"
    np.testing.assert_allclose(model.logits(raw[same]).numpy(), own[same].numpy(), rtol=0, atol=2e-5 * float(own.abs().max()))


def test_a_file_is_the_packed_one_by_another_name(tmp_path: Path, made: Make, images: Draw) -> None:
    network, info = made("mlp", "rebnn")
    export_openvino(network, info, tmp_path / "m")
    export_packed(network, info, tmp_path / "p")
    assert (tmp_path / "m").stat().st_size < (tmp_path / "p").stat().st_size + 64
    raw = images(info, 40)
    expected = load_model(tmp_path / "p").logits(raw)
    assert torch.equal(load_model(tmp_path / "m", engine="torch").logits(raw), expected)
    model = load_model(tmp_path / "p", engine="openvino")
    assert (model.engine, model.info) == ("openvino", info) and model.network is not None
    export_packed(model.network, model.info, tmp_path / "p2")
    assert (tmp_path / "p2").read_bytes() == (tmp_path / "p").read_bytes()


def test_images_are_computed_in_parts_and_by_many_threads(tmp_path: Path, made: Make, images: Draw) -> None:
    network, info = made("digits_resnet", "rebnn")
    engine = by_openvino.OpenVINO(plain(network, info), info, HERE[0])
    raw = info.normalised(images(info, 35))
    expected = torch.cat([engine(raw[:32]), *(engine(one[None]) for one in raw[32:])])
    assert torch.equal(engine(raw), expected)
    found: dict[int, torch.Tensor] = {}
    threads = [threading.Thread(target=lambda index=index: found.update({index: engine(raw)})) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(torch.equal(one, expected) for one in found.values())


def test_layers_that_do_not_suit_stay_real() -> None:
    torch.manual_seed(0)
    odd = nn.Sequential(RSign(12), BinaryConv2d(12, 16, 3, 1, 1, weights="sign"), BinaryConv2d(16, 8, 3, weights="sign")).eval()
    x = torch.randn(2, 12, 6, 6)
    lowered = lower(odd, x.shape)
    assert lowered.binary == [] and list(lowered.real.values()) == ["its channels are no multiples of 8", "its input is real"]
    with torch.no_grad():
        np.testing.assert_allclose(run(lowered, x)[0], odd(x).numpy(), rtol=0, atol=1e-3)
    in_int8 = lower(odd, x.shape, "int8")  # whose channels may be of any number
    assert list(in_int8.binary) == ["1"] and list(in_int8.real.values()) == ["its input is real"]
    with torch.no_grad():
        np.testing.assert_allclose(run(in_int8, x)[0], odd(x).numpy(), rtol=0, atol=1e-3)
    two = nn.Sequential(RSign(8), BinaryConv2d(8, 8, 3, weights="sign")).eval()
    two[1].binarizer = Folded(True)  # type: ignore[assignment]
    two[1].weight.data = torch.where(two[1].weight.data >= 0, 0.5, -0.25)  # type: ignore[union-attr, operator]
    for sums in engines.EXACT:
        assert list(lower(two, (1, 8, 4, 4), sums).real.values()) == ["the two values of a channel are not opposite"]


def test_a_converted_network_is_lowered_too() -> None:
    """With biases, ReLU, pools that round up, an average to one pixel and dropout."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32), nn.AvgPool2d(2, ceil_mode=True), nn.Dropout(), nn.Conv2d(32, 16, 3, bias=False), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
    )  # fmt: skip
    assert convert(network, weights="rebnn") == ["3", "7"]
    x = torch.randn(3, 3, 14, 14)
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 14, 14))
        network.eval()
        lowered = lower(network, x.shape, HERE[0])
        assert list(lowered.binary) == ["3.1", "7.1"]
        found = torch.from_numpy(run(lowered, x)[0])
        assert engines._close(found, network(x)).any()


class Branching(nn.Module):
    """What it does depends on its values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Branching(), r"its operators depend on its values \(TraceError\)"),
        (nn.Sequential(nn.Softplus()), "layer '0' is a Softplus"),
        (nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), "a convolution in groups, or padded with other than zeros"),
        (nn.Flatten(0), "it flattens dimensions 0 to -1"),
    ],
)  # fmt: skip
def test_what_has_no_place_in_the_graph_is_named(network: nn.Module, message: str) -> None:
    with pytest.raises(CannotLowerError, match=f"^{message}$"):
        lower(nn.Sequential(network).eval() if isinstance(network, nn.Flatten) else network.eval(), (1, 4, 4, 4))


def test_what_does_not_fit_together_is_no_engine() -> None:
    info = ModelInfo(recipe={}, classes=["a"], channels=1, image_size=4, mean=[0.0], std=[1.0])
    network = nn.Sequential(nn.Conv2d(3, 8, 1), RSign(8), BinaryConv2d(8, 8, 1, weights="sign")).eval()
    with pytest.raises(by_openvino.NoEngineError, match=r"^OpenVINO cannot compute this network \(RuntimeError\)$"):
        by_openvino.OpenVINO(network, info)


def test_large_images_are_not_tried(tmp_path: Path, made: Make) -> None:
    network, info = made("resnet20", "rebnn")
    export_openvino(network, info.model_copy(update={"image_size": 4096}), tmp_path / "m")
    with pytest.warns(Notice, match="m: computed by torch: images of 4096 pixels a side are too large to be tried on loading"):
        assert load_model(tmp_path / "m").engine == "torch"


@pytest.fixture
def file(tmp_path: Path, made: Make) -> Path:
    export_openvino(*made("mlp", "rebnn"), tmp_path / "m")
    return tmp_path / "m"


def by_torch(file: Path, raw: torch.Tensor, reason: str) -> None:
    """The file is computed by torch, which is said; and asked for, OpenVINO is an error."""
    expected = load_model(file, engine="torch").logits(raw)
    with pytest.warns(Notice, match=f"m: computed by torch: {reason}"):
        model = load_model(file)
    assert model.engine == "torch" and model.reason is not None and reason in model.reason
    assert torch.equal(model.logits(raw), expected)
    with pytest.raises(UserError, match=f"m: {reason}"):
        load_model(file, engine="openvino")


def test_of_no_images_there_are_no_predictions(file: Path, made: Make, images: Draw) -> None:
    raw, model = images(made("mlp", "rebnn")[1], 3)[:0], load_model(file, engine="openvino")
    assert model.predict_proba(raw).shape == (0, len(model.classes))


def test_without_openvino_torch_computes(file: Path, made: Make, images: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    by_torch(file, images(made("mlp", "rebnn")[1], 3), "OpenVINO is not installed")


@BITS
def test_without_a_kernel_for_bits_int8_computes(file: Path, made: Make, images: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = images(made("mlp", "rebnn")[1], 3)
    expected = load_model(file, engine="openvino").logits(raw).numpy()
    monkeypatch.setattr(by_openvino, "kernels", lambda *rest: iter(["ref_u1"] * 2))
    model = load_model(file, engine="openvino")
    assert (model.engine, model.sums) == ("openvino", "int8")
    np.testing.assert_allclose(model.logits(raw).numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@BITS
def test_without_kernels_torch_computes(file: Path, made: Make, images: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_openvino, "kernels", lambda *rest: iter(["ref_u1"] * 2))
    monkeypatch.setattr(engines, "EXACT", ["bits"])
    by_torch(file, images(made("mlp", "rebnn")[1], 3), "OpenVINO has no kernel for bits on this processor")


@BITS
def test_a_kernel_that_is_wrong_is_found_out(file: Path, made: Make, images: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Signs, "threshold", property(lambda signs: -signs.shift + 0.5))  # of bits
    assert load_model(file, engine="openvino").sums == "int8"
    monkeypatch.setattr(engines, "EXACT", ["bits"])
    by_torch(file, images(made("mlp", "rebnn")[1], 3), "OpenVINO computes other logits than torch here")


class Taking:
    """An engine that takes so many milliseconds for an image and for a batch, of a clock of its own."""

    now = 0.0

    def __init__(self, one: float, batch: float, sums: str = "bits") -> None:
        self.one, self.batch, self.sums = one, batch, sums

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        Taking.now += self.one if len(images) == 1 else self.batch
        return images


def test_the_fastest_computes(file: Path, made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "perf_counter", lambda: Taking.now / 1000)
    info = made("mlp", "rebnn")[1]
    by_torch: Any = Taking(1, 1)
    for others, answer, at_all in (
        ([Taking(0.9, 0.9)], 0, 0), ([Taking(1.1, 1.1)], None, 0), ([Taking(0.5, 1.1)], None, 0), ([Taking(1.1, 0.5)], None, 0),
        ([Taking(0.9, 0.9), Taking(0.8, 0.8)], 1, 1), ([Taking(0.5, 0.9), Taking(0.8, 0.8)], 0, 0),
        ([Taking(0.9, 0.9), Taking(1.1, 0.1)], 0, 1), ([Taking(1.2, 1.2), Taking(1.1, 1.1)], None, 1),
    ):  # fmt: skip
        candidates: list[Any] = others
        assert engines.fastest(candidates, by_torch, info) is (None if answer is None else candidates[answer])
        assert engines.fastest(candidates, by_torch, info, at_all=False) is candidates[at_all]
    # A batch that would take seconds is not tried.
    long, short = Taking(100, 1e9), Taking(50, 1e9)
    assert engines.fastest([short], long, info) is short and Taking.now < 1e6  # type: ignore[list-item, arg-type]
    for slow, engine in ((0.5, "openvino"), (2.0, "torch")):
        monkeypatch.setattr(engines, "checked", lambda *rest, slow=slow: [Taking(slow, slow, "int8")])
        monkeypatch.setattr(engines, "measured", lambda computes, images: [1.0, *(each.one for each in computes[1:])])
        assert load_model(file).engine == engine
    assert load_model(file).reason == "torch is faster here"


def test_an_onnx_file_has_its_own_engine(tmp_path: Path, made: Make) -> None:
    export_onnx(*made("mlp", "rebnn"), tmp_path / "m")
    assert load_model(tmp_path / "m").engine == "onnxruntime"
    with pytest.raises(UserError, match="m: is computed by onnxruntime alone"):
        load_model(tmp_path / "m", engine="torch")
    with pytest.raises(UserError, match="engine 'fast': valid are torch, openvino, auto"):
        load_model(tmp_path / "m", engine="fast")


LET_GO = """
import signal, subprocess, sys
from rebnn_search.export import load_model
first = load_model(sys.argv[1], engine="openvino")
second = load_model(sys.argv[1], engine="openvino")
del first
del second
signal.signal(signal.SIGCHLD, lambda *_: print("ended"))
subprocess.run([sys.executable, "-c", "import time; time.sleep(0.2)"], check=True)
"""


def test_a_signal_after_models_were_let_go_of_in_any_order(made: Make, tmp_path: Path) -> None:
    export_openvino(*made("mlp", "rebnn"), tmp_path / "m")
    done = subprocess.run([sys.executable, "-c", LET_GO, tmp_path / "m"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_a_copied_network_is_not_changed(made: Make) -> None:
    network, info = made("digits_resnet", "recu")
    before = copy.deepcopy(network.state_dict())
    folded = plain(network, info)
    lower(folded, (1, 1, 8, 8))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_importing_it_reports_to_nobody(tmp_path: Path) -> None:
    (tmp_path / "openvino_telemetry.py").write_text("raise SystemExit('reported')")
    lines = ("import sys", "from rebnn_search.export._lowering import openvino", "openvino().Core()")
    code = "; ".join([*lines, "print('openvino_telemetry' in sys.modules)"])
    paths = os.pathsep.join([str(tmp_path), *(path for path in sys.path if path)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
