import copy

import pytest
import torch
from torch import Tensor, nn

from rebnn_search.method import NETWORKS, BinaryConv2d, BinaryLinear, ReBNN, binary_layers, convert, format_summary, summary


class Users(nn.Module):
    """A model as a user might bring it, with a layer of every kind that cannot be converted."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(
            nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)
        )
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.oblong = nn.Conv2d(8, 8, (1, 3), padding=(0, 1))
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.reflecting = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.tied = nn.Linear(8, 8, bias=False)
        self.tied_too = nn.Linear(8, 8, bias=False)
        self.tied_too.weight = self.tied.weight
        self.hidden = nn.Linear(8, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reflecting(self.dilated(self.oblong(self.grouped(self.body(self.stem(x))))))
        x = self.tied_too(self.tied(x.mean((2, 3))))
        return self.head(torch.relu(self.hidden(x)))


@pytest.fixture
def model() -> Users:
    torch.manual_seed(0)
    return Users()


def test_inner_layers_are_converted_and_trained_weights_kept(model: Users) -> None:
    before = copy.deepcopy(model)
    assert convert(model) == ["body.0", "body.2", "hidden"]
    assert [name for name, _ in binary_layers(model)] == ["body.0.1", "body.2.1", "hidden.1"]
    assert torch.equal(model.body[2][1].weight, before.body[2].weight)  # type: ignore[index,union-attr]
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        hidden = torch.randn(5, 8)
        layer, old = model.hidden, before.hidden
        alpha = old.weight.abs().mean(1, keepdim=True)
        signs, inputs = (torch.where(t >= 0, 1.0, -1.0) for t in (old.weight, hidden))
        torch.testing.assert_close(layer(hidden), inputs @ (alpha * signs).T + old.bias)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    ReBNN(model).attach(optimizer)
    model(x).square().sum().backward()
    optimizer.step()


def test_what_is_frozen_stays_frozen(model: Users) -> None:
    model.body[2].weight.requires_grad_(False)
    model.hidden.bias.requires_grad_(False)
    convert(model)
    frozen = {name for name, parameter in model.named_parameters() if not (parameter.requires_grad or name.endswith(".scale"))}
    assert frozen == {"body.2.1.weight", "hidden.2.bias"}


def test_named_layers_alone(model: Users) -> None:
    assert convert(model, ["hidden"], weights="reactnet", signs=False) == ["hidden"]
    assert [type(layer) for _, layer in binary_layers(model)] == [BinaryLinear]
    assert not any(isinstance(module, BinaryConv2d) for module in model.modules())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing", "there is no such layer; layers are stem, body.0, body.2"),
        ("stem", "it is the first layer or the last"),
        ("head", "it is the first layer or the last"),
        ("body.1", "it is a BatchNorm2d"),
        ("grouped", "it has 2 groups"),
        ("oblong", r"its kernel is not square: \(1, 3\)"),
        ("dilated", "it has dilation"),
        ("reflecting", "it pads with reflect"),
        ("tied", "its weight is shared with tied_too.weight"),
    ],
)
def test_why_a_layer_cannot_be_converted(model: Users, name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"layer '{name}' cannot be made binary: {reason}"):
        convert(model, ["hidden", name])
    assert binary_layers(model) == []


def test_converting_twice_is_refused(model: Users) -> None:
    convert(model, ["hidden"])
    with pytest.raises(ValueError, match="it is binary already"):
        convert(model, ["hidden.1"])


def test_a_summary_adds_up() -> None:
    network = NETWORKS["resnet18"](in_channels=3, num_classes=1000, image_size=224)  # type: ignore[call-arg]
    layers = summary(network)
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in network.parameters())
    assert sum(layer.binary_weights for layer in layers) == 10985472
    first = next(layer for layer in layers if layer.kind == "BinaryConv2d")
    assert (first.parameters, first.binary_weights) == (64 * 64 * 9 + 64, 64 * 64 * 9)
    assert first.bits == 64 * 64 * 9 + 32 * 64
    total = sum(p.numel() for p in network.parameters())
    assert format_summary(layers).splitlines()[-1].split()[1:3] == [f"{total:,}", "10,985,472"]
    real = NETWORKS["digits_resnet"](in_channels=1, num_classes=10, image_size=8, weights="real")  # type: ignore[call-arg]
    assert sum(layer.binary_weights for layer in summary(real)) == 0


def test_a_linear_map_s_shifts_and_bias_are_its_features_wherever_these_stand() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4))
    assert convert(model) == ["1"]
    layer = model[1]
    with torch.no_grad():
        layer[0].shift.copy_(torch.randn(1, 8))  # type: ignore[index,union-attr,operator]
        layer[2].bias.copy_(torch.randn(1, 8))  # type: ignore[index,union-attr,operator]
        tokens = torch.randn(3, 8, 8)  # as many tokens as features: another axis would fit too
        assert torch.equal(layer(tokens).flatten(0, 1), layer(tokens.flatten(0, 1)))
        assert layer(torch.randn(2, 3, 5, 8)).shape == (2, 3, 5, 8)


def test_layers_whose_weights_others_read_stay_real() -> None:
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.Linear(4, 8), block, nn.Linear(8, 8), nn.Linear(8, 2))
    assert convert(model) == ["2"]
    for training in (True, False):
        assert model.train(training)(torch.randn(2, 5, 4)).shape == (2, 5, 2)
    with pytest.raises(
        ValueError, match=r"'1.linear1' cannot be made binary: its parent, a TransformerEncoderLayer, reads its weight"
    ):
        convert(model, ["1.linear1"])
    with pytest.raises(
        ValueError, match=r"'1.self_attn.out_proj' cannot be made binary: it is a \w+; a Conv2d or a Linear can be"
    ):
        convert(model, ["1.self_attn.out_proj"])
