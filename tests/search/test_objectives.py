"""Several objectives and constraints: how a file says them, what is best, and what a killed search makes of them."""

import json
import os
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from rebnn_search.config import UserError
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.front import front_of, knee_of
from rebnn_search.study.front_window import FrontWindow
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.objectives import Goal
from rebnn_search.study.ranking import Standing, pareto_front, rank
from rebnn_search.study.result import leaderboard
from rebnn_search.study.samplers import SAMPLERS
from rebnn_search.study.search import restore_search
from rebnn_search.study.spec import Objective

SPACE = """
recipe: tiny.yaml
space:
  optimizer.lr: {log_uniform: [1e-4, 3e-2]}
  network.width: {int: [4, 16]}
trials: 14
"""
TWO = SPACE + "objectives: [val/loss, bytes]\n"


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about power cuts."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("objectives: [val/loss, bites]", "objectives.1.name = 'bites': no such objective; did you mean 'bytes'? valid are "),
        ("objectives: [bytes, val/loss]", "objectives.0 = 'bytes': comes first, and trials report and are pruned"),
        ("objectives: [val/loss, bytes, bytes]", "objectives.2 = 'bytes': is there already"),
        ("objectives: [val/loss, {name: latency, format: oonx}]", "unknown model format 'oonx': valid are onnx, "),
        ("objectives: [val/loss, {name: latency, batches: 2}]", "batches = 2: unknown key; did you mean 'batch'?"),
        ("objectives: val/loss", "objectives = 'val/loss': expected a list"),
        ("objectives: [val/loss, bytes]\nobjective: {metric: val/loss}", "objectives: there is objective as well: write either"),
        ("objectives: [val/loss, bytes]\nsampler: cma_es", "sampler = 'cma_es': learns from one objective, and there are 2: valid"),
        ("objective: {metric: val/los}", "objective.metric = 'val/los': no such metric; did you mean 'val/loss'?"),
        ("constraints: {bites: <= 10 kB}", "constraints.bites = '<= 10 kB': no such objective; did you mean 'bytes'?"),
        ("constraints: {bytes: 10 kB}", "constraints.bytes = '10 kB': expected \"<= NUMBER\" or \">= NUMBER\" with one of B, kB, MB"),
        ("constraints: {bytes: <= 10 kb}", "constraints.bytes = '<= 10 kb': bytes has no unit 'kb'; expected"),
        ("constraints: {bytes: 100}", "constraints.bytes = 100: "),
        ("constraints: {latency: <= 2}", "constraints.latency = '<= 2': needs a unit; expected \"<= NUMBER\" or "),
        ("constraints: {val/top1: '>= 90'}", "val/top1 lies between 0 and 100 (a number alone is a share: write 90 % or 0.9)"),
        ("constraints: {val/loss: <= -1}", "val/loss lies between 0 and inf"),
        ("constraints: {bytes: >= 1 kB}", "not valid YAML: found character '>' that cannot start any token (a value that begins"),
        ("constraints:\n  bytes: >= 1 kB", "(a value that begins with > needs quotes)"),
        ("constraints: {bytes: <= 1 kB 2}", "constraints.bytes = '<= 1 kB 2': expected"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message(driven: Any, tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        driven.load(tmp_path, f"{SPACE}{more}\n")
    told = str(error.value)
    assert message in told and "\n" not in told
    second = "sampler" in more or "\n  bytes" in more
    assert f"space.yaml:{8 if second else 7}: " in told


def test_bounds_are_read_in_their_units(driven: Any, tmp_path: Path) -> None:
    text = "constraints: {bytes: <=100kB, val/top1: '>= 0.9', latency: <= 1.5e2 us, val/loss: <= 2 nats, binary_ops: <= 3 M}"
    search = driven.load(tmp_path, f"{SPACE}{text}\n")
    assert {limit.name: (limit.at_most, limit.bound) for limit in search.limits} == {
        "bytes": (True, 1e5), "val/top1": (False, 90.0), "latency": (True, 0.15), "val/loss": (True, 2.0), "binary_ops": (True, 3e6),
    }  # fmt: skip
    assert [data["name"] for data in search.measured] == ["bytes", "latency", "binary_ops"]
    assert search.spec.constraints["bytes"] == "<= 100 kB", "written one way"
    assert search.broken({"bytes": 1e5, "val/top1": 90.0, "latency": 0.1, "val/loss": 0.1, "binary_ops": 1.0}) is None
    assert search.broken({"bytes": 100001.0, "val/top1": 89.0}) == "bytes 100,001, not <= 100 kB; val/top1 89.00, not >= 0.9"
    assert search.broken({"bytes": 2e5, "val/top1": 1.0}, ended=False) == "bytes 200,000, not <= 100 kB"


def test_one_objective_is_what_it_was_to_the_letter(driven: Any, tmp_path: Path) -> None:
    search = driven.load(tmp_path, SPACE)
    assert "objectives" not in search.dump() and "constraints" not in search.dump()
    assert search.dump()["objective"] == {"metric": "val/loss", "direction": "minimize"}
    one = driven.load(tmp_path, SPACE + "objectives: [val/top1]\n")
    assert one.spec.objective == Objective(metric="val/top1", direction="maximize") and one.spec.pruner.name == "median"
    for text in (SPACE, TWO, TWO + "constraints: {bytes: <= 1 kB}\n"):
        search = driven.load(tmp_path, text)
        assert restore_search(search.dump()).dump() == search.dump()
    assert driven.load(tmp_path, TWO).spec.pruner.name == "none", "the first objective alone ends no trial unless asked to"
    assert driven.load(tmp_path, TWO + "pruner: median\n").spec.pruner.name == "median"


@pytest.mark.parametrize(
    ("more", "every"),
    [
        ("", 5), ("sampler: {name: nsga_ii, population_size: 4}", 5),
        ("sampler: {name: tpe, n_startup_trials: 3}\npruner: median", 5),
        ("sampler: {name: gp, n_startup_trials: 8}", 40),
        ("pruner: {name: median, n_startup_trials: 2}\nconstraints: {bytes: <= 1 kB}", 7),
        ("pruner: {name: successive_halving, reduction_factor: 2}\nseeds: 2", 9),
        ("pruner: {name: hyperband, reduction_factor: 2}", 11), ("pruner: wilcoxon\nconstraints: {latency: <= 150 us}", 15),
    ],
)  # fmt: skip
def test_cut_after_lines_of_its_journal_it_is_the_one_left_alone(driven: Any, tmp_path: Path, more: str, every: int) -> None:
    text = f"{TWO}{more}\n" if "latency" not in more else f"{TWO}{more}\n".replace("bytes]", "latency]")
    search = driven.load(tmp_path, text)
    whole = SearchFolder(tmp_path / "whole" / "s")
    wanted = driven.drive(whole, search)
    assert len(wanted) == 14 and all(len(row[3]) == 2 for row in wanted if row[1] == "COMPLETE")
    assert sum(row[1] == "COMPLETE" for row in wanted) >= 2
    if "median" in more:
        assert any(row[1] == "PRUNED" for row in wanted), "nothing was pruned"
    journal = whole.journal.read_bytes().splitlines(keepends=True)
    for count in range(2, len(journal) + 1, every):
        folder = SearchFolder(tmp_path / "cut" / "s")
        shutil.rmtree(folder.path, ignore_errors=True)
        folder.path.mkdir(parents=True)
        shutil.copy(whole.search_file, folder.search_file)
        folder.journal.write_bytes(b"".join(journal[:count]))
        _copy_reports(whole, folder, journal[:count], ahead=count % 2)
        assert driven.drive(folder, search) == wanted, f"after line {count}"


def _copy_reports(whole: SearchFolder, folder: SearchFolder, journal: list[bytes], ahead: int) -> None:
    """The reports that were on disk after so many lines of the journal, ``ahead`` more than it has of the last trial."""
    entries = [json.loads(line) for line in journal]
    made = sum(entry["op_code"] == 4 for entry in entries)
    steps = dict.fromkeys(range(made), 0) | {entry["trial_id"]: entry["step"] for entry in entries if entry["op_code"] == 7}
    for number, step in steps.items():
        lines = (whole.trial(number) / "reports.jsonl").read_bytes().splitlines(keepends=True)
        folder.trial(number).mkdir(parents=True)
        kept = step + (ahead if number == made - 1 else 0)
        (folder.trial(number) / "reports.jsonl").write_bytes(b"".join(lines[:kept]))


def _driven(driven: Any, tmp_path: Path, text: str) -> tuple[Any, Ledger]:
    search = driven.load(tmp_path, text)
    folder = SearchFolder(tmp_path / "s")
    driven.drive(folder, search)
    return search, Ledger(folder, search)


def test_the_front_is_optuna_s_and_comes_first(driven: Any, tmp_path: Path) -> None:
    search, ledger = _driven(driven, tmp_path, TWO)
    rows = leaderboard(search, ledger, {})
    front = {row.number for row in rows if row.front}
    assert front == {trial.number for trial in ledger.study.best_trials} and 1 < len(front) < 14
    assert [row.front for row in rows] == sorted((row.front for row in rows), reverse=True)
    losses = [row.val_loss for row in rows if row.front]
    assert losses == sorted(losses) and [trial.number for trial in ledger.best] == [rows[0].number]
    assert rows[0].values["bytes"] == 100 * rows[0].params["network.width"]


def test_what_breaks_a_constraint_is_never_named_best(driven: Any, tmp_path: Path) -> None:
    _free, open_ledger = _driven(driven, tmp_path / "free", SPACE)
    best = open_ledger.best[0].user_attrs["params"]["network.width"]
    bound = f"constraints: {{bytes: '{'>=' if best < 10 else '<='} 1 kB'}}\n"
    search, ledger = _driven(driven, tmp_path / "bound", SPACE + bound)
    rows = leaderboard(search, ledger, {})
    broken = [row for row in rows if row.infeasible is not None]
    assert broken and {row.state for row in broken} == {"PRUNED"}, "known with the first report, they end there"
    assert all(row.epochs == 0.25 and str(row.reason).startswith("infeasible: bytes") for row in broken)
    assert ledger.best[0].number == rows[0].number and rows[0].infeasible is None
    assert all(max(t.constraints.values()) <= 0 for t in ledger.trials if t.state == TrialState.COMPLETE)
    told = [t for t in ledger.trials if t.number in {row.number for row in broken}]
    assert all(t.constraints["bytes"] > 0 for t in told), "Optuna is told"


def test_what_is_known_at_the_end_alone_lets_a_trial_be_trained_to_it(driven: Any, tmp_path: Path) -> None:
    search, ledger = _driven(driven, tmp_path, SPACE + "pruner: none\nconstraints: {latency: <= 100 us}\n")
    rows = leaderboard(search, ledger, {})
    broken = [row for row in rows if row.infeasible is not None]
    assert broken and {row.state for row in broken} == {"COMPLETE"} and {row.shown_state for row in broken} == {"INFEASIBLE"}
    sound = [row for row in rows if row.shown_state == "COMPLETE"]
    assert sound == rows[: len(sound)] and ledger.best[0].number == sound[0].number
    assert ledger.study.best_trial.number == sound[0].number, "and Optuna agrees"


def test_none_is_best_where_none_keeps_to_the_constraints(driven: Any, tmp_path: Path) -> None:
    search, ledger = _driven(driven, tmp_path, TWO + "constraints: {val/loss: <= 0.001}\n")
    rows = leaderboard(search, ledger, {})
    assert ledger.best == [] and not any(row.front for row in rows)
    assert all(row.infeasible for row in rows if row.state == "COMPLETE")


def test_a_configuration_with_an_infeasible_seed_is_infeasible() -> None:
    def row(number: int, value: float, infeasible: bool = False, others: tuple[float, ...] = ()) -> Standing:
        return Standing(number, number // 2, "COMPLETE", value, infeasible, (value, *others) if others else ())

    standings = [row(0, 0.1), row(1, 0.1, True), row(2, 0.5), row(3, 0.6), row(4, 0.9), row(5, 0.9)]
    assert rank(standings, Objective(), 2) == [[2, 3], [4, 5], [0, 1]]
    both = [row(0, 0.1, False, (9.0,)), row(1, 0.1, True, (1.0,)), row(2, 0.5, False, (2.0,)), row(3, 0.7, False, (2.0,))]
    both += [row(4, 0.5, False, (3.0,)), row(5, 0.7, False, (3.0,)), row(6, 0.9, False, (1.0,)), row(7, 0.9, False, (1.0,))]
    assert pareto_front(both, Objective(), 2) == {2, 3, 6, 7}
    assert rank(both, Objective(), 2) == [[2, 3], [6, 7], [4, 5], [0, 1]]


def test_the_front_of_any_points() -> None:
    points = [(float(a), float(b), float((a * 7 + b * 3) % 5)) for a, b in product(range(6), range(6))]
    points += points[:4]
    study = optuna.create_study(directions=["minimize"] * 3)
    for point in points:
        study.tell(study.ask(), point)
    assert front_of(points) == sorted(trial.number for trial in study.best_trials)
    assert front_of([]) == [] and front_of([(1.0, 2.0)]) == [0]


def test_the_knee_is_where_little_is_given_for_much() -> None:
    assert knee_of([(0.10, 4000.0), (0.11, 1000.0), (0.9, 900.0)]) == 1
    assert knee_of([(1.0, 1.0)]) == 0
    assert knee_of([(0.0, 1.0), (1.0, 0.0)]) == 0


def test_what_a_sampler_sees_does_not_depend_on_the_order_in_which_trials_ended() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    goals = [Goal("a", "minimize", "a", "g"), Goal("b", "maximize", "b", "g")]
    for number in range(60):
        trial = study.ask()
        if number % 5 == 4:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, [float(number * 17 % 23), float(number * 5 % 19)])
    trials = study.trials
    front, shuffled = FrontWindow(goals, 20, 10), FrontWindow(goals, 20, 10)
    for trial in trials:
        front.add(trial)
    for trial in sorted(trials, key=lambda trial: trial.number * 29 % 61):
        shuffled.add(trial)
        assert len(shuffled.trials) <= 30
    assert [t.number for t in front.trials] == [t.number for t in shuffled.trials]
    assert {t.number for t in study.best_trials} <= {t.number for t in front.trials}
    assert trials[-1].number in {t.number for t in front.trials}


def test_a_sampler_of_several_objectives_sees_no_pruned_trial(driven: Any, tmp_path: Path) -> None:
    """Optuna's TPE would ask the study for its one direction."""
    _search, ledger = _driven(driven, tmp_path, TWO + "pruner: {name: median, n_startup_trials: 2}\n")
    states = {trial.state for trial in ledger.trials}
    assert TrialState.PRUNED in states
    assert TrialState.PRUNED not in {trial.state for trial in ledger.study.trials}


@pytest.mark.parametrize("name", sorted(name for name, cls in SAMPLERS.items() if not getattr(cls, "multi_objective", False)))
def test_a_sampler_without_the_trait_cannot(name: str) -> None:
    study = optuna.create_study(directions=["minimize", "minimize"], storage=InMemoryStorage(), sampler=SAMPLERS[name](seed=0))
    with pytest.raises(ValueError, match="multi-objective"):
        for number in range(8):
            trial = study.ask()
            trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
            study.tell(trial, [float(number), 1.0])


def test_objectives_of_several_files_can_be_set_on_the_command_line(driven: Any, tmp_path: Path) -> None:
    driven.load(tmp_path, SPACE)
    search = load_search(tmp_path / "space.yaml", ["objectives=[val/loss, bytes]", "constraints.bytes=<= 1 kB"])
    assert [goal.name for goal in search.goals] == ["val/loss", "bytes"] and str(search.limits[0]) == "bytes <= 1 kB"
    with pytest.raises(
        UserError, match=r"--set constraints.bytes=<= 1 km: constraints.bytes = '<= 1 km': bytes has no unit 'km'"
    ):
        load_search(tmp_path / "space.yaml", ["constraints.bytes=<= 1 km"])
