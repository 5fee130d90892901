"""A user's own network is exported and loaded again, also one that cannot be built without memory."""

from pathlib import Path
from typing import Annotated

import pytest
import torch
from torch import nn

from rebnn_search.config import Choose, Component, Document, UserError, validate
from rebnn_search.config import Strict as Base
from rebnn_search.export import ModelInfo, export_packed, export_torch, load_model
from rebnn_search.method import NETWORKS
from rebnn_search.method.networks import CONTEXT
from rebnn_search.training import custom_parts as own

MODULE = """
import torch
from torch import nn

def plain(in_channels: int, num_classes: int, width: int = 6) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels, width), nn.BatchNorm1d(width), nn.Linear(width, width), nn.Tanh(),
                         nn.Linear(width, num_classes))

def looking(in_channels: int, num_classes: int, width: int = 6) -> nn.Module:
    network = plain(in_channels, num_classes, width)
    assert sum(network[1].weight.flatten().tolist()) < 1e6  # needs numbers
    network.register_buffer("scale", torch.ones(1), persistent=False)
    return network
"""


class Chosen(Base):
    network: Annotated[Component[nn.Module], Choose(NETWORKS, "network", context=CONTEXT)]


@pytest.mark.parametrize("function", ["plain", "looking"])
def test_an_own_network(function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_networks_of_a_test.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(own.ALLOWED, "")
    chosen = {"name": own.allow(f"own_networks_of_a_test:{function}"), "width": 5}
    component_ = validate(Chosen, Document("recipe", {"network": chosen})).network
    network = component_.build(in_channels=3, num_classes=4, image_size=1, weights="rebnn").eval()
    info = ModelInfo(
        recipe={"network": chosen}, classes=list("abcd"), channels=3, image_size=1, mean=[0.0] * 3, std=[1.0] * 3, white=None
    )
    rows = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    expected = network(rows[:, :, None, None])
    for export in (export_packed, export_torch):
        export(network, info, tmp_path / "m")
        assert torch.equal(load_model(tmp_path / "m").logits(rows), expected)
    other = info.model_copy(update={"recipe": {"network": {**chosen, "width": 6}}})
    export_packed(network, other, tmp_path / "m")
    with pytest.raises(UserError, match=r"m: does not fit the network of its recipe, own_networks_of_a_test:\w+: "):
        load_model(tmp_path / "m")
    monkeypatch.setenv(own.ALLOWED, "")
    with pytest.raises(UserError, match=r"m: .*own_networks_of_a_test:\w+: naming code in a recipe runs it"):
        load_model(tmp_path / "m")
