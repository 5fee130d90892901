import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from rebnn_search.config import Component
from rebnn_search.training.data import AUGMENTATIONS, from_arrays
from rebnn_search.training.data.augmentations import EIGENVALUES, EIGENVECTORS, IMAGENET_STD, CropFlip, ImageNetAugmentation
from rebnn_search.training.data.base import seeded


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_augmentation_keeps_shape_and_is_a_function_of_its_draws(name: str, channels: int) -> None:
    augmentation = AUGMENTATIONS[name]()
    images = torch.randn(6, channels, 8, 8, generator=seeded("x"))
    draws = augmentation.draw(6, seeded("d"))
    out = augmentation.apply(images, draws)
    assert out.shape == images.shape
    assert torch.isfinite(out).all()
    assert torch.equal(out, augmentation.apply(images, augmentation.draw(6, seeded("d"))))
    parts = [augmentation.apply(images[p], {k: v[p] for k, v in draws.items()}) for p in (slice(0, 2), slice(2, 6))]
    torch.testing.assert_close(torch.cat(parts), out)


def test_crop_and_flip_are_those_of_slices() -> None:
    augmentation = CropFlip(padding=2)
    images = torch.randn(40, 3, 6, 6, generator=seeded("x"))
    draws = augmentation.draw(40, seeded("d"))
    out = augmentation.apply(images, draws)
    for i in range(40):
        row, column = int(draws["row"][i]), int(draws["column"][i])
        expected = F.pad(images[i], [2] * 4)[:, row : row + 6, column : column + 6]
        assert torch.equal(out[i], expected.flip(2) if draws["flip"][i] else expected)
    assert set(draws["row"].tolist()) == set(range(5))
    assert 5 < int(draws["flip"].sum()) < 35


def numbers(count: int, size: int, box: tuple[int, int, int, int]) -> torch.Tensor:
    """Uniform numbers whose crop of a square of that size is the box, of a ratio within 3/4 to 4/3."""
    top, left, height, width = box
    area, ratio = height * width / size**2, width / height
    tries = torch.tensor([area, (math.log(ratio) / math.log(4 / 3) + 1) / 2], dtype=torch.float64).repeat(10)
    place = torch.tensor([top / (size - height + 1), left / (size - width + 1)], dtype=torch.float64) + 1e-9
    return torch.cat([tries, place]).repeat(count, 1)


def imagenet(**options: Any) -> ImageNetAugmentation:
    return ImageNetAugmentation(**{"min_scale": 1e-9, "lighting": 0.0, "flip": False, **options})


def test_imagenet_s_crop_of_the_whole_image_is_the_image() -> None:
    images = torch.randn(2, 3, 5, 5, generator=seeded("x"))
    whole = {"crop": numbers(2, 5, (0, 0, 5, 5)), "flip": torch.tensor([False, True]), "light": torch.zeros(2, 3)}
    out = imagenet().apply(images, whole)
    torch.testing.assert_close(out[0], images[0])
    torch.testing.assert_close(out[1], images[1].flip(2))


def test_imagenet_s_crop_is_the_interpolated_part() -> None:
    images = torch.randn(1, 3, 8, 8, generator=seeded("x"))
    draws = {"crop": numbers(1, 8, (2, 4, 4, 4)), "flip": torch.tensor([False]), "light": torch.zeros(1, 3)}
    out = imagenet().apply(images, draws)
    # Output pixel (i, j) lies at ((i + ½)/8·4 + 2, (j + ½)/8·4 + 4) in pixels of the input, whose centres are at ½, 1½, ...
    for i, j in ((0, 0), (3, 5), (7, 7)):
        y, x = (i + 0.5) / 2 + 2 - 0.5, (j + 0.5) / 2 + 4 - 0.5
        top, left = math.floor(y), math.floor(x)
        expected = sum(
            (1 - abs(y - a)) * (1 - abs(x - b)) * images[0, :, min(a, 7), min(b, 7)]
            for a in (top, top + 1)
            for b in (left, left + 1)
        )
        torch.testing.assert_close(out[0, :, i, j], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lighting", [-0.1, math.nan, math.inf])
def test_lighting_is_a_number(lighting: float) -> None:
    with pytest.raises(ValueError, match=f"lighting must be >= 0 and finite, not {lighting}"):
        ImageNetAugmentation(lighting=lighting)


def test_lighting_is_its_formula() -> None:
    z = torch.tensor([[0.1, -0.2, 0.3]])
    draws = {"crop": numbers(1, 4, (0, 0, 4, 4)), "flip": torch.tensor([False]), "light": z}
    out = ImageNetAugmentation().apply(torch.zeros(1, 3, 4, 4), draws)
    for colour in range(3):
        expected = sum(float(z[0, k]) * EIGENVALUES[k] * EIGENVECTORS[colour][k] for k in range(3)) / IMAGENET_STD[colour]
        torch.testing.assert_close(out[0, colour], torch.full((4, 4), expected))


@pytest.mark.parametrize("channels", [1, 3])
def test_lighting_is_as_strong_in_pictures_of_any_statistics(channels: int) -> None:
    """In units of 0 to 1, whatever they are normalised by."""
    z = torch.tensor([[0.1, -0.2, 0.3]])
    draws = {"crop": numbers(1, 4, (0, 0, 4, 4)), "flip": torch.tensor([False]), "light": z}
    formula = (z * torch.tensor(EIGENVALUES)) @ torch.tensor(EIGENVECTORS).T
    for level in (3, 57):
        images = torch.randint(128 - level, 128 + level, (20, channels, 4, 4), dtype=torch.uint8)
        data = from_arrays(images, torch.arange(20) % 2, augment=Component("name", "imagenet", {}, ImageNetAugmentation))
        assert data._augmentation is not None
        added = data._augmentation.apply(torch.zeros(1, channels, 4, 4), draws)[0, :, 0, 0] * data.std.flatten() / 255
        torch.testing.assert_close(added.float(), formula[0] if channels == 3 else formula.mean(1))
