"""Samples with weights: an independent oracle for the loss, the metrics and the order."""

import pytest
import torch

from rebnn_search.config import parse, validate
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.data import ResidentData, Samples
from rebnn_search.training.distributed import World
from rebnn_search.training.evaluation import evaluate
from rebnn_search.training.losses import BatchLoss, distribution_loss
from rebnn_search.training.precision import Computing
from rebnn_search.training.recipe import Loss, Precision

COUNT, CLASSES = 24, 6
COMPUTING = Computing(Precision(), torch.device("cpu"))


def samples(weights: torch.Tensor | None) -> Samples:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(COUNT, 3, 1, 1, generator=generator)
    return Samples(images, torch.randint(CLASSES, (COUNT,), generator=generator), weights)


def data(weights: torch.Tensor | None, repeats: torch.Tensor | None = None) -> ResidentData:
    given = samples(weights)
    if repeats is not None:
        given = Samples(given.images.repeat_interleave(repeats, 0), given.labels.repeat_interleave(repeats))
    splits = {"train": given, "validation": given}
    return ResidentData(splits, [str(label) for label in range(CLASSES)], torch.zeros(3), torch.ones(3))  # type: ignore[arg-type]


WHOLE = torch.arange(COUNT) % 4


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_weighted_loss_is_that_of_repeated_samples(smoothing: float) -> None:
    logits = torch.randn(COUNT, CLASSES, dtype=torch.float32, generator=torch.Generator().manual_seed(1))
    given = samples(None)
    objective = BatchLoss(Loss(label_smoothing=smoothing), data(None), COMPUTING)
    weighted = objective(logits, given.images, given.labels, WHOLE.float())
    repeated = objective(logits.repeat_interleave(WHOLE, 0), given.images, given.labels.repeat_interleave(WHOLE))
    torch.testing.assert_close(weighted, repeated)


def test_a_weighted_teacher_s_loss_is_that_of_repeated_samples() -> None:
    logits, wanted = torch.randn(2, COUNT, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    repeated = distribution_loss(logits.repeat_interleave(WHOLE, 0), wanted.repeat_interleave(WHOLE, 0))
    torch.testing.assert_close(distribution_loss(logits, wanted, WHOLE.double()), repeated)


def test_weighted_metrics_are_those_of_repeated_samples() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, CLASSES))
    weighted = evaluate(network, data(WHOLE / 3), "validation", COMPUTING, World())
    assert weighted == pytest.approx(evaluate(network, data(None, WHOLE), "validation", COMPUTING, World()))
    assert weighted != pytest.approx(evaluate(network, data(None), "validation", COMPUTING, World()))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_weight_stays_with_its_sample(rank: int) -> None:
    weights = torch.rand(COUNT, generator=torch.Generator().manual_seed(2))
    opened = data(weights)
    batches = opened.weighted_batches("train", batch_size=7, shuffle=True, rank=rank, world_size=2)
    for images, _, given in batches:
        assert given is not None
        for image, weight in zip(images, given, strict=True):
            index = (opened.samples("train").images == image).flatten(1).all(1)
            assert weight == weights[index].item()


def trained(weights: torch.Tensor | None, accumulate: int = 1) -> dict[str, torch.Tensor]:
    text = f"data: digits\nnetwork: {{name: mlp, width: 8, norm: false}}\nepochs: 3\nbatch_size: 12\naccumulate: {accumulate}\n"
    trainer = Trainer(validate(Recipe, parse(text, "recipe")), device="cpu", data=data(weights))
    while not trainer.finished:
        trainer.next_report()
    return trainer.network.state_dict()


def test_weights_change_what_is_trained_and_equal_ones_do_not() -> None:
    plain, ones = trained(None), trained(torch.ones(COUNT))
    torch.testing.assert_close(plain, ones, rtol=1e-4, atol=1e-5)
    weighted = trained(WHOLE.float())
    assert any(not torch.allclose(weighted[name], plain[name], rtol=1e-2) for name in plain)


def test_weights_are_accumulated_with_their_parts() -> None:
    torch.testing.assert_close(trained(WHOLE.float()), trained(WHOLE.float(), accumulate=3), rtol=1e-4, atol=1e-5)
