import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.forked import CONTEXT, begun
from torch import nn

from rebnn_search.config import UserError
from rebnn_search.method import BinaryLinear
from rebnn_search.method.networks import NETWORKS
from rebnn_search.training import CheckpointDirectory, Diverged, Recipe, Report, Trainer
from rebnn_search.training.distributed import pick_device
from rebnn_search.training.precision import Computing
from rebnn_search.training.randomness import generators_given_back
from rebnn_search.training.recipe import Precision
from rebnn_search.training.trainer import report_boundaries

Make = Callable[..., Recipe]
STAGED = "stage_one={epochs: 1, lr: 1e-2}"


def finish(trainer: Trainer) -> list[Report]:
    reports = []
    while not trainer.finished:
        reports.append(trainer.next_report())
    return reports


def facts(trainer: Trainer, reports: list[Report]) -> tuple[list[Any], dict[str, Any]]:
    """Everything that must be the same to the bit: metrics less the speed, and the state."""
    metrics = [{k: v for k, v in report.metrics.items() if k != "train/images_per_second"} for report in reports]
    return [(r.step, r.epoch, r.iteration, m) for r, m in zip(reports, metrics, strict=True)], trainer.state_dict()


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def test_reports_come_as_often_as_asked_and_hold_what_is_promised(recipe: Make) -> None:
    trainer = Trainer(recipe())
    reports = finish(trainer)
    assert [(r.step, r.epoch, r.iteration) for r in reports] == [(1, 0.5, 2), (2, 1.0, 4), (3, 1.5, 6), (4, 2.0, 8)]
    for report in reports:
        names = {"train/loss", "train/lr", "train/images_per_second", "val/loss", "val/top1", "val/top5"}
        assert names <= set(report.metrics)
        assert {"oscillation/layer_02/flip_ratio", "oscillation/mean/gamma_mean"} <= set(report.metrics)
        assert 0 <= report.metrics["val/top1"] <= report.metrics["val/top5"] <= 100
        assert all(map(math.isfinite, report.metrics.values()))
    with pytest.raises(RuntimeError, match="finished"):
        trainer.next_report()


@pytest.mark.parametrize(
    ("iterations", "reports", "expected"), [(16, 4, [4, 8, 12, 16]), (5, 2, [3, 5]), (2, 4, [1, 2]), (7, 1, [7])]
)
def test_report_boundaries(iterations: int, reports: int, expected: list[int]) -> None:
    assert report_boundaries(iterations, reports) == expected


def test_it_learns(recipe: Make) -> None:
    trainer = Trainer(recipe("epochs=8", "batch_size=64", "network.width=8", "reports_per_epoch=1"))
    last = finish(trainer)[-1]
    assert last.metrics["val/top1"] > 75
    assert trainer.evaluate("test")["top1"] > 75


@pytest.mark.parametrize("weights", ["rebnn", "reactnet", "recu", "sign"])
def test_every_kind_of_weights_trains(recipe: Make, weights: str) -> None:
    reports = finish(Trainer(recipe(f"weights={weights}", "epochs=4", "batch_size=64")))
    assert reports[-1].metrics["val/loss"] < reports[0].metrics["val/loss"]
    assert reports[0].metrics["oscillation/mean/flip_ratio"] > 0


CASES = [
    (),
    ("gamma.strategy=constant", "gamma.value=1e-3", "scale_init.strategy=randn_abs"),
    (STAGED,),
    ("weights=recu", "data.augment={name: crop_flip, padding: 1, flip: false}", "accumulate=2"),
    ("optimizer={name: sgd, lr: 0.1, nesterov: true}", "schedule={name: cosine, warmup_epochs: 1}"),
    ("precision={products: bfloat16, channels_last: true}", STAGED),
    ("precision={dtype: bfloat16}",),
]
STOPS = (1, 2, 3)


@dataclass
class Kept:
    """What a training comes to that nothing interrupts, and one that kept a checkpoint, in a folder of its own, of each report."""

    recipe: Recipe
    expected: tuple[list[Any], dict[str, Any]]
    reports: list[Report]
    folder: Path


