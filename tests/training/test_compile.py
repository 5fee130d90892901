"""Compiled, too, a trial is a function of its recipe alone: whatever the process has compiled before it, and as often as it takes."""

import math
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rebnn_search.training import CheckpointDirectory, Recipe, Trainer

Make = Callable[..., Recipe]
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")


def mlp(width: int, *more: str) -> tuple[str, ...]:
    return (f"network={{name: mlp, width: {width}, depth: 1}}", "precision={compile: true, dtype: float32}", *more)


def finish(trainer: Trainer, reports: int | None = None) -> list[dict[str, float]]:
    found = []
    while not trainer.finished and (reports is None or len(found) < reports):
        metrics = trainer.next_report().metrics
        found.append({name: value for name, value in metrics.items() if name != "train/images_per_second"})
    return found


def same(a: list[dict[str, float]], b: list[dict[str, float]]) -> bool:
    """To the bit; NaN is NaN, where there was nothing to measure."""
    pairs = [(x[key], y[key]) for x, y in zip(a, b, strict=True) for key in x]
    return [x.keys() for x in a] == [y.keys() for y in b] and all(p == q or (math.isnan(p) and math.isnan(q)) for p, q in pairs)


def test_ten_widths_in_one_process_are_compiled_once_each(recipe: Make, compiled: list[Any]) -> None:
    """ReCU's, whose τ is another in each epoch."""
    for done, width in enumerate(range(3, 13), start=1):
        finish(Trainer(recipe(*mlp(width, "weights=recu", "epochs=2", "reports_per_epoch=1", "batch_size=512"))))
        assert len(compiled) == done, f"width {width}"


def test_each_size_of_a_part_is_compiled_once(recipe: Make, compiled: list[Any]) -> None:
    finish(Trainer(recipe(*mlp(4, "batch_size=250", "accumulate=3", "epochs=2"))))  # parts of 84, 84 and 82
    assert len(compiled) == 2


def test_both_stages_and_the_teacher_are_compiled(recipe: Make, compiled: list[Any]) -> None:
    finish(Trainer(recipe(*mlp(4, "stage_one={epochs: 1}", "epochs=1"))))
    assert len(compiled) == 2


def test_trainers_that_take_turns_do_not_disturb_each_other(recipe: Make, compiled: list[Any]) -> None:
    alone = finish(Trainer(recipe(*mlp(5, "weights=recu"))))
    first, second = Trainer(recipe(*mlp(5, "weights=recu"))), Trainer(recipe(*mlp(6, "weights=recu")))
    in_turn = []
    while not first.finished:
        in_turn += finish(first, 1)
        finish(second, 1)
    assert same(in_turn, alone)


def train_in_fresh_process(recipe: Recipe, queue: Any) -> None:
    torch.set_num_threads(1)
    trainer = Trainer(recipe)
    metrics = finish(trainer)
    queue.put((metrics, {name: value.numpy() for name, value in trainer.network.state_dict().items()}))


@pytest.mark.slow(minutes=2)
@needs_compiler
def test_after_ten_other_widths_it_is_to_the_bit_what_a_fresh_process_trains(recipe: Make) -> None:
    last = recipe(*mlp(5, "weights=recu"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for width in range(6, 16):
            finish(Trainer(recipe(*mlp(width, "weights=recu", "epochs=1"))))
        trainer = Trainer(last)
        metrics = finish(trainer)
    finally:
        torch.set_num_threads(threads)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=train_in_fresh_process, args=(last, queue))
    process.start()
    expected, network = queue.get(timeout=250)
    process.join()
    assert same(metrics, expected)
    for name, value in trainer.network.state_dict().items():
        assert torch.equal(value, torch.from_numpy(network[name])), name


@pytest.mark.slow(minutes=2)
@needs_compiler
@pytest.mark.parametrize("products", ["float32", "bfloat16"])
def test_interrupted_and_resumed_it_is_uninterrupted(recipe: Make, tmp_path: Path, products: str) -> None:
    made = recipe("network.width=4", "batch_size=512", f"precision={{compile: true, dtype: float32, products: {products}}}")
    whole, first, second = Trainer(made), Trainer(made), Trainer(made)
    expected = finish(whole)
    begun = finish(first, 1)
    directory = CheckpointDirectory(tmp_path)
    directory.save(1, first.state_dict())
    found = directory.latest()
    assert found is not None
    second.load_state_dict(found[1])
    assert same(begun + finish(second), expected)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
