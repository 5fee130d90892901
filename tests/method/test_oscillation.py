"""Statistics against counts made by hand over the stored weights of every step."""

import math

import pytest
import torch
from torch import Tensor, nn

from rebnn_search.method import BinaryConv2d, BinaryLinear, OscillationTracker, ReBNN
from rebnn_search.method.oscillation import near_zero_fraction


class Walk:
    """Layers driven by random gradients, with the weights of each step kept."""

    def __init__(self, weights: str) -> None:
        torch.manual_seed(0)
        self.layers = nn.ModuleList([BinaryConv2d(2, 3, 3, weights=weights), BinaryLinear(4, 5, weights=weights)])
        parameters = [layer.weight for layer in self.layers]
        parameters += [p for layer in self.layers for n, p in layer.named_parameters() if n.endswith("scale")]
        self.optimizer = torch.optim.SGD(parameters, lr=1.0)
        self.history = [[layer.signs().clone()] for layer in self.layers]

    def step(self) -> None:
        for layer in self.layers:
            layer.weight.grad = torch.randn_like(layer.weight) * 0.1
        self.optimizer.step()
        for kept, layer in zip(self.history, self.layers, strict=True):
            kept.append(layer.signs().clone())


def counted(history: list[Tensor], begin: int, end: int) -> tuple[float, float]:
    """Flip and sequential oscillation ratio over the steps begin..end by loops over single weights."""
    total = flips = sequential = 0
    for t in range(begin, end):
        for i in range(history[0].numel()):
            before, now = bool(history[t].flatten()[i]), bool(history[t + 1].flatten()[i])
            total += 1
            flips += before != now
            if t > 0:
                earlier = bool(history[t - 1].flatten()[i])
                sequential += earlier != before and before != now
    return flips / total, sequential / total


@pytest.mark.parametrize("weights", ["reactnet", "recu", "sign"])
def test_ratios_are_those_counted_by_hand(weights: str) -> None:
    walk = Walk(weights)
    tracker = OscillationTracker(walk.layers).attach(walk.optimizer)
    for begin, end in ((0, 5), (5, 12)):
        for _ in range(end - begin):
            walk.step()
        found = tracker.collect()
        for index, history in enumerate(walk.history):
            flips, sequential = counted(history, begin, end)
            assert found[f"layer_{index:02d}/flip_ratio"] == pytest.approx(flips)
            assert found[f"layer_{index:02d}/sequential_oscillation_ratio"] == pytest.approx(sequential)
            assert flips > 0
        sizes = [history[0].numel() for history in walk.history]
        mean = sum(s * found[f"layer_{i:02d}/flip_ratio"] for i, s in enumerate(sizes)) / sum(sizes)
        assert found["mean/flip_ratio"] == pytest.approx(mean)
    assert sum(counted(h, 0, 12)[1] for h in walk.history) > 0


def test_rebnn_counts_once_and_knows_its_gammas() -> None:
    walk = Walk("rebnn")
    rebnn = ReBNN(walk.layers, gamma="flip_ratio").attach(walk.optimizer)
    gammas: list[list[Tensor]] = [[], []]
    for _ in range(8):
        for kept, gamma in zip(gammas, rebnn.gammas.values(), strict=True):
            kept.append(gamma.clone())
        walk.step()
    found = rebnn.collect()
    for index, history in enumerate(walk.history):
        flips, sequential = counted(history, 0, 8)
        prefix = f"layer_{index:02d}"
        used = torch.stack(gammas[index])
        assert found[f"{prefix}/flip_ratio"] == pytest.approx(flips)
        assert found[f"{prefix}/sequential_oscillation_ratio"] == pytest.approx(sequential)
        assert found[f"{prefix}/gamma_min"] == pytest.approx(float(used.min()))
        assert found[f"{prefix}/gamma_mean"] == pytest.approx(float(used.mean()))
        assert found[f"{prefix}/gamma_max"] == pytest.approx(float(used.max()))
        assert found[f"{prefix}/scale_mean"] == pytest.approx(float(walk.layers[index].binarizer.scale.mean()))
    assert {key.split("/")[1] for key in found} == {
        "flip_ratio", "sequential_oscillation_ratio", "near_zero_fraction", "scale_mean", "gamma_min", "gamma_mean", "gamma_max",
    }  # fmt: skip


def test_before_a_step_there_is_no_gamma() -> None:
    walk = Walk("rebnn")
    rebnn = ReBNN(walk.layers).attach(walk.optimizer)
    for _ in range(2):
        found = rebnn.collect()
        assert all(math.isnan(value) for name, value in found.items() if "/gamma_" in name)
        assert sum("/gamma_" in name for name in found) == 3 * (len(walk.layers) + 1)
        walk.step()
        assert all(math.isfinite(value) for value in rebnn.collect().values())


def test_near_zero_fraction() -> None:
    weight = torch.tensor([0.0, 0.05, -0.05, 1.0, -1.0, 0.9])  # mean magnitude 0.5: near zero below 0.05
    assert float(near_zero_fraction(weight)) == pytest.approx(1 / 6)


def test_looking_without_reset_changes_nothing() -> None:
    walk = Walk("sign")
    tracker = OscillationTracker(walk.layers).attach(walk.optimizer)
    for _ in range(3):
        walk.step()
    assert tracker.collect(reset=False) == tracker.collect(reset=False)
    tracker.collect()
    assert tracker.steps == 0


def test_state_goes_on_where_it_was() -> None:
    walk = Walk("sign")
    tracker = OscillationTracker(walk.layers).attach(walk.optimizer)
    for _ in range(4):
        walk.step()
    other = OscillationTracker(walk.layers)
    other.load_state_dict(tracker.state_dict())
    other.attach(walk.optimizer)
    for _ in range(4):
        walk.step()
    assert other.collect() == tracker.collect()


def test_real_weights_have_nothing_to_count() -> None:
    assert OscillationTracker(BinaryLinear(2, 2, weights="real")).collect() == {}
