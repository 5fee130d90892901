"""What a fit sees of the samples: standardisation by the training part, groups on one side, no type of number preferred."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer

from rebnn_search.config import UserError
from rebnn_search.estimators import ReBNNClassifier, ReBNNSearchClassifier
from rebnn_search.estimators._samples import merge, open_samples
from rebnn_search.training import Trainer
from rebnn_search.training.data import ResidentData, Samples
from rebnn_search.training.data.splits import stratified_groups

RANDOM = np.random.default_rng(0)
INTEGERS = RANDOM.integers(-40, 200, (120, 5))
LABELS = (INTEGERS[:, 0] > INTEGERS[:, 1]).astype(int)
QUICK = ReBNNClassifier(width=16, epochs=3, random_state=0)
TYPES = ["float32", "float64", "int64", "int32", "int16", ">f8", ">i4"]


@pytest.mark.parametrize("validation_fraction", [0.0, 0.25])
def test_the_type_of_the_numbers_has_no_effect(validation_fraction: float) -> None:
    wanted = clone(QUICK).set_params(validation_fraction=validation_fraction)
    found = [clone(wanted).fit(INTEGERS.astype(name), LABELS).predict_proba(INTEGERS) for name in TYPES]
    found.append(clone(wanted).fit(np.asfortranarray(INTEGERS), LABELS).predict_proba(np.asfortranarray(INTEGERS)))
    assert all((one == found[0]).all() for one in found), [float(np.abs(one - found[0]).max()) for one in found]


def test_nor_has_that_of_images() -> None:
    images = RANDOM.integers(0, 256, (40, 3, 4, 4))
    wanted = ReBNNClassifier(width=4, epochs=1, random_state=0)
    found = [
        clone(wanted).fit(images.astype(name), np.arange(40) % 2).predict_proba(images)
        for name in ("uint8", "uint16", "float32", "float64", "int64")
    ]
    assert all((one == found[0]).all() for one in found)


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "int8", "int64", "uint8", "uint64", "bool"])
def test_the_order_is_that_of_the_values(name: str) -> None:
    values = RANDOM.normal(0, 3, (200, 2)) if name.startswith("f") else RANDOM.integers(0 if "u" in name else -90, 90, (200, 2))
    if name == "float64":
        values[:6, 0] = [0.0, -0.0, 1e-310, -1e-310, 1e300, -1e300]
    samples = values.astype(name)
    merged = merge(samples, np.arange(200) % 3, np.ones(200))
    distinct = sorted({(*map(float, row), label) for row, label in zip(samples, np.arange(200) % 3, strict=True)})
    assert [(*map(float, row), label) for row, label in zip(merged.samples, merged.labels, strict=True)] == distinct
    rows = [tuple(row) for row in merged.samples.tolist()]
    assert merged.groups.tolist() == [sorted(set(rows)).index(row) for row in rows]


def test_weights_add_up_alike_in_any_order_of_the_rows() -> None:
    weights = RANDOM.uniform(size=30)
    sums = [merge(np.ones((30, 1)), np.zeros(30), weights[RANDOM.permutation(30)]).weights for _ in range(20)]
    assert {float(one[0]) for one in sums} == {float(sums[0][0])}


@pytest.mark.parametrize("weighted", [False, True])
def test_standardisation_knows_the_training_part_alone(weighted: bool) -> None:
    table = RANDOM.normal(5, 3, (60, 2))
    table[::3] += 100
    weights = RANDOM.integers(1, 4, 60).astype(float) if weighted else np.ones(60)
    given = merge(table, np.arange(60) % 2, weights)
    opened = open_samples(given, ["a", "b"], 0.3, seed=1)
    train = opened.data.samples("train")
    assert (len(train.labels), opened.data.size("validation")) == (42, 18)
    counts = torch.ones(42) if train.weights is None else train.weights
    share = (counts / counts.sum())[:, None]
    mean = (share * train.images[:, :, 0, 0]).sum(0)
    torch.testing.assert_close(mean, torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close((share * train.images[:, :, 0, 0] ** 2).sum(0), torch.ones(2), rtol=0, atol=1e-5)
    whole = open_samples(given, ["a", "b"], 0.0, seed=1).scaling
    assert (whole.mean != opened.scaling.mean).all()


def test_it_predicts_with_what_standardised_its_training() -> None:
    classifier = ReBNNClassifier(width=16, epochs=1, validation_fraction=0.3, random_state=0).fit(INTEGERS, LABELS)
    given = merge(INTEGERS, LABELS, np.ones(len(LABELS)))
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    scaling = open_samples(given, ["0", "1"], 0.3, seed).scaling
    logits = classifier.network_.double()(torch.from_numpy(scaling(INTEGERS))[:, :, None, None])
    np.testing.assert_allclose(classifier.predict_proba(INTEGERS), logits.softmax(1).detach(), rtol=1e-12)


def test_equal_rows_are_on_one_side_and_classes_in_proportion() -> None:
    samples = RANDOM.integers(0, 6, (300, 3))  # 216 different rows at most, many with both labels
    labels = (RANDOM.uniform(size=300) < 0.3).astype(int)
    given = merge(samples, labels, np.ones(300))
    both = np.bincount(given.groups) > 1
    assert both.sum() > 10
    for seed in range(5):
        data = open_samples(given, ["a", "b"], 0.25, seed).data
        rows = [{tuple(row) for row in data.samples(split).images.flatten(1).tolist()} for split in ("train", "validation")]  # type: ignore[arg-type]
        assert not rows[0] & rows[1]
        for label in (0, 1):
            held = int((data.labels("validation") == label).sum())
            assert held == pytest.approx(0.25 * (given.labels == label).sum(), abs=1)


def test_groups_are_split_as_asked() -> None:
    labels, groups = torch.arange(100) % 4, torch.arange(100) // 10
    left, off = stratified_groups(labels, groups, 0.3, 0, list("abcd"), "x", "y")
    assert sorted(torch.cat([left, off]).tolist()) == list(range(100))
    assert not set(groups[left].tolist()) & set(groups[off].tolist())
    assert len(off) == 30
    splits = [stratified_groups(labels, torch.arange(100), 0.3, seed, list("abcd"), "x", "y")[1] for seed in (0, 0, 1)]
    assert torch.equal(splits[0], splits[1])
    assert not torch.equal(splits[0], splits[2])
    assert len(splits[0]) == 30
    assert sorted(torch.bincount(labels[splits[0]]).tolist()) == [7, 7, 8, 8]
    with pytest.raises(UserError, match=r"class 'b'.*too few groups"):
        stratified_groups(torch.tensor([0] * 8 + [1] * 2), torch.tensor([*range(8), 8, 8]), 0.3, 0, ["a", "b"], "x", "y")


def test_a_class_of_equal_rows_alone_is_validated_on_in_training() -> None:
    samples = np.array([[0.0], [0.0], [0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    labels = np.array([0, 1, 1, 1, 1, 1, 1, 1])
    opened = open_samples(merge(samples, labels, np.ones(8)), ["a", "b"], 0.25, 0).data
    assert opened.size("train") == opened.size("validation") == 7


def test_joined_data_keep_their_weights() -> None:
    def part(low: int, high: int, weights: Any) -> Samples:
        return Samples(torch.arange(low, high).float().view(-1, 1, 1, 1), torch.arange(low, high) % 2, weights)

    for first, second in (([1.0, 2.0, 3.0, 2.0], [4.0, 8.0]), (None, [4.0, 8.0]), ([1.0, 2.0, 3.0, 2.0], None), (None, None)):
        weights = [None if one is None else torch.tensor(one) for one in (first, second)]
        splits = {"train": part(0, 4, weights[0]), "validation": part(4, 6, weights[1])}
        joined = ResidentData(splits, ["a", "b"], torch.zeros(1), torch.ones(1)).joined()  # type: ignore[arg-type]
        found = joined.weights("train")
        if first is None and second is None:
            assert found is None
            continue
        expected = torch.tensor([*(first or [1.0] * 4), *(second or [1.0] * 2)])
        torch.testing.assert_close(found, expected / expected.mean())
        assert len(joined.labels("validation")) == 0


def test_a_recipe_that_trains_on_everything_trains_on_each_sample_once_with_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, labels = load_breast_cancer(return_X_y=True)
    seen: list[tuple[int, int, Any]] = []
    before = Trainer.next_report

    def spy(self: Trainer) -> Any:
        seen.append((self.data.size("train"), self.data.size("validation"), self.data.weights("train")))
        return before(self)

    monkeypatch.setattr(Trainer, "next_report", spy)
    weights = RANDOM.integers(1, 4, len(labels))
    everything = clone(QUICK).set_params(epochs=1, overrides={"train_on": "train+validation"})
    for fraction in (0.0, 0.2):
        fitted = clone(everything).set_params(validation_fraction=fraction).fit(samples, labels, sample_weight=weights)
        count, validation, reached = seen[-1]
        assert (count, validation) == (569, 0)
        assert sorted(set(reached.unique().tolist())) == pytest.approx((np.array([1, 2, 3]) / weights.mean()).tolist())
        assert not [name for name in fitted.history_ if name.startswith("val_")]
    plain = clone(QUICK).set_params(epochs=1).fit(samples, labels, sample_weight=weights)
    assert (plain.predict_proba(samples) == fitted.predict_proba(samples)).all()
    unweighted = clone(everything).fit(samples, labels)
    assert (unweighted.predict_proba(samples) != fitted.predict_proba(samples)).any()


@pytest.mark.parametrize(
    "params",
    [{"overrides": {"train_on": "train+validation"}}, {"space": {"train_on": {"choice": ["train", "train+validation"]}}}],
)
def test_no_search_may_train_on_what_it_judges_by(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="train_on: a search judges its trials by held-out samples"):
        ReBNNSearchClassifier(width=8, epochs=1, n_trials=2, random_state=0, **params).fit(INTEGERS, LABELS)


def test_a_class_of_one_sample_is_trained_on_and_the_others_are_held_out() -> None:
    random = np.random.default_rng(0)
    samples, labels = random.normal(size=(41, 3)), np.array([0, 1] * 20 + [2])
    samples[0] = samples[40]  # equal to the one of its class: trained on too
    opened = open_samples(merge(samples, labels, np.ones(41)), ["a", "b", "c"], 0.25, 0)
    train, held_out = (opened.data.labels(split) for split in ("train", "validation"))
    assert opened.held_out
    assert (train == 2).sum() == 1 and (held_out == 2).sum() == 0
    assert len(train) + len(held_out) == 41 and set(held_out.tolist()) == {0, 1} and 8 <= len(held_out) <= 12
    rows = [set(map(tuple, opened.data.samples(split).images.flatten(1).tolist())) for split in ("train", "validation")]
    assert not rows[0] & rows[1]


def test_where_nothing_can_be_held_out_validation_is_on_what_is_trained_on() -> None:
    opened = open_samples(merge(np.eye(3), np.arange(3), np.ones(3)), ["a", "b", "c"], 0.25, 0)
    assert not opened.held_out and opened.data.size("validation") == 3
