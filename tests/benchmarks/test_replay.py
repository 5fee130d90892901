"""The replay is the project's own search on recorded curves, and its peers are what was published."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rebnn_search.study.ledger import Ledger
from rebnn_search.study.pausing import PauseRule

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
NAMES = "learning_rate", "beta1", "beta2", "epsilon", "l1", "l2", "linear_decay", "exponential_decay"


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    sys.path.insert(0, BENCHMARKS)
    yield
    sys.path.remove(BENCHMARKS)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A file like TaskSet's: 60 configurations, 9 evaluations, the loss falls the faster the nearer the rate is to 1e-3."""
    from banks import TASKSET_RANGES, taskset

    rng = np.random.default_rng(0)
    low, high = (np.log([ends[place] for ends in TASKSET_RANGES.values()]) for place in (0, 1))
    drawn = np.exp(rng.uniform(low, high, size=(60, 8)))
    drawn[:, 1:3] = 1 - drawn[:, 1:3]
    off = np.abs(np.log10(drawn[:, :1]) + 3)
    values = off + np.exp(-np.arange(10) / (1 + off)) + rng.normal(0, 0.01, size=(60, 10))
    values[off[:, 0] > 3.5, 4:] = np.inf
    file = tmp_path_factory.mktemp("bank") / "taskset.npz"
    np.savez(file, hp=drawn, hp_names=np.array(NAMES), tasks=np.array(["one"]), **{"valid/one": values})
    return taskset(file)[0]


def test_a_bank_has_what_the_file_has(bank: Any) -> None:
    assert (len(bank), bank.reports) == (60, 9)
    assert bank.points.min() >= 0 and bank.points.max() <= 1
    assert 0 < np.isnan(bank.values[:, -1]).sum() < 30
    diverged = int(np.flatnonzero(np.isnan(bank.values[:, -1]))[0])
    assert [report.failed is None for report in bank.curves[diverged]] == [True, True, True, False]
    assert bank.index(bank.configurations[7]) == 7


def test_random_search_takes_the_configurations_in_order(bank: Any) -> None:
    from peers.loop import simulate
    from peers.simple import Random
    from replay import replay
    from traces import permutation

    ours, peer = replay(bank, sampler="random", pruner="none", seed=3), simulate(Random(bank, 3), bank)
    assert ours.configuration == peer.configuration and ours.value == peer.value and ours.time == peer.time
    assert list(dict.fromkeys(ours.configuration)) == list(permutation(bank, 3))
    assert ours.asked == 60 and ours.stopped == {} and ours.chosen(bank, 1000)[-1] == bank.final.min()


def test_a_replay_is_a_function_of_its_arguments(bank: Any) -> None:
    from replay import replay

    def run(**more: Any) -> Any:
        trace = replay(bank, seed=1, budget=150, **more)
        return trace.configuration, trace.value, trace.time, trace.stopped

    assert run() == run()
    assert run(workers=4) == run(workers=4) != run()
    assert len(run()[1]) == 150 and run()[3]
    assert len(set(run()[0])) == len(dict.fromkeys(run()[0]))


def test_what_a_pruner_stops_is_stopped_for_good(bank: Any) -> None:
    from replay import replay

    trace = replay(bank, pruner={"name": "percentile", "percentile": 0.1, "n_startup_trials": 1}, seed=0)
    assert trace.asked == 60 and len(trace.stopped) > 20
    for configuration, when in trace.stopped.items():
        assert configuration not in trace.configuration[when:]


def test_parts_of_ones_own(bank: Any) -> None:
    import optuna
    from replay import replay

    class LastFirst(PauseRule):
        def pauses(self, ledger: Ledger, number: int) -> bool:
            return ledger.reports(number).last_step == 1

        def continues(self, ledger: Ledger, paused: Any, left: int) -> int | None:
            return None if left else paused[-1]

    trace = replay(bank, sampler=optuna.samplers.TPESampler, pruner=optuna.pruners.NopPruner, pauses=LastFirst())
    alive = [index for index in range(60) if not np.isnan(bank.values[index, 0])]
    assert trace.step[: len(alive)] == [1] * len(alive)  # one step for all
    assert trace.stopped == {} and trace.chosen(bank, 1000)[-1] == bank.final.min()


