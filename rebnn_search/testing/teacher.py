"""What a teacher keeps to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rebnn_search.config import UserError
from rebnn_search.training.data import Data, ResidentData, Samples
from rebnn_search.training.teachers import Teacher

Make = Callable[[], tuple[Teacher, Data]]


def _opened(make: Make) -> tuple[nn.Module, Tensor, Data]:
    """The network, a few images as a student sees them, and the data."""
    teacher, data = make()
    images, _ = next(iter(data.batches("train", batch_size=min(8, data.size("train")))))
    return teacher.open(data), images, data


def gives_a_logit_for_each_class(make: Make) -> None:
    """Finite, for images as the student sees them."""
    network, images, data = _opened(make)
    with torch.no_grad():
        logits = network(images)
    assert logits.shape == (len(images), data.num_classes), f"logits {tuple(logits.shape)} of {data.num_classes} classes"
    assert logits.is_floating_point() and torch.isfinite(logits).all(), "logits must be finite numbers"


def is_trained_already(make: Make) -> None:
    """In evaluation mode and frozen: an image's logits do not depend on the others of its batch, and none of it learns."""
    network, images, _ = _opened(make)
    assert not any(module.training for module in network.modules()), "is not in evaluation mode"
    assert not any(parameter.requires_grad for parameter in network.parameters()), "has parameters that would be trained"
    with torch.no_grad():
        whole, alone = network(images), torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-4, msg="an image's logits depend on its batch")


def is_the_same_when_opened_again(make: Make) -> None:
    """So that a resumed student goes on learning the same."""
    (first, images, _), (second, _, _) = _opened(make), _opened(make)
    with torch.no_grad():
        assert torch.equal(first(images), second(images)), "opened twice, two networks"


def leaves_torch_s_random_state_alone(make: Make) -> None:
    """A student begins as it would without one."""
    teacher, data = make()
    before = torch.random.get_rng_state()
    teacher.open(data)
    assert torch.equal(before, torch.random.get_rng_state()), "opening it drew random numbers"


def refuses_data_of_other_classes(make: Make) -> None:
    """With the error that is shown to a user, before any training."""
    teacher, data = make()
    classes = [*data.classes, "one more"]
    size = (len(classes), data.channels, data.image_size, data.image_size)
    samples = Samples(torch.zeros(size, dtype=torch.uint8), torch.arange(len(classes)))
    ones = torch.ones(data.channels)
    others = ResidentData({"train": samples, "validation": samples, "test": samples}, classes, ones, ones)
    try:
        teacher.open(others)
    except UserError:
        return
    raise AssertionError(f"opened for {len(classes)} classes, having learned {data.num_classes}")


TEACHER_CHECKS = (
    gives_a_logit_for_each_class, is_trained_already, is_the_same_when_opened_again, leaves_torch_s_random_state_alone,
    refuses_data_of_other_classes,
)  # fmt: skip
"""For anything that makes a teacher and opens data that it fits."""
