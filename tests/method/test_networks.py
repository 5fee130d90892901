"""Shapes, counts and precision of the networks."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from rebnn_search.method import NETWORKS, BinaryConv2d, ReBNN, binary_layers, set_weights

SHAPES = {  # name: (options, image, binary layers)
    "digits_resnet": ({"width": 8, "depth": 2}, (1, 8), 6),
    "resnet18": ({"stem": "imagenet"}, (3, 64), 16),
    "resnet34": ({"stem": "imagenet"}, (3, 64), 32),
    "resnet20": ({}, (3, 32), 18),
    "mlp": ({"width": 16, "depth": 3}, (1, 8), 3),
}


def make(name: str, **changes: object) -> nn.Module:
    options, (channels, size), _ = SHAPES[name]
    torch.manual_seed(0)
    return NETWORKS[name](in_channels=channels, num_classes=7, image_size=size, **{**options, **changes})  # type: ignore[call-arg]


def test_every_network_has_a_row_here() -> None:
    assert set(SHAPES) == set(NETWORKS)


@pytest.mark.parametrize("name", SHAPES)
def test_logits_and_binary_layers(name: str) -> None:
    network = make(name)
    _, (channels, size), count = SHAPES[name]
    assert network(torch.randn(2, channels, size, size)).shape == (2, 7)
    layers = binary_layers(network)
    assert len(layers) == count
    first, *_, last = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear, BinaryConv2d))]
    assert isinstance(first, (nn.Conv2d, nn.Linear))
    assert isinstance(last, nn.Linear)


def count_by_hand(depths: list[int], classes: int) -> int:
    """Parameters of the published ResNet from its description, layer by layer."""
    total = 3 * 64 * 49 + 2 * 64
    width = 64
    for stage, depth in enumerate(depths):
        out = 64 * 2**stage
        for unit in range(depth):
            total += width  # RSign
            total += width * out * 9 + out  # binary convolution and its scales
            total += 2 * out  # BatchNorm
            total += 3 * out  # RPReLU
            if unit == 0 and stage > 0:
                total += width * out + 2 * out  # shortcut convolution and BatchNorm
            width = out
    return total + width * classes + classes


@pytest.mark.parametrize(("name", "depths"), [("resnet18", [4, 4, 4, 4]), ("resnet34", [6, 8, 12, 6])])
def test_parameter_counts_are_those_of_the_description(name: str, depths: list[int]) -> None:
    network = NETWORKS[name](in_channels=3, num_classes=1000, image_size=224)  # type: ignore[call-arg]
    assert sum(p.numel() for p in network.parameters()) == count_by_hand(depths, 1000)
    binary = sum(layer.weight.numel() for _, layer in binary_layers(network))
    # ResNet-18's and -34's 3×3 convolutions after the stem, as in He et al.: 10,985,472 and 21,086,208 weights.
    assert binary == {"resnet18": 10985472, "resnet34": 21086208}[name]


def test_a_stage_two_network_takes_stage_one_s_weights() -> None:
    real, binary = make("digits_resnet", weights="real"), make("digits_resnet", weights="rebnn")
    missing, unexpected = binary.load_state_dict(real.state_dict(), strict=False)
    assert unexpected == []
    assert all(".binarizer." in name for name in missing)
    set_weights(real, "rebnn")
    x = torch.randn(2, 1, 8, 8)
    for network in (real, binary):
        ReBNN(network.eval())
    assert torch.equal(real(x), binary(x))


@pytest.mark.parametrize("name", ["digits_resnet", "mlp"])
def test_bfloat16_autocast_keeps_gradients_finite_and_in_float32(name: str) -> None:
    network = make(name)
    _, (channels, size), _ = SHAPES[name]
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.randn(8, channels, size, size))
    logits.float().square().mean().backward()
    for label, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, label
            assert parameter.grad.dtype == torch.float32, label
            assert torch.isfinite(parameter.grad).all(), label


def test_channels_last_gives_the_same() -> None:
    network = make("digits_resnet").double().eval()
    x = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    expected = network(x)
    network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(x.to(memory_format=torch.channels_last)), expected, rtol=0, atol=1e-12)


def test_method_needs_torch_alone() -> None:
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in set(sys.argv[1:]):\n"
        "            raise ImportError(f'{name} is blocked')\n"
        "sys.meta_path.insert(0, Block())\n"
        "import rebnn_search.method as method\n"
        "assert set(method.__all__) <= set(dir(method))\n"
    )
    others = ["ray", "optuna", "mlflow", "pydantic", "yaml", "sklearn", "torchvision", "rich", "filelock"]
    subprocess.run([sys.executable, "-c", code, *others], check=True, timeout=120)