def test_configurations_can_be_taken_again(bank: Any) -> None:
    from replay import replay

    trace = replay(bank, sampler="tpe", trials=150, budget=10**6, workers=40, again=True)
    assert trace.asked == 150
    with pytest.raises(LookupError, match="all 60 configurations"):
        replay(bank, sampler="tpe", trials=150, budget=10**6)


def test_halving_is_the_published(bank: Any) -> None:
    from peers.loop import simulate
    from peers.simple import ASHA, Hyperband, OneStep, successive_halving
    from traces import permutation

    order = [int(one) for one in permutation(bank, 0)]
    trace = simulate(successive_halving(bank, 0), bank, budget=9 + 3 * 2 + 6)
    assert trace.configuration[:9] == order[:9] and trace.step[:9] == [1] * 9
    kept = sorted(order[:9], key=lambda index: bank.values[index, 0])[:3]
    assert sorted(trace.stopped) == sorted(set(order[:9]) - {min(kept, key=lambda index: bank.values[index, 2])})
    assert set(trace.configuration[9:15]) == set(kept) and trace.step[9:15] == [2, 3] * 3
    assert trace.step[15:] == [4, 5, 6, 7, 8, 9]

    trace = simulate(OneStep(bank, 0, 20), bank)
    first = dict(zip(trace.configuration[:20], trace.value[:20], strict=True))
    assert list(first) == order[:20]
    rest = list(dict.fromkeys(trace.configuration[20:]))
    assert rest == sorted(rest, key=first.__getitem__)

    trace = simulate(ASHA(bank, 0), bank, budget=60)
    assert trace.configuration[:3] == order[:3] and trace.step[3] == 2  # of three the best goes on at once
    assert trace.configuration[3] == min(order[:3], key=lambda index: bank.values[index, 0]) and trace.stopped == {}
    assert simulate(Hyperband(bank, 0), bank).asked == 60


@pytest.mark.parametrize(("sampler", "pruner"), [("tpe", "hyperband"), ("cma_es", "wilcoxon"), ("tpe", "patient")])
def test_optuna_by_itself(bank: Any, sampler: str, pruner: str) -> None:
    from peers.loop import simulate
    from peers.optuna_study import OptunaStudy

    trace = simulate(OptunaStudy(bank, 0, sampler, pruner), bank)
    assert trace.asked == 60 and trace.incumbent(1000)[-1] < 1.0


def test_measures(bank: Any, tmp_path: Path) -> None:
    from compare import METHODS, Results, table
    from measures import bootstrap, first_at, interquartile_mean, regret

    assert interquartile_mean(np.array([0.0, 1.0, 2.0, 100.0])) == 1.5
    assert first_at(np.array([3.0, 2.0, 1.0]), 2.0) == 2 and first_at(np.array([3.0]), 2.0) is None
    interval = bootstrap([np.arange(20.0)], lambda runs: float(runs.mean()))
    assert interval.low is not None and interval.high is not None and interval.value == 9.5
    assert 6 < interval.low < 9.5 < interval.high < 13
    assert list(regret(np.array([np.nanmin(bank.values), np.median(bank.final), np.inf]), bank)) == [0, 1, 1]

    results = Results(tmp_path / "r")
    for seed in range(3):
        for name in ("random", "asha"):
            results.add(name, bank, seed, 1, 200, METHODS[name](bank, seed, 1, 200))
    results.write()
    again = Results(tmp_path / "r")
    assert again.rows == results.rows
    assert np.array_equal(again.incumbents("asha", bank, 200), results.incumbents("asha", bank, 200))
    text = table(again, [bank], 200)
    assert "| random | 3 |" in text and "| asha | 3 |" in text