@pytest.fixture(scope="module", params=CASES, ids=lambda case: " ".join(case) or "plain")
def kept(request: pytest.FixtureRequest, recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    made, folder = recipe(*request.param), tmp_path_factory.mktemp("kept")
    whole, first = Trainer(made), Trainer(made)
    reports = []
    for stop in STOPS:
        reports.append(first.next_report())
        CheckpointDirectory(folder / str(stop)).save(stop, first.state_dict())
    return Kept(made, facts(whole, finish(whole)), reports, folder)


@pytest.mark.parametrize("stop", STOPS)
def test_interrupted_and_resumed_is_uninterrupted(kept: Kept, stop: int) -> None:
    torch.manual_seed(12345)
    torch.rand(7)
    second = Trainer(kept.recipe)
    found = CheckpointDirectory(kept.folder / str(stop)).latest()
    assert found is not None
    second.load_state_dict(found[1])
    got = facts(second, kept.reports[:stop] + finish(second))
    assert same(got[0], kept.expected[0])
    assert same(got[1], kept.expected[1])


def format_of(trainer: Trainer) -> bool:
    """Whether images are trained on with their channels last."""
    return trainer._computing.memory_format is torch.channels_last


@pytest.mark.parametrize(
    ("case", "last"),
    [
        ((), True),
        (("network.width=128", "batch_size=16"), False),  # 512 channels
        (("precision={compile: true}",), False),
        (("precision={channels_last: false}",), False),
        (("network.width=128", "batch_size=16", "precision={channels_last: true}"), True),
    ],
)
def test_auto_has_channels_last_where_a_cpu_is_faster_so(recipe: Make, case: tuple[str, ...], last: bool) -> None:
    assert format_of(Trainer(recipe(*case))) is last


def test_auto_leaves_weights_a_teacher_s_too_in_torch_s_own_memory_format() -> None:
    for precision, last in ((Precision(), False), (Precision(channels_last=True), True)):
        computing = Computing(precision, torch.device("cpu"))
        network = computing.placed(nn.Conv2d(4, 8, 3))
        computing.decide(network, 4, 8, 1)
        assert computing.memory_format is torch.channels_last
        for module in (network, computing.placed(nn.Conv2d(4, 8, 3))):
            weight = next(module.parameters())
            assert weight.is_contiguous(memory_format=torch.channels_last) is last


@pytest.mark.parametrize("case", [(), (STAGED,)], ids=["plain", "staged"])
def test_a_training_that_began_in_torch_s_own_memory_format_goes_on_in_it(recipe: Make, case: tuple[str, ...]) -> None:
    """As those of earlier versions, whose checkpoints say nothing of it."""
    plain = "precision={channels_last: false}"
    whole, first = Trainer(recipe(*case, plain)), Trainer(recipe(*case, plain))
    second, last = Trainer(recipe(*case)), Trainer(recipe(*case))
    expected = facts(whole, finish(whole))
    if same(facts(last, finish(last))[0], expected[0]):
        pytest.skip("this CPU computes the same to the bit in both formats: there is nothing to tell")
    reports = [first.next_report()]
    state = first.state_dict()
    assert state.pop("channels_last") is False
    second.load_state_dict(state)
    assert not format_of(second)
    got = facts(second, reports + finish(second))
    assert same(got[0], expected[0]) and same(got[1], expected[1])


def test_a_training_that_an_unfused_optimizer_began_goes_on_with_it(recipe: Make) -> None:
    """As those of earlier versions: what they come to must not depend on when they were interrupted."""

    def begun() -> Trainer:
        trainer = Trainer(recipe())
        for group in trainer.optimizer.param_groups:
            group["fused"] = None
        return trainer

    whole, first, second, fused = begun(), begun(), Trainer(recipe()), Trainer(recipe())
    expected = facts(whole, finish(whole))
    assert not same(facts(fused, finish(fused))[1], expected[1]), "there is something to tell"
    reports = [first.next_report()]
    second.load_state_dict(first.state_dict())
    got = facts(second, reports + finish(second))
    assert same(got[0], expected[0])
    assert same(got[1], expected[1])


def in_fresh_process(recipe: Recipe, queue: Any) -> None:
    torch.set_num_threads(1)
    trainer = Trainer(recipe)
    metrics, state = facts(trainer, finish(trainer))
    queue.put((metrics, {k: v.numpy() for k, v in state["network"].items()}))


def test_a_second_trainer_is_one_in_a_fresh_process(recipe: Make) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        finish(Trainer(recipe("weights=recu", "seed=5", STAGED)))
        trainer = Trainer(recipe())
        metrics, state = facts(trainer, finish(trainer))
    finally:
        torch.set_num_threads(threads)
    queue = CONTEXT.Queue()
    process = begun(in_fresh_process, recipe(), queue)
    other_metrics, other_network = queue.get(timeout=120)
    process.join()
    assert same(metrics, other_metrics)
    assert all(torch.equal(value, torch.from_numpy(other_network[key])) for key, value in state["network"].items())


def test_the_process_s_randomness_is_left_as_it_was(recipe: Make) -> None:
    torch.manual_seed(99)
    expected = torch.rand(3)
    torch.manual_seed(99)
    finish(Trainer(recipe("epochs=1")))
    assert torch.equal(torch.rand(3), expected)


class StochasticDepth(nn.Module):
    """As many write it: by Python's generator, or NumPy's."""

    def __init__(self, *, in_channels: int, num_classes: int, image_size: int, weights: Any = "rebnn") -> None:
        super().__init__()
        self.first = nn.Linear(in_channels * image_size**2, 16)
        self.blocks = nn.ModuleList(BinaryLinear(16, 16, weights=weights) for _ in range(2))
        self.last = nn.Linear(16, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.first(images.flatten(1))
        for block, draw in zip(self.blocks, (random.random, np.random.rand), strict=True):
            if not self.training or draw() < 0.7:
                x = x + block(x)
        return self.last(x)  # type: ignore[no-any-return]


def draws() -> list[float]:
    return [random.random(), random.gauss(), float(np.random.rand()), float(np.random.standard_normal())]


@pytest.fixture
def own_generators() -> Iterator[None]:
    with generators_given_back():
        yield


@pytest.fixture
def stochastic(recipe: Make, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setitem(NETWORKS._classes, "stochastic", StochasticDepth)
    return recipe("network=stochastic", "batch_size=128", "epochs=1", "reports_per_epoch=4")


@pytest.mark.usefixtures("own_generators")
def test_python_s_and_numpy_s_random_numbers_are_a_function_of_the_recipe(stochastic: Recipe, tmp_path: Path) -> None:
    whole = Trainer(stochastic)
    expected = facts(whole, finish(whole))
    random.seed(7)
    np.random.seed(7)
    after = draws()
    random.seed(7)
    np.random.seed(7)
    first = Trainer(stochastic)
    reports = [first.next_report(), first.next_report()]
    assert draws() == after  # what the process had
    directory = CheckpointDirectory(tmp_path)
    directory.save(2, first.state_dict())
    found = directory.latest()
    assert found is not None
    second = Trainer(stochastic)
    second.load_state_dict(found[1])
    got = facts(second, reports + finish(second))
    assert same(got[0], expected[0]) and same(got[1], expected[1])
    other = Trainer(stochastic.model_copy(update={"seed": 1}))
    assert other.state_dict()["generators"] != Trainer(stochastic).state_dict()["generators"]


def test_a_checkpoint_of_before_they_were_kept_goes_on(stochastic: Recipe) -> None:
    first = Trainer(stochastic)
    first.next_report()
    state = {key: value for key, value in first.state_dict().items() if key != "generators"}
    second = Trainer(stochastic)
    second.load_state_dict(state)
    assert finish(second)[-1].step == 4


def test_the_randomness_of_the_gpu_that_trains_is_kept(recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {index: torch.full((16,), index, dtype=torch.uint8) for index in range(2)}

    def index_of(device: Any) -> int:
        index = device.index if isinstance(device, torch.device) else device
        return index if isinstance(index, int) else 0

    def put(state: torch.Tensor, device: Any = "cuda") -> None:
        states[index_of(device)] = state.clone()

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device="cuda": states[index_of(device)].clone())
    monkeypatch.setattr(torch.cuda, "set_rng_state", put)
    trainer = Trainer(recipe())
    trainer._computing.device = torch.device("cuda:1")
    with trainer._randomness():
        states[1] += 10  # what training draws
    assert {index: state[0].item() for index, state in states.items()} == {0: 0, 1: 1}
    with trainer._randomness():
        assert {index: state[0].item() for index, state in states.items()} == {0: 0, 1: 11}


def test_seeds_matter(recipe: Make) -> None:
    losses = [finish(Trainer(recipe("epochs=1", f"seed={seed}")))[-1].metrics["val/loss"] for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_accumulation_is_the_same_step_where_nothing_depends_on_the_parts(recipe: Make) -> None:
    net = ("network={name: mlp, width: 16, norm: false}", "epochs=1")
    one, four = (finish(Trainer(recipe(*net, f"accumulate={n}"))) for n in (1, 4))
    for a, b in zip(one, four, strict=True):
        assert a.metrics["train/loss"] == pytest.approx(b.metrics["train/loss"], rel=1e-4)


def test_divergence_is_told_with_its_iteration(recipe: Make) -> None:
    trainer = Trainer(recipe("optimizer={name: sgd, lr: 1e30}", "network={name: mlp, width: 16, norm: false}", "epochs=20"))
    with pytest.raises(Diverged, match=r"loss is (no finite number from|nan after|inf after) iteration \d+"):
        finish(trainer)


def test_a_batch_larger_than_the_split_is_a_clear_error(recipe: Make) -> None:
    with pytest.raises(UserError, match="batch_size = 5000: the training split has only 1078 samples"):
        Trainer(recipe("batch_size=5000"))


def test_a_device_without_float64_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.empty

    def on_mps(*size: int, dtype: torch.dtype | None = None, device: torch.device | None = None) -> torch.Tensor:
        if dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")
        return real(*size)

    monkeypatch.setattr(torch, "empty", on_mps)
    with pytest.raises(UserError, match=r"device 'mps': cannot be used here: .* doesn't support float64"):
        pick_device("mps")


def test_a_state_of_another_recipe_is_refused(recipe: Make) -> None:
    first = Trainer(recipe())
    first.next_report()
    with pytest.raises(ValueError, match="of another recipe"):
        Trainer(recipe("network.width=8")).load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="version"):
        Trainer(recipe()).load_state_dict({**first.state_dict(), "version": 0})


def test_stage_one_is_trained_once_for_all_that_share_it(recipe: Make, tmp_path: Path) -> None:
    a = Trainer(recipe(STAGED), workspace=tmp_path)
    a.next_report()
    (folder,) = (tmp_path / "stage_one").iterdir()
    files = {file: file.stat().st_mtime_ns for file in folder.glob("*.pt")}
    assert files
    b = Trainer(recipe(STAGED, "gamma.strategy=max_gradient", "scale_init.strategy=fan_in"), workspace=tmp_path)
    b.next_report()
    assert {file: file.stat().st_mtime_ns for file in folder.glob("*.pt")} == files
    alone = Trainer(recipe(STAGED, "gamma.strategy=max_gradient", "scale_init.strategy=fan_in"))
    alone.next_report()
    assert same(alone.state_dict()["network"], b.state_dict()["network"])


@pytest.mark.parametrize("option", ["lr", "weight_decay"])
@pytest.mark.parametrize("value", [".inf", ".nan"])
def test_stage_one_s_options_are_finite(recipe: Make, option: str, value: str) -> None:
    with pytest.raises(UserError, match=rf"stage_one\.{option}"):
        recipe(f"stage_one={{epochs: 1, {option}: {value}}}")


def test_stage_one_s_key_depends_on_what_it_depends_on(recipe: Make) -> None:
    key = recipe(STAGED).stage_one_key()
    for same_prefix in ("gamma.strategy=constant", "scale_init.strategy=fan_in", "weights=recu", "epochs=9", "optimizer.lr=0.5",
                        "reports_per_epoch=1", "optimizer.weight_decay=0.1"):  # fmt: skip
        assert recipe(STAGED, same_prefix).stage_one_key() == key, same_prefix
    for other in ("seed=1", "network.width=8", "batch_size=128", "data.validation=0.3", "stage_one.epochs=2", "stage_one.lr=0.1",
                  "schedule.name=cosine", "loss.label_smoothing=0.1", "optimizer={name: sgd, lr: 0.1}"):  # fmt: skip
        assert recipe(STAGED, other).stage_one_key() != key, other


def test_training_needs_neither_ray_optuna_nor_mlflow() -> None:
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'ray', 'optuna', 'mlflow'}:\n"
        "            raise ImportError(f'{name} is blocked')\n"
        "sys.meta_path.insert(0, Block())\n"
        "import rebnn_search.method, rebnn_search.train\n"
        "from rebnn_search.training import Trainer, load_recipe\n"
        "trainer = Trainer(load_recipe(sys.argv[1], ['epochs=1', 'network.width=4', 'batch_size=256']))\n"
        "print(trainer.next_report().metrics['val/loss'])\n"
    )
    digits = Path(__file__).parents[2] / "trials" / "digits.yaml"
    subprocess.run([sys.executable, "-c", code, str(digits)], check=True, timeout=120, stdout=subprocess.DEVNULL)
