"""What an augmentation keeps to."""

from __future__ import annotations

from collections.abc import Callable

import torch

from rebnn_search.training.data import Augmentation
from rebnn_search.training.data.base import seeded

Make = Callable[[], Augmentation]


def keeps_shape_and_stays_finite(make: Make) -> None:
    """For one channel and three."""
    for channels in (1, 3):
        images = torch.randn(6, channels, 8, 8, generator=seeded("x"))
        out = make().apply(images, make().draw(6, seeded("d")))
        assert out.shape == images.shape, f"{tuple(out.shape)} from {tuple(images.shape)}"
        assert torch.isfinite(out).all()


def is_a_function_of_its_draws(make: Make) -> None:
    """The same generator state gives the same images, and each image depends on its own draws alone: several workers agree."""
    augmentation, images = make(), torch.randn(6, 3, 8, 8, generator=seeded("x"))
    draws = augmentation.draw(6, seeded("d"))
    out = augmentation.apply(images, draws)
    assert torch.equal(out, augmentation.apply(images, augmentation.draw(6, seeded("d")))), "two draws with one seed differ"
    parts = [augmentation.apply(images[p], {k: v[p] for k, v in draws.items()}) for p in (slice(0, 2), slice(2, 6))]
    torch.testing.assert_close(torch.cat(parts), out, msg="a share of a batch is augmented otherwise than in the whole")


AUGMENTATION_CHECKS = (keeps_shape_and_stays_finite, is_a_function_of_its_draws)
"""For anything that makes an augmentation: its class, where its options have defaults."""
