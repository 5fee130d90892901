"""The class-weighted loss against scikit-learn's weights and loops."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.utils import compute_class_weight

from rebnn_search.report.evaluation._evaluate import _check, _weights
from rebnn_search.report.evaluation._outputs import Outputs
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.data import Data, from_arrays
from rebnn_search.training.evaluation import logits_of
from rebnn_search.training.losses import BatchLoss, balanced_weights
from rebnn_search.training.precision import Computing
from rebnn_search.training.recipe import Loss, Precision

Make = Callable[..., Recipe]


@pytest.fixture(scope="module")
def uneven() -> Data:
    """Ten of one class for one of the other, which overlap."""
    draw = np.random.default_rng(0)
    labels = (np.arange(660) % 11 == 0).astype(np.int64)
    return from_arrays(draw.normal(size=(660, 2)) + 1.5 * labels[:, None], labels)


def test_the_weights_are_scikit_learn_s(uneven: Data) -> None:
    labels = uneven.labels("train")
    expected = compute_class_weight("balanced", classes=np.arange(2), y=labels.numpy())
    weights = balanced_weights(uneven)
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6)
    assert weights[labels].mean() == pytest.approx(1.0)


def test_the_loss_of_a_batch_is_weighted(uneven: Data) -> None:
    logits, labels = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 1, 0, 1, 0])
    objective = BatchLoss(Loss(class_weight="balanced"), uneven, Computing(Precision(), torch.device("cpu")))
    weights = balanced_weights(uneven)
    own = torch.rand(6, generator=torch.Generator().manual_seed(1))
    for given in (None, own):
        expected = sum(
            -float(weights[label]) * float(row.log_softmax(0)[label]) * (1 if given is None else float(given[index]))
            for index, (row, label) in enumerate(zip(logits, labels, strict=True))
        )
        assert float(objective(logits, torch.zeros(6, 2, 1, 1), labels, given)) == pytest.approx(expected, rel=1e-5)


def test_a_training_by_it_finds_the_rare_class(recipe: Make, uneven: Data) -> None:
    found = {}
    for name in (None, "balanced"):
        made = recipe("network={name: mlp, width: 16}", "batch_size=32", "epochs=4", "reports_per_epoch=1")
        trainer = Trainer(made.model_copy(update={"loss": Loss(class_weight=name)}), device="cpu", data=uneven)
        while not trainer.finished:
            report = trainer.next_report()
        network = trainer.network.eval()
        ((images, labels),) = uneven.batches("validation", batch_size=1000)
        with torch.no_grad():
            logits = network(images)
        found[name] = float((logits.argmax(1) == labels)[labels == 1].double().mean())
        weights = balanced_weights(uneven)[labels] if name else torch.ones(len(labels))
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        assert report.metrics["val/loss"] == pytest.approx(float((weights * losses).sum() / weights.sum()), rel=1e-4)
        assert report.metrics["val/top1"] == pytest.approx(100 * float((logits.argmax(1) == labels).double().mean()))
    assert found["balanced"] > found[None] + 0.1


def test_recipes_without_it_are_as_before(recipe: Make) -> None:
    assert "class_weight" not in recipe().dump()["loss"]
    weighted = recipe("loss.class_weight=balanced")
    assert weighted.dump()["loss"]["class_weight"] == "balanced"
    assert Recipe.model_validate(weighted.dump()) == weighted


def test_the_report_weighs_validation_samples_as_the_loss_does(recipe: Make, uneven: Data) -> None:
    made = recipe("network={name: mlp, width: 16}", "batch_size=32", "loss.class_weight=balanced")
    trainer = Trainer(made, data=uneven, device="cpu")
    trainer.next_report()
    tracked = trainer.evaluate("validation")["loss"]
    outputs = Outputs(logits_of(trainer.network, uneven, "validation"), uneven.labels("validation"), 1.0)
    size = uneven.size("validation")
    weights = _weights(uneven, trainer.recipe, torch.arange(size))
    losses = torch.nn.functional.cross_entropy(outputs.logits.double(), outputs.labels, reduction="none")
    assert float((losses * weights).sum() / weights.sum()) == pytest.approx(tracked, rel=1e-6)
    assert _weights(uneven, trainer.recipe, torch.arange(size), "val/top1").unique().tolist() == [1.0]
    _check(outputs, weights, size, tracked)
