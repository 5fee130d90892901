"""What trials must agree on to share a stage one: everything but what is known not to matter."""

from typing import Any

import pytest

from rebnn_search.training import Recipe
from rebnn_search.training.recipe import ALWAYS_SHARED, STAGE_TWO, StageOne

PLAIN: dict[str, Any] = {"data": "digits", "network": "digits_resnet", "epochs": 2, "stage_one": {"epochs": 1}}
BEFORE: list[tuple[dict[str, Any], str]] = [
    (PLAIN, "65f39be7f0fb66d888b1d8d3"),
    (
        {
            "data": {"name": "digits", "augment": {"name": "crop_flip", "flip": False}},
            "network": {"name": "digits_resnet", "width": 8}, "weights": "recu", "epochs": 3, "batch_size": 32, "accumulate": 2,
            "stage_one": {"epochs": 4, "lr": 0.01, "weight_decay": 0.0}, "optimizer": {"name": "sgd", "momentum": 0.5},
            "schedule": {"name": "cosine", "warmup_epochs": 1}, "seed": 7,
        },
        "739e5ea90e323c6f9570db13",
    ),
    (
        {
            "data": {"name": "cifar10", "root": "/data"}, "network": "resnet20", "weights": "sign", "epochs": 3,
            "stage_one": {"epochs": 2}, "train_on": "train+validation",
            "loss": {"teacher": {"name": "torchvision", "arch": "resnet50", "path": "/t.pt"}, "label_share": 0.25},
            "precision": {"dtype": "bfloat16", "compile": False}, "sync_batch_norm": True,
        },
        "5dcde36e5d1b076d7ca50083",
    ),
]  # fmt: skip
"""Keys of stage ones that lie on disk."""


@pytest.mark.parametrize(("data", "key"), BEFORE)
def test_stage_ones_on_disk_are_found_again(data: dict[str, Any], key: str) -> None:
    assert Recipe.model_validate(data).stage_one_key() == key


class Later(Recipe):
    new: int = 0


class LaterStageOne(StageOne):
    new: int = 0


class LaterStaged(Recipe):
    stage_one: LaterStageOne | None = None


def test_a_field_that_nobody_thought_of_parts_stage_ones_and_leaves_old_keys() -> None:
    old = Recipe.model_validate(PLAIN).stage_one_key()
    assert Later.model_validate(PLAIN).stage_one_key() == old
    keys = {Later.model_validate({**PLAIN, "new": value}).stage_one_key() for value in (0, 1, 2)}
    assert len(keys) == 3


def test_so_does_one_of_stage_one_itself() -> None:
    assert LaterStaged.model_validate(PLAIN).stage_one_key() == Recipe.model_validate(PLAIN).stage_one_key()
    keys = {
        LaterStaged.model_validate({**PLAIN, "stage_one": {"epochs": 1, "new": value}}).stage_one_key() for value in (0, 1, 2)
    }
    assert len(keys) == 3


def test_so_does_one_of_the_precision() -> None:
    def key(products: str) -> str:
        return Recipe.model_validate({**PLAIN, "precision": {"products": products}}).stage_one_key()

    assert key("auto") == Recipe.model_validate(PLAIN).stage_one_key()
    assert len({key(products) for products in ("auto", "float32", "bfloat16")}) == 3


def test_the_lists_name_fields_that_there_are() -> None:
    assert not set(STAGE_TWO) & set(ALWAYS_SHARED)
    assert set(STAGE_TWO) | set(ALWAYS_SHARED) <= set(Recipe.model_fields)
