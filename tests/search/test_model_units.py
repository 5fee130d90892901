"""The network as MLflow gets it takes the training data's units without losing what is different in them."""

import numpy as np
import torch

from rebnn_search.execution.model import RawInputNetwork
from rebnn_search.export import LoadedModel, ModelInfo
from rebnn_search.method import NETWORKS


def test_real_numbers_are_normalised_in_float64() -> None:
    torch.manual_seed(0)
    network = NETWORKS["mlp"](in_channels=1, num_classes=2, image_size=1, width=8).eval()
    seconds = 1_700_000_000 + np.linspace(0, 60, 50)
    info = ModelInfo(
        recipe={"network": {"name": "mlp", "width": 8}}, classes=["a", "b"], channels=1, image_size=1,
        mean=[float(seconds.mean())], std=[float(seconds.std())], white=None,
    )  # fmt: skip
    with torch.no_grad():
        found = RawInputNetwork(network, info)(torch.from_numpy(seconds)[:, None, None, None])
    assert torch.equal(found, LoadedModel(info, network).logits(seconds[:, None]))
    assert len(found[:, 0].unique()) > 40
