"""Two processes train one model: alike to the bit, the same as one process to rounding, resumable to the bit."""

import datetime
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from filelock import FileLock
from support.forked import CONTEXT, begun

from rebnn_search.config import UserError
from rebnn_search.training import CheckpointDirectory, Recipe, Trainer, TrainingRun, load_recipe
from rebnn_search.training.distributed import World
from rebnn_search.training.stages import stage_one_weights

Make = Callable[..., Recipe]
PLAIN_NET = ("network={name: mlp, width: 16, norm: false}", "batch_size=101", "reports_per_epoch=2", "epochs=2")
"""Nothing in it depends on how a batch is split, and the batch does not split evenly."""


def snapshot(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Weights and γ."""
    state = trainer.state_dict()
    method = {f"method/{name}": value for name, value in state["method"].items() if isinstance(value, torch.Tensor)}
    return {name: value.clone() for name, value in (state["network"] | method).items()}


def watched(trainer: Trainer, every: list[dict[str, torch.Tensor]]) -> Trainer:
    """Keep weights and γ after every step from the first on."""
    begin = trainer._begin

    def begin_watched() -> None:
        begin()
        trainer.optimizer.register_step_post_hook(lambda *_: every.append(snapshot(trainer)))

    trainer._begin = begin_watched  # type: ignore[method-assign]
    return trainer


def train(
    recipe: Recipe,
    workspace: Path | None = None,
    state: Any = None,
    reports: int | None = None,
    checkpoints: Path | None = None,
) -> dict[str, Any]:
    steps: list[dict[str, torch.Tensor]] = []
    trainer = watched(Trainer(recipe, device="cpu", workspace=workspace), steps)
    if state is not None:
        trainer.load_state_dict(state)
    kept = None if checkpoints is None else CheckpointDirectory(checkpoints)
    run = TrainingRun(trainer, checkpoints=kept, every_report=True, saves=World.current().rank == 0)
    metrics = []
    while not trainer.finished and (reports is None or len(metrics) < reports):
        report = run.next_report()
        metrics.append({name: value for name, value in report.metrics.items() if name != "train/images_per_second"})
    test = trainer.evaluate("test")
    return {"steps": steps, "metrics": metrics, "test": test, "state": trainer.state_dict()}


def worker(rank: int, folder: str, jobs: list[tuple[str, Any]]) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2, timeout=datetime.timedelta(seconds=60)
    )
    for name, arguments in jobs:
        recipe = load_recipe(Path(folder) / f"{name}.yaml")
        if isinstance(arguments.get("state"), str):
            found = CheckpointDirectory(Path(folder) / arguments["state"]).latest()
            assert found is not None
            arguments = {**arguments, "state": found[1]}
        if "checkpoints" in arguments:  # rank 1 sees none of rank 0's, as on a disk that is slow to show what is new
            arguments = {**arguments, "checkpoints": Path(folder) / f"{arguments['checkpoints']}-{rank}"}
        try:
            result = train(recipe, **arguments)
            if name.startswith("first") and rank == 0:
                CheckpointDirectory(Path(folder) / f"{name}-checkpoints").save(1, result["state"])
        except UserError as error:
            result = {"error": str(error)}
        torch.save(result, f"{folder}/{name}-{rank}.pt")
        dist.barrier()  # the next job may read what rank 0 wrote
    dist.destroy_process_group()


def two_processes(folder: Path, **jobs: tuple[Recipe, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Run jobs one after another in two processes; return what each rank found."""
    from rebnn_search.training import dump_recipe

    for name, (made, _) in jobs.items():
        dump_recipe(folder / f"{name}.yaml", made, name)
    listed = [(name, arguments) for name, (_, arguments) in jobs.items()]
    processes = [begun(worker, rank, str(folder), listed) for rank in (0, 1)]
    for process in processes:
        process.join(240)
        assert process.exitcode == 0
    return {name: [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1)] for name in jobs}


