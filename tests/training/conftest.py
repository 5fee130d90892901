from collections.abc import Callable
from typing import Any

import pytest
import torch

from rebnn_search.config import parse, validate
from rebnn_search.training import Recipe, precision

TINY = """
data: {name: digits}
network: {name: digits_resnet, width: 4}
optimizer: {name: adam, lr: 1e-2}
epochs: 2
batch_size: 256
reports_per_epoch: 2
"""


@pytest.fixture(scope="session")
def recipe() -> Callable[..., Recipe]:
    """Make a tiny recipe, changed by dotted names: ``recipe("epochs=3", "gamma.strategy=constant")``."""
    from rebnn_search.config import apply_override

    def make(*overrides: str) -> Recipe:
        document = parse(TINY, "tiny.yaml")
        for override in overrides:
            apply_override(document, override)
        return validate(Recipe, document)

    return make


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """The graphs that are compiled, by a backend that runs them as they are: what Dynamo decides is what is counted."""
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(precision, "BACKEND", backend)
    return graphs
