"""Fault 10 of the released implementation: its lighting acts on bytes."""

import numpy as np
import torch

from rebnn_search.training.data.augmentations import EIGENVALUES, EIGENVECTORS, IMAGENET_STD, ImageNetAugmentation
from rebnn_search.training.data.base import seeded
from rebnn_search.training.data.crop import RandomResizedCrop

STRENGTH = 0.1


def released(pixels: np.ndarray, z: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Its arithmetic: the change, meant for colours of 0 to 1, is added to bytes, and the sum cut to bytes again."""
    change = np.asarray(EIGENVECTORS) @ (STRENGTH * z * np.asarray(EIGENVALUES))
    return np.clip(pixels + change, 0, 255).astype(np.uint8)


def test_10_lighting_changes_colours_by_what_it_says() -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(1, 255, (500, 8, 8, 3), dtype=np.uint8)
    z = random.standard_normal((500, 3))
    theirs = np.stack([released(image, one).astype(int) - image for image, one in zip(pixels, z, strict=True)])
    assert set(np.unique(theirs)) == {-1, 0}

    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255
    std = torch.tensor(IMAGENET_STD).double().view(1, 3, 1, 1)
    draws = {
        # Areas of 1 at ratio 1: crops of the whole.
        "crop": torch.tensor([1.0, 0.5] * 10 + [0.0, 0.0]).double().repeat(500, 1),
        "flip": torch.zeros(500, dtype=torch.bool),
        "light": STRENGTH * torch.from_numpy(z),
    }
    assert draws["crop"].shape[1] == RandomResizedCrop.uniforms
    ours = (ImageNetAugmentation(lighting=STRENGTH).apply(images / std, draws) * std - images) * 255
    expected = 255 * (STRENGTH * z * np.asarray(EIGENVALUES)) @ np.asarray(EIGENVECTORS).T
    np.testing.assert_allclose(ours.mean((2, 3)), expected, atol=1e-3)
    np.testing.assert_allclose(ours.std((2, 3)), 0, atol=1e-3)
    assert np.abs(expected).mean() > 2, "levels of 255"


def test_and_it_is_drawn_at_that_strength() -> None:
    drawn = ImageNetAugmentation(lighting=STRENGTH).draw(20_000, seeded("light"))["light"]
    torch.testing.assert_close(drawn.std(0), torch.full((3,), STRENGTH), rtol=0.03, atol=0)