def assert_same(a: Any, b: Any, place: str = "") -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), place
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a:
            assert_same(a[key], b[key], f"{place}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), place
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{place}[{index}]")
    else:
        assert a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)), (place, a, b)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All that two processes are asked, in one start of them: it is the start that takes the time."""
    from rebnn_search.config import apply_override, parse, validate

    def recipe(*overrides: str) -> Recipe:
        text = "{data: {name: digits}, network: {name: digits_resnet, width: 4}, optimizer: {name: adam, lr: 1e-2}, epochs: 2,"
        document = parse(text + " batch_size: 256, reports_per_epoch: 2}", "tiny.yaml")
        for override in overrides:
            apply_override(document, override)
        return validate(Recipe, document)

    folder = tmp_path_factory.mktemp("together")
    staged, accumulated = recipe("stage_one={epochs: 1, lr: 1e-2}"), recipe(*PLAIN_NET, "accumulate=3")
    found = two_processes(
        folder,
        plain=(recipe(*PLAIN_NET), {}),
        accumulated=(accumulated, {}),
        norm=(recipe("weights=recu", "data.augment={name: crop_flip, padding: 1}"), {}),
        staged=(staged, {"workspace": folder / "shared"}),
        again=(staged, {"workspace": folder / "shared"}),
        first=(staged, {"workspace": folder / "shared", "reports": 1}),
        second=(staged, {"state": "first-checkpoints"}),
        broken=(staged, {"workspace": folder / "shared", "checkpoints": "own", "reports": 3}),
        mended=(staged, {"workspace": folder / "shared", "checkpoints": "own"}),
        tiny_batch=(recipe("batch_size=1", "network={name: mlp, width: 4, norm: false}"), {}),
        synced=(recipe("sync_batch_norm=true"), {}),
    )
    return {"found": found, "recipe": recipe, "folder": folder}


@pytest.mark.parametrize("name", ["plain", "accumulated", "norm", "staged"])
def test_the_ranks_agree_to_the_bit_at_every_step(together: dict[str, Any], name: str) -> None:
    first, second = together["found"][name]
    assert len(first["steps"]) > 5
    assert any(name.endswith("gamma") and (value > 0).any() for name, value in first["steps"][-1].items()) or name == "norm"
    for index, (a, b) in enumerate(zip(first["steps"], second["steps"], strict=True)):
        # Batch statistics are each rank's own between two forward passes, when rank 0's are sent.
        own = ("running_mean", "running_var", "num_batches_tracked")
        for key in a:
            if not key.endswith(own):
                assert torch.equal(a[key], b[key]), (index, key)
    assert_same(first["metrics"], second["metrics"])
    assert_same(first["test"], second["test"])
    assert_same(first["state"]["network"], second["state"]["network"])


@pytest.mark.parametrize("name", ["plain", "accumulated"])
def test_two_processes_are_one_with_the_same_global_batch(together: dict[str, Any], name: str) -> None:
    alone = train(together["recipe"](*PLAIN_NET))
    both = together["found"][name][0]
    assert len(alone["steps"]) == len(both["steps"]) == 20
    # Float32 rounding grows from step to step as signs flip: compare while it is rounding.
    for key, value in alone["steps"][0].items():
        torch.testing.assert_close(both["steps"][0][key], value, rtol=1e-4, atol=1e-6, msg=lambda m, key=key: f"{key}: {m}")
    for a, b in zip(alone["metrics"][:2], both["metrics"][:2], strict=True):
        for key in ("train/loss", "val/loss"):
            assert b[key] == pytest.approx(a[key], rel=2e-3), key


def test_every_sample_is_evaluated_once(together: dict[str, Any]) -> None:
    both = together["found"]["plain"][0]
    trainer = Trainer(together["recipe"](*PLAIN_NET))
    trainer.load_state_dict(both["state"])
    assert trainer.evaluate("test") == pytest.approx(both["test"], rel=1e-6)
    labels = trainer.data.samples("test").labels  # type: ignore[attr-defined]
    assert both["test"]["top1"] * len(labels) / 100 == pytest.approx(round(both["test"]["top1"] * len(labels) / 100), abs=1e-6)


def test_two_workers_resume_to_the_bit(together: dict[str, Any]) -> None:
    whole, first, second = (together["found"][name][0] for name in ("staged", "first", "second"))
    assert_same(first["metrics"] + second["metrics"], whole["metrics"])
    assert_same(second["state"], whole["state"])
    assert_same(together["found"]["second"][1]["state"]["network"], whole["state"]["network"])


def test_all_ranks_go_on_from_the_checkpoint_that_rank_0_sees(together: dict[str, Any]) -> None:
    whole, broken, mended = (together["found"][name] for name in ("staged", "broken", "mended"))
    for rank in (0, 1):
        assert_same(broken[rank]["metrics"] + mended[rank]["metrics"], whole[rank]["metrics"])
    assert_same(mended[0]["state"], whole[0]["state"])
    assert not (together["folder"] / "own-1").exists()


def test_two_workers_share_a_stage_one(together: dict[str, Any]) -> None:
    assert_same(together["found"]["staged"][0], together["found"]["again"][0])
    (folder,) = (together["folder"] / "shared" / "stage_one").iterdir()
    assert list(folder.glob("*.pt"))


def test_what_does_not_fit_so_many_workers_is_a_clear_error(together: dict[str, Any]) -> None:
    assert "batch_size = 1: leaves nothing to some of the 2 workers" in together["found"]["tiny_batch"][1]["error"]
    assert "sync_batch_norm: true needs every worker on a GPU" in together["found"]["synced"][0]["error"]


def test_alone_sync_batch_norm_changes_nothing(recipe: Make) -> None:
    one, other = train(recipe("epochs=1")), train(recipe("epochs=1", "sync_batch_norm=true"))
    assert_same(one["metrics"], other["metrics"])


def hold(lock: str, ready: Any) -> None:
    held = FileLock(lock)
    held.acquire()
    ready.set()
    signal.pause()


def test_a_dead_holder_s_stage_one_is_taken_up_by_the_next(recipe: Make, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from rebnn_search.training import stages

    monkeypatch.setattr(stages, "NEWS_SECONDS", 0.05)
    made = recipe("stage_one={epochs: 1, lr: 1e-2}")
    folder = tmp_path / "stage_one" / made.stage_one_key()
    folder.mkdir(parents=True)
    ready = CONTEXT.Event()
    holder = begun(hold, str(folder / "lock"), ready)
    assert ready.wait(60)
    assert not stages._acquired(FileLock(folder / "lock"))
    holder.kill()
    holder.join()
    state = stage_one_weights(made, tmp_path, World(), Trainer)
    assert any("weight" in name for name in state)
