"""The objective against sums written out, and teachers from files."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from rebnn_search.config import Notice, UserError
from rebnn_search.training import CheckpointDirectory, Recipe, TrainedTeacher, Trainer, dump_recipe, load_recipe
from rebnn_search.training.data import Digits
from rebnn_search.training.losses import BatchLoss, distribution_loss
from rebnn_search.training.precision import Computing
from rebnn_search.training.recipe import Loss, Precision
from rebnn_search.training.vision import torchvision_module

Make = Callable[..., Recipe]


def softmax(row: list[float]) -> list[float]:
    exps = [math.exp(value - max(row)) for value in row]
    return [value / sum(exps) for value in exps]


def by_hand(student: torch.Tensor, wanted: list[list[float]]) -> float:
    """−Σ Σ wanted·log softmax(student), by loops."""
    total = 0.0
    for row, probabilities in zip(student.tolist(), wanted, strict=True):
        total -= sum(p * math.log(q) for p, q in zip(probabilities, softmax(row), strict=True))
    return total


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 1, 8, 8, generator=generator)
    return 3 * torch.randn(6, 10, generator=generator), images, torch.arange(6)


@pytest.fixture
def teacher_file(tmp_path: Path) -> Path:
    """A torchvision ResNet-18 for the digits, with weights of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = torchvision_module("models").resnet18(num_classes=10)
        network.conv1 = nn.Conv2d(1, 64, 3, 1, 1, bias=False)
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}, tmp_path / "teacher.pt"
    )
    return tmp_path / "teacher.pt"


def with_teacher(path: Path, *more: str) -> tuple[str, ...]:
    return (f"loss.teacher={{name: torchvision, arch: resnet18, stem: cifar, path: '{path}'}}", *more)


