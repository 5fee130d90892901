"""What a report says of the validation split is what the exported network says, whatever training computes in."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from rebnn_search.export import describe, export_packed, load_model
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.data.resident import ResidentData, Samples
from rebnn_search.training.distributed import World
from rebnn_search.training.evaluation import evaluate, logits_of
from rebnn_search.training.precision import Computing
from rebnn_search.training.recipe import Precision

Make = Callable[..., Recipe]
NETWORKS = ["network={name: digits_resnet, width: 4}", "network={name: mlp, width: 16}"]


@pytest.mark.parametrize("weights", ["rebnn", "recu"])
@pytest.mark.parametrize("network", NETWORKS)
def test_trained_in_bfloat16_it_is_validated_as_it_is_exported(
    recipe: Make, tmp_path: Path, network: str, weights: str
) -> None:
    trainer = Trainer(recipe(network, f"weights={weights}", "precision={dtype: bfloat16}", "batch_size=128", "epochs=1"))
    while not trainer.finished:
        report = trainer.next_report()
    export_packed(trainer.network, describe(trainer.recipe, trainer.data), tmp_path / "model.safetensors")
    exported = load_model(tmp_path / "model.safetensors").network
    assert exported is not None
    ((images, labels),) = trainer.data.batches("validation", batch_size=512)  # one batch, as the trainer takes it
    with torch.no_grad():
        plain = copy.deepcopy(trainer.network).eval()(images)
        logits = exported(images)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = copy.deepcopy(trainer.network).eval()(images).float()
    assert torch.equal(logits, plain)
    assert report.metrics["val/top1"] == pytest.approx(100 * float((logits.argmax(1) == labels).double().mean()), rel=1e-12)
    loss = float(F.cross_entropy(logits, labels, reduction="sum").double() / len(labels))
    assert report.metrics["val/loss"] == pytest.approx(loss, rel=1e-12)
    assert not torch.allclose(rounded, plain, rtol=0, atol=1e-3)  # they do differ


@pytest.fixture
def tf32_as_it_was() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.usefixtures("tf32_as_it_was")
def test_on_a_gpu_it_is_without_tf32(recipe: Make, allowed: bool) -> None:
    cudnn = torch.backends.cudnn
    cudnn.allow_tf32 = allowed
    trainer, seen = Trainer(recipe(NETWORKS[0])), []
    trainer.network.register_forward_hook(lambda *_: seen.append((cudnn.conv.fp32_precision, cudnn.allow_tf32)))
    before = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, cudnn.allow_tf32
    trainer.evaluate("validation")
    logits_of(trainer.network, trainer.data, "test")
    assert seen == [("ieee", False)] * 2
    assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, cudnn.allow_tf32) == before


@pytest.mark.parametrize(("side", "largest"), [(8, 512), (64, 512), (224, 41), (4096, 1)])
def test_large_images_are_evaluated_a_few_at_a_time(side: int, largest: int) -> None:
    count = {8: 600, 64: 600, 224: 60, 4096: 2}[side]
    samples = Samples(torch.rand(1, 1, side, side).expand(count, -1, -1, -1), torch.arange(count) % 2)
    data = ResidentData({"validation": samples, "train": samples}, ["a", "b"], torch.zeros(1), torch.ones(1))
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(1, 2))
    seen: list[int] = []
    network.register_forward_hook(lambda module, images, logits: seen.append(len(images[0])))
    found = evaluate(network, data, "validation", Computing(Precision(), torch.device("cpu")), World())
    assert sum(seen) == count and max(seen) == min(count, largest)
    logits = network(samples.images).detach()
    assert found["loss"] == pytest.approx(float(F.cross_entropy(logits, samples.labels)), rel=1e-6)
    assert len(logits_of(network, data, "validation")) == count


def test_training_itself_is_in_the_precision_asked_for(recipe: Make) -> None:
    losses = [
        Trainer(recipe(NETWORKS[1], f"precision={{dtype: {dtype}}}")).next_report().metrics["train/loss"]
        for dtype in ("float32", "bfloat16")
    ]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
