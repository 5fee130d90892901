"""Random resized crops, and the centre that evaluation sees, beside torchvision's."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp

from rebnn_search.training.data.base import crop_numbers, seeded
from rebnn_search.training.data.crop import RATIOS, RandomResizedCrop
from rebnn_search.training.data.images import as_tensor, centre, cut_out, decode, resized_side
from rebnn_search.training.vision import torchvision_module

SIZES = [(224, 224), (375, 500), (60, 400), (500, 90), (8, 9), (1, 1), (1, 30)]


def by_hand(numbers: list[float], height: int, width: int, min_scale: float) -> list[int]:
    """torchvision's `RandomResizedCrop.get_params`, line by line, with its random numbers given."""
    *tries, top, left = numbers
    area = height * width
    log_ratio = [math.log(ratio) for ratio in RATIOS]
    for share, place in zip(tries[::2], tries[1::2], strict=True):
        target_area = area * (min_scale + (1 - min_scale) * share)
        aspect_ratio = math.exp(log_ratio[0] + (log_ratio[1] - log_ratio[0]) * place)
        w = round(math.sqrt(target_area * aspect_ratio))
        h = round(math.sqrt(target_area / aspect_ratio))
        if 0 < w <= width and 0 < h <= height:
            return [int(top * (height - h + 1)), int(left * (width - w + 1)), h, w]
    in_ratio = width / height
    if in_ratio < min(RATIOS):
        w = width
        h = round(w / min(RATIOS))
    elif in_ratio > max(RATIOS):
        h = height
        w = round(h * max(RATIOS))
    else:
        w, h = width, height
    return [(height - h) // 2, (width - w) // 2, h, w]


@pytest.mark.parametrize("min_scale", [0.08, 0.9, 1.0])
@pytest.mark.parametrize("size", SIZES)
def test_a_crop_is_torchvision_s_of_the_same_numbers(size: tuple[int, int], min_scale: float) -> None:
    crop = RandomResizedCrop(min_scale)
    drawn = crop.draw(300, seeded("d"))
    boxes = crop.boxes(drawn, torch.tensor([size]).expand(300, 2))
    assert boxes.tolist() == [by_hand(one, *size, min_scale) for one in drawn.tolist()]
    inside = (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= torch.tensor(size)).all()
    assert inside
    assert (boxes[:, 2:] > 0).all()


def test_crops_are_distributed_as_torchvision_s() -> None:
    height, width, count = 180, 320, 4000
    theirs = torchvision_module("transforms").RandomResizedCrop
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        picture = torch.empty(3, height, width)
        expected = np.array([theirs.get_params(picture, [0.08, 1.0], list(RATIOS)) for _ in range(count)])
    crop = RandomResizedCrop(0.08)
    found = crop.boxes(crop.draw(count, seeded("d")), torch.tensor([[height, width]]).expand(count, 2)).numpy()
    for column in range(4):
        assert ks_2samp(found[:, column], expected[:, column]).pvalue > 1e-3
    assert ks_2samp(found[:, 2] * found[:, 3], expected[:, 2] * expected[:, 3]).pvalue > 1e-3


def test_a_sample_s_crop_is_a_function_of_the_key_and_its_index() -> None:
    crop = RandomResizedCrop(0.08)
    whole = crop_numbers(crop, ("crop", 0, 1), torch.arange(10))
    assert torch.equal(crop_numbers(crop, ("crop", 0, 1), torch.tensor([7, 2])), whole[[7, 2]])
    assert len(torch.unique(whole)) == whole.numel()
    assert not (crop_numbers(crop, ("crop", 0, 2), torch.arange(10)) == whole).any()
    assert crop_numbers(crop, ("crop", 0, 2), torch.arange(0)).shape == (0, crop.uniforms)


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize(("width", "height"), [(500, 375), (333, 500), (256, 300), (100, 80), (224, 224), (1000, 257), (7, 5)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_centre_is_torchvision_s_to_the_pixel(width: int, height: int, mode: str) -> None:
    transforms = torchvision_module("transforms")
    whole = picture(width, height, mode)
    for size, crop_pct, side in ((224, 7 / 8, 256), (32, 7 / 8, 37), (32, 1.0, 32)):
        assert resized_side(size, crop_pct) == side
        expected = transforms.CenterCrop(size)(transforms.Resize(side)(whole))
        assert centre(whole, size, crop_pct).tobytes() == expected.tobytes()


def test_a_part_is_torchvision_s_to_the_pixel() -> None:
    functional = torchvision_module("transforms.functional")
    whole = picture(300, 200)
    for box in ((0, 0, 200, 300), (20, 150, 90, 80), (199, 299, 1, 1)):
        assert cut_out(whole, box, 64).tobytes() == functional.resized_crop(whole, *box, [64, 64]).tobytes()


def test_files_are_decoded_as_asked(tmp_path: Path) -> None:
    picture(40, 30).save(tmp_path / "a.png")
    found = decode([tmp_path / "a.png"] * 2, 16, False, 0.8, whole=20)
    assert torch.equal(found.images[1], as_tensor(centre(picture(40, 30), 16, 0.8)))
    assert found.whole is not None and found.sizes is not None
    assert torch.equal(found.whole[0], as_tensor(picture(40, 30).resize((20, 20), Image.Resampling.BILINEAR)))
    assert found.sizes.tolist() == [[30, 40]] * 2
    assert decode([tmp_path / "a.png"], 16, True).images.shape == (1, 1, 16, 16)
