"""The numbers behind tables and pictures, against what tracking holds."""

import csv
import io
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from scipy import stats
from support.commands import call

from rebnn_search.report import TrackedSearch
from rebnn_search.report import table as paper_table
from rebnn_search.report.figures import FIGURES, style
from rebnn_search.report.strategies import COLOURS, label
from rebnn_search.report.study import study_of


def best_of(result: dict[str, Any], params: dict[str, Any]) -> list[float]:
    """Top-1 by seed of the best whole configuration with these parameters, from the command's own JSON."""
    found: dict[int, list[dict[str, Any]]] = {}
    for trial in result["trials"]:
        if trial["state"] == "COMPLETE" and params.items() <= trial["params"].items():
            found.setdefault(trial["configuration"], []).append(trial)
    whole = [trials for trials in found.values() if len(trials) == 2]
    best = min(whole, key=lambda trials: sum(trial["val_loss"] for trial in trials))
    return [trial["val_top1"] for trial in best]


@pytest.mark.parametrize(
    ("label", "params"),
    [("γ = 0", {"gamma.strategy": "constant", "gamma.value": 0.0}), ("ReCU", {"weights": "recu"}),
     ("ReActNet", {"weights": "reactnet"})],
)  # fmt: skip
def test_the_table_is_the_mean_and_student_s_interval_over_seeds(
    tracked: TrackedSearch, result: dict[str, Any], label: str, params: dict[str, Any]
) -> None:
    rows = {row.label: row for row in paper_table.table(tracked)}
    assert {"γ = 0", "Eq. (3.150)", "ReActNet", "ReCU"} <= set(rows)
    values = best_of(result, params)
    assert rows[label].top1.n == 2
    assert rows[label].top1.mean == pytest.approx(np.mean(values))
    if values[0] != values[1]:
        low, high = stats.t.interval(0.95, 1, np.mean(values), stats.sem(values))
        assert rows[label].top1.half_width == pytest.approx((high - low) / 2)


def test_the_difference_is_paired_by_seed(tracked: TrackedSearch) -> None:
    by_label = {row.label: row for row in paper_table.table(tracked)}
    methods = {m.label: m for m in paper_table.methods(tracked)}
    tops = {name: {t.seed: t.metrics["final/val/top1"] for t in methods[name].trials} for name in ("γ = 0", "ReActNet")}
    seeds = sorted(tops["γ = 0"].keys() & tops["ReActNet"].keys())
    differences = [tops["ReActNet"][seed] - tops["γ = 0"][seed] for seed in seeds]
    row = by_label["ReActNet"]
    assert row.difference is not None and row.difference.mean == pytest.approx(np.mean(differences))
    if len(set(differences)) > 1:
        assert row.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert by_label["γ = 0"].difference is None and by_label["γ = 0"].p is None


def test_markdown_latex_and_csv_hold_the_same_rows(tracked: TrackedSearch) -> None:
    rows = paper_table.table(tracked)
    read = list(csv.DictReader(io.StringIO(paper_table.as_csv(rows))))
    assert [row["strategy"] for row in read] == [row.label for row in rows]
    assert [float(row["top1_mean"]) for row in read] == [row.top1.mean for row in rows]
    markdown = paper_table.markdown(rows)
    latex = paper_table.latex(rows, paper_table.notes(tracked))
    for row in rows:
        assert f"| {row.top1.text('.2f')} |" in markdown
        assert row.top1.text(".2f").replace("±", r"$\pm$") in latex
    assert latex.count(r" \\") == len(rows) + 1 and r"\textbf" in latex


def test_latex_takes_every_text() -> None:
    assert paper_table._tex(r"< 0.001 max |G| a\b_{c}$~^") == (
        r"$<$ 0.001 max $|G|$ a\textbackslash{}b\_\{c\}\$\textasciitilde{}\textasciicircum{}"
    )


def test_the_study_is_the_ledger_s(tracked: TrackedSearch, searched: Path) -> None:
    journal = JournalStorage(JournalFileBackend(str(searched / "results" / "s" / "study.journal")))
    own = optuna.load_study(study_name=None, storage=journal)
    made = study_of(tracked)
    assert made.direction == own.direction and len(made.trials) == len(own.trials)
    for a, b in zip(made.trials, own.trials, strict=True):
        assert (a.number, a.state, a.params, a.distributions) == (b.number, b.state, b.params, b.distributions)
        assert a.value == b.value and a.intermediate_values == b.intermediate_values


NOT_DRAWN = {"front", "early_looks"}
"""The search has one objective, and fewer configurations than early looks are judged by."""