def test_the_distribution_loss_is_the_cross_entropy_with_the_teacher_s_softmax() -> None:
    student, teacher = torch.randn(5, 4, generator=torch.Generator().manual_seed(1)), torch.eye(5, 4) * 3
    expected = by_hand(student, [softmax(row) for row in teacher.tolist()])
    assert float(distribution_loss(student, teacher)) == pytest.approx(expected, rel=1e-5)
    # The teacher's own logits are the best answer.
    assert distribution_loss(teacher, teacher) < distribution_loss(student, teacher)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_a_teacher_it_is_the_labels_smoothed_cross_entropy(batch, smoothing: float) -> None:  # type: ignore[no-untyped-def]
    logits, images, labels = batch
    objective = BatchLoss(Loss(label_smoothing=smoothing), Digits().open(), Computing(Precision(), torch.device("cpu")))
    wanted = [[smoothing / 10 + (1 - smoothing) * (k == label) for k in range(10)] for label in labels.tolist()]
    assert float(objective(logits, images, labels)) == pytest.approx(by_hand(logits, wanted), rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_teacher_takes_the_rest_of_the_labels_share(  # type: ignore[no-untyped-def]
    recipe: Make, batch, teacher_file: Path, share: float
) -> None:
    logits, images, labels = batch
    logits.requires_grad_()
    loss = recipe(*with_teacher(teacher_file, f"loss.label_share={share}")).loss
    objective = BatchLoss(loss, Digits().open(), Computing(Precision(), torch.device("cpu")))
    network = torchvision_module("models").resnet18(num_classes=10)
    network.conv1, network.maxpool = nn.Conv2d(1, 64, 3, 1, 1, bias=False), nn.Identity()
    state = torch.load(teacher_file, weights_only=True)["state_dict"]
    network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    with torch.no_grad():
        teacher = network.eval()(images)
    from_teacher = by_hand(logits, [softmax(row) for row in teacher.tolist()])
    from_labels = by_hand(logits, [[float(k == label) for k in range(10)] for label in labels.tolist()])
    got = objective(logits, images, labels)
    assert got.item() == pytest.approx((1 - share) * from_teacher + share * from_labels, rel=1e-5)
    (gradient,) = torch.autograd.grad(got, logits)
    wanted = (1 - share) * teacher.softmax(1) + share * torch.eye(10)[labels]
    torch.testing.assert_close(gradient, logits.detach().softmax(1) - wanted, rtol=1e-4, atol=1e-5)


def test_a_trial_learns_from_one_that_was_trained_before(recipe: Make, tmp_path: Path) -> None:
    first = recipe("network.width=8", "batch_size=64", "epochs=6", "reports_per_epoch=1")
    trained = Trainer(first)
    while not trained.finished:
        trained.next_report()
    CheckpointDirectory(tmp_path / "checkpoints").save(6, {"trainer": trained.state_dict()})
    dump_recipe(tmp_path / "recipe.yaml", first, "A teacher.")

    # The student never sees a label: what it knows of the classes it has from the teacher.
    torch.manual_seed(99)
    expected = torch.rand(3)
    torch.manual_seed(99)
    teacher = f"loss.teacher={{name: trained, path: '{tmp_path}'}}"
    student = Trainer(recipe(teacher, "network.width=8", "batch_size=64", "epochs=6", "seed=1", "reports_per_epoch=1"))
    data = student.data
    assert torch.equal(torch.rand(3), expected)
    samples = data.samples("train")  # type: ignore[attr-defined]
    labels = samples.labels.clone()
    samples.labels.zero_()
    while not student.finished:
        last = student.next_report()
    samples.labels.copy_(labels)
    assert last.metrics["val/top1"] > 60
    assert last.metrics["val/loss"] < 1.5
    assert set(student.state_dict()["network"]) == set(trained.state_dict()["network"])


def test_a_teacher_of_other_classes_is_refused_and_one_that_may_know_the_answers_is_told(recipe: Make, tmp_path: Path) -> None:
    def teacher(*overrides: str) -> TrainedTeacher:
        made = recipe("network.width=4", "epochs=1", "reports_per_epoch=1", *overrides)
        CheckpointDirectory(tmp_path / "checkpoints").save(1, {"trainer": Trainer(made).state_dict()})
        dump_recipe(tmp_path / "recipe.yaml", made, "A teacher.")
        return TrainedTeacher(path=str(tmp_path))

    data = Digits().open()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        teacher().open(data)
        teacher().open(data.joined())
    with pytest.warns(Notice, match="was trained on training and validation split: it may have seen"):
        teacher("train_on=train+validation").open(data)
    with pytest.warns(Notice, match="was trained on other samples, or another split of them"):
        teacher("data={name: digits, split_seed: 1}").open(data)
    known = teacher()
    data.classes.reverse()
    with pytest.raises(UserError, match=r"other classes, or in another order: '0', '1', .*\.\.\.; the data have '9', '8'"):
        known.open(data)


def test_a_teacher_resumes_to_the_bit(recipe: Make, teacher_file: Path) -> None:
    made = recipe(*with_teacher(teacher_file, "loss.label_share=0.5", "loss.label_smoothing=0.1", "epochs=1"))
    whole, first, second = Trainer(made), Trainer(made), Trainer(made)
    expected = [whole.next_report(), whole.next_report()][-1]
    first.next_report()
    second.load_state_dict(first.state_dict())
    got = second.next_report()
    assert got.metrics["train/loss"] == expected.metrics["train/loss"]
    for name, value in whole.state_dict()["network"].items():
        assert torch.equal(value, second.state_dict()["network"][name]), name


def test_a_teacher_s_path_is_relative_to_the_recipe_and_found_from_anywhere(tmp_path: Path, teacher_file: Path) -> None:
    folder = tmp_path / "trials"
    folder.mkdir()
    (folder / "a.yaml").write_text(
        "data: digits\nnetwork: {name: mlp, width: 4}\nepochs: 1\n"
        "loss: {teacher: {name: torchvision, arch: resnet18, stem: cifar, path: ../teacher.pt}}\n"
    )
    loaded = load_recipe(folder / "a.yaml")
    assert Path(loaded.loss.teacher["path"]).resolve() == teacher_file.resolve()
    elsewhere = tmp_path / "far" / "away"
    elsewhere.mkdir(parents=True)
    dump_recipe(elsewhere / "best.yaml", loaded, "Found elsewhere.")
    again = load_recipe(elsewhere / "best.yaml")
    assert again == loaded
    Trainer(again)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("loss.label_share=0.5",), r"loss\.label_share.* = 0\.5: has no effect without a teacher"),
        (
            ("loss.teacher={name: trained, path: x}", "loss.label_smoothing=0.1"),
            r"label_smoothing .*has no effect beside a teacher",
        ),
        (("loss.teacher={name: torchvision, stem: cifar}",), r"stem 'cifar' needs a path"),
        (("loss.teacher={name: torchvison}",), r"no such teacher; did you mean 'torchvision'"),
        (("loss.teacher={name: torchvision, arch: resnet19}",), r"loss\.teacher.*arch.* = 'resnet19'.*'resnet34'"),
    ],
)
def test_what_has_no_effect_or_no_sense_is_refused(recipe: Make, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe(*overrides)


def test_a_teacher_that_does_not_fit_is_one_clear_message(recipe: Make, tmp_path: Path, teacher_file: Path) -> None:
    def message(*overrides: str) -> str:
        with pytest.raises(UserError) as caught:
            Trainer(recipe(*overrides))
        return str(caught.value)

    assert "no such file" in message(*with_teacher(tmp_path / "absent.pt"))
    (tmp_path / "text.pt").write_text("hello")
    assert "text.pt: is no file of weights" in message(*with_teacher(tmp_path / "text.pt"))
    (tmp_path / "empty.pt").write_bytes(b"")
    assert "empty.pt: is no file of weights" in message(*with_teacher(tmp_path / "empty.pt"))
    torch.save([1, 2], tmp_path / "list.pt")
    assert "list.pt: holds no state_dict" in message(*with_teacher(tmp_path / "list.pt"))
    imagenet_stem = f"loss.teacher={{name: torchvision, arch: resnet18, path: '{teacher_file}'}}"
    assert "does not fit resnet18 with the stem 'imagenet'" in message(imagenet_stem)
    assert "holds no checkpoint of a training" in message(f"loss.teacher={{name: trained, path: '{tmp_path}'}}")
    state = {"fc.weight": torch.zeros(1000, 512)}
    torch.save(state, tmp_path / "imagenet.pt")
    assert "has 1000 classes, the data has 10" in message(*with_teacher(tmp_path / "imagenet.pt"))
