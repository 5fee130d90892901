"""What a format of model files keeps to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from rebnn_search.config import UserError
from rebnn_search.export import ModelFormat, ModelInfo, load_model
from rebnn_search.export.formats import format_of
from rebnn_search.method import NETWORKS
from rebnn_search.training.checkpoint import MAGIC

Make = Callable[[], ModelFormat]
CLASSES, FEATURES = 3, 8
TOLERANCE = 1e-3
"""Of a logit: a format may compute in another order, and a sum may then round otherwise."""


def _model() -> tuple[nn.Module, ModelInfo]:
    """A small binary network and what it says of itself; the same at each call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NETWORKS["mlp"](in_channels=FEATURES, num_classes=CLASSES, image_size=1, weights="sign")
        with torch.no_grad():
            network.train()(torch.randn(64, FEATURES, 1, 1))
    info = ModelInfo(
        recipe={"network": {"name": "mlp"}}, classes=[f"class {index}" for index in range(CLASSES)], channels=FEATURES,
        image_size=1, mean=[0.5] * FEATURES, std=[2.0] * FEATURES,
    )  # fmt: skip
    return network.eval(), info


@contextmanager
def _written(form: ModelFormat) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / form.file
        form.write(*_model(), path)
        assert [found.name for found in Path(folder).iterdir()] == [form.file], "there is more than the one file"
        yield path


def gives_back_what_was_written(make: Make) -> None:
    """A file is one, is found to be of its format, and computes what the network did."""
    network, info = _model()
    raw = torch.randn(5, FEATURES, 1, 1, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(info.normalised(raw))
    with _written(make()) as path:
        found = format_of(path.read_bytes())
        assert type(found) is type(make()), f"is taken for a file of {type(found).__name__}"
        model = load_model(path)
    assert model.info == info, "what the model says of itself was changed"
    difference = float((model.logits(raw) - expected).abs().max())
    assert difference < TOLERANCE, f"a logit differs by {difference}"


def leaves_the_network_alone(make: Make) -> None:
    """Its mode, its parameters and its buffers."""
    network, info = _model()
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        make().write(network, info, Path(folder) / "model")
    after = network.state_dict()
    assert network.training, "the network was left in evaluation mode"
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def tells_of_damage(make: Make) -> None:
    """A file cut short, or with bits turned in its middle, is an error of the user's that names the file."""
    with _written(make()) as path:
        whole = path.read_bytes()
        turned = bytearray(whole)
        for place in range(len(whole) // 2, len(whole) // 2 + 64):
            turned[place] ^= 0xFF
        for what, content in (("cut short", whole[: len(whole) // 2]), ("altered", bytes(turned))):
            try:
                make().read(content, path)
            except UserError as error:
                assert str(path) in str(error), f"{what}, the message names no file: {error}"
            else:
                raise AssertionError(f"a file that was {what} was read")


def claims_nothing_else(make: Make) -> None:
    """Not an empty file, a checkpoint, or text."""
    for content in (b"", MAGIC, b"name,label\n1,a\n"):
        assert not make().claims(content), f"claims {content!r}"


MODEL_FORMAT_CHECKS = (gives_back_what_was_written, leaves_the_network_alone, tells_of_damage, claims_nothing_else)
"""For anything that makes a registered format: its class."""