def test_every_picture_is_drawn_and_its_curves_are_the_metrics(tracked: TrackedSearch) -> None:
    client = MlflowClient(tracked.uri)
    with style():
        drawn = {figure.name: figure.draw(tracked) for figure in FIGURES}
    assert {name for name, figure in drawn.items() if figure is None} == NOT_DRAWN
    methods = {m.label: m for m in paper_table.methods(tracked)}
    curves = {line.get_label(): line for line in drawn["training_loss"].axes[0].get_lines()}
    assert set(curves) == set(methods)
    for name, line in curves.items():
        histories = [client.get_metric_history(trial.run_id, "train/loss") for trial in methods[name].trials]
        values = [[m.value for m in sorted(history, key=lambda m: m.step)] for history in histories]
        np.testing.assert_allclose(line.get_ydata(), np.mean(values, axis=0))
        np.testing.assert_allclose(line.get_xdata(), np.arange(1, 9) / 2)
        assert line.get_color() == COLOURS[name]
    first = drawn["oscillation"].axes[0]
    for line in first.get_lines():
        histories = [
            client.get_metric_history(trial.run_id, "oscillation/layer_00/sequential_oscillation_ratio")
            for trial in methods[line.get_label()].trials
        ]
        values = [[m.value for m in sorted(history, key=lambda m: m.step)] for history in histories]
        np.testing.assert_allclose(line.get_ydata(), 100 * np.mean(values, axis=0).reshape(4, 2).mean(1))
    assert [line.get_label() for line in first.get_lines()] == ["ReActNet", "ReCU", "Eq. (3.150)"]


def test_a_histogram_counts_every_weight_of_the_channel(tracked: TrackedSearch) -> None:
    reactnet = next(t for t in tracked.trials if t.params["weights"] == "reactnet")
    rebnn = next(t for t in tracked.trials if t.params.get("gamma.strategy") == "flip_ratio" and t.seed == reactnet.seed)
    data = tracked.latent(reactnet)
    assert data is not None and list(data["counts"]) == ["0", "0.5", "1", "2", "3", "4"]
    assert {sum(counts) for counts in data["counts"].values()} == {4 * 9}
    other = tracked.latent(rebnn)
    assert other is not None and other["counts"]["0"] == data["counts"]["0"] and other["unit"] == data["unit"]


@pytest.mark.parametrize(
    ("weights", "strategy", "value", "name"),
    [("rebnn", "constant", 0.0, "γ = 0"), ("rebnn", "constant", 1e-5, "γ = 1e-5"), ("rebnn", "constant", 2.5e-4, "γ = 2.5e-4"),
     ("rebnn", "flip_ratio", None, "Eq. (3.150)"), ("recu", None, None, "ReCU"), ("rebnn", "mine", None, "mine")],
)  # fmt: skip
def test_labels(weights: str, strategy: str | None, value: float | None, name: str) -> None:
    assert label(weights, strategy, value) == name


def move(database: Path, before: str, after: str) -> None:
    """Let every path in a database be as if what it tells of had been made elsewhere."""
    with sqlite3.connect(database) as opened:
        for (table,) in opened.execute("select name from sqlite_master where type = 'table'").fetchall():
            for _, column, kind, *_ in opened.execute(f"pragma table_info('{table}')").fetchall():
                if "CHAR" in kind or kind == "TEXT":
                    changed = f'update "{table}" set "{column}" = replace("{column}", ?, ?) where instr("{column}", ?)'
                    opened.execute(changed, (before, after, before))
    opened.close()


@pytest.mark.slow(minutes=0.5)
def test_the_command_reports_a_search_that_came_from_another_machine(searched: Path, tmp_path: Path) -> None:
    here = tmp_path / "elsewhere"
    here.mkdir()
    # All that came along: the database and the artifacts. What they were made from is out of reach.
    shutil.copy(searched / "mlflow.db", here)
    shutil.copytree(searched / "mlartifacts", here / "mlartifacts")
    move(here / "mlflow.db", str(searched), f"{searched}-of-another-machine")
    done = call("report", "s", "--format", "svg", "--format", "pdf", "--out", "out", cwd=here)
    assert done.returncode == 0, done.stderr
    listed = [here / line for line in done.stdout.splitlines()]
    names = {figure.name for figure in FIGURES} - NOT_DRAWN
    assert {f"figures/{name}.{form}" for name in names for form in ("svg", "pdf")} <= {
        file.relative_to(here / "out").as_posix() for file in listed
    }
    assert all(file.stat().st_size > 500 for file in listed)
    page = (here / "out" / "report.html").read_text(encoding="utf-8").replace(f"{searched}-of-another-machine", str(searched))
    own = (searched / "results" / "s" / "report" / "report.html").read_text(encoding="utf-8")
    assert page.split('<h2 id="figures">')[0] == own.split('<h2 id="figures">')[0]


def test_no_such_search_is_one_message(searched: Path) -> None:
    done = call("report", "other", cwd=searched)
    assert done.returncode == 2
    assert done.stderr == "error: other: tracking holds no search of this name; there: s\n"
