from collections.abc import Callable

import pytest

from rebnn_search.config import parse, validate
from rebnn_search.training import Recipe

TINY = """
data: {name: digits}
network: {name: digits_resnet, width: 4}
optimizer: {name: adam, lr: 1e-2}
epochs: 2
batch_size: 256
reports_per_epoch: 2
"""


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """Make a tiny recipe, changed by dotted names: ``recipe("epochs=3", "gamma.strategy=constant")``."""
    from rebnn_search.config import apply_override

    def make(*overrides: str) -> Recipe:
        document = parse(TINY, "tiny.yaml")
        for override in overrides:
            apply_override(document, override)
        return validate(Recipe, document)

    return make
