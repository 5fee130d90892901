import math

import pytest
import torch
import torch.nn.functional as F

from rebnn_search.training.data import AUGMENTATIONS
from rebnn_search.training.data._augment import COLOUR_STD, EIGENVALUES, EIGENVECTORS, CropFlip, ImageNetAugmentation
from rebnn_search.training.data._base import seeded


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


def test_imagenet_s_crop_of_the_whole_image_is_the_image() -> None:
    augmentation = ImageNetAugmentation(min_scale=1.0, lighting=0.0, flip=False)
    images = torch.randn(2, 3, 5, 5, generator=seeded("x"))
    whole = {"box": torch.tensor([[1.0, 1.0, 0.0, 0.0]] * 2), "flip": torch.tensor([False, True]), "light": torch.zeros(2, 3)}
    out = augmentation.apply(images, whole)
    torch.testing.assert_close(out[0], images[0])
    torch.testing.assert_close(out[1], images[1].flip(2))


def test_imagenet_s_crop_is_the_interpolated_part() -> None:
    images = torch.randn(1, 3, 8, 8, generator=seeded("x"))
    box = torch.tensor([[0.5, 0.5, 0.25, 0.5]])
    draws = {"box": box, "flip": torch.tensor([False]), "light": torch.zeros(1, 3)}
    out = ImageNetAugmentation().apply(images, draws)
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


def test_crops_cover_the_share_they_may_and_lie_inside() -> None:
    box = ImageNetAugmentation(min_scale=0.08).draw(4000, seeded("d"))["box"].double()
    area, ratio = box[:, 0] * box[:, 1], box[:, 1] / box[:, 0]
    inside = (box[:, :2] < 1).all(1)  # a side longer than the image is cut to it
    assert area.min() > 0.07
    assert area.max() <= 1
    assert ratio[inside].min() > 0.74
    assert ratio[inside].max() < 1.34
    assert (box[:, 0] + box[:, 2] <= 1 + 1e-6).all()
    assert (box[:, 1] + box[:, 3] <= 1 + 1e-6).all()


def test_lighting_is_its_formula() -> None:
    z = torch.tensor([[0.1, -0.2, 0.3]])
    draws = {"box": torch.tensor([[1.0, 1.0, 0.0, 0.0]]), "flip": torch.tensor([False]), "light": z}
    out = ImageNetAugmentation().apply(torch.zeros(1, 3, 4, 4), draws)
    for colour in range(3):
        expected = sum(float(z[0, k]) * EIGENVALUES[k] * EIGENVECTORS[colour][k] for k in range(3)) / COLOUR_STD[colour]
        torch.testing.assert_close(out[0, colour], torch.full((4, 4), expected))
