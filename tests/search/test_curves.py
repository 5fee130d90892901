"""A search's trials as a table, and the table as recorded curves."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.commands import call

import rebnn_search as rs
from rebnn_search.base.metrics import FLIP_RATIO, TRAIN_LOSS, VAL_LOSS, VAL_TOP1, VAL_TOP5
from rebnn_search.config import UserError
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.recorded import RecordedCurves
from rebnn_search.execution.simulated import SimulatedClock, SimulatedExecutor
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import RUNS
from rebnn_search.study.curves import cell, params_of, read_curves
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.space import Parameter, Space
from rebnn_search.study.stored import stored_search
from rebnn_search.training.report_log import TrackedReport

METRICS = [TRAIN_LOSS, VAL_LOSS, VAL_TOP1, VAL_TOP5, FLIP_RATIO]
MIXED = """
recipe: tiny.yaml
space:
  precision.compile: {choice: [false, auto]}
  optimizer.lr: {choice: [1, 0.5]}
  network.width: {int: [4, 16]}
sampler: random
pruner: none
trials: 8
"""


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)


def made(driven: Any, tmp_path: Path, text: str) -> tuple[Any, list[Any]]:
    search = driven.load(tmp_path, text)
    return search, driven.drive(SearchFolder(tmp_path / "results" / "s"), search)


def wide(text: str) -> str:
    """Rates among them with which a trial fails."""
    return text.replace("[1e-4, 3e-2]", "[1e-6, 1.0]").replace("trials: 10", "trials: 20")


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """A table's values, whatever pandas keeps them in."""
    return table.astype("object").where(table.notna(), None)


def table_of(tmp_path: Path) -> pd.DataFrame:
    return rs.curves("s", storage=str(tmp_path / "results"))


def test_every_report_of_every_trial_has_its_row(driven: Any, tmp_path: Path) -> None:
    search, record = made(driven, tmp_path, wide(driven.GAMMA))
    table = table_of(tmp_path)
    assert list(table) == ["trial", "state", "reason", *search.space, "step", "epoch", "seconds", *METRICS]
    assert {"COMPLETE", "PRUNED", "FAIL"} <= {state for _, state, *_ in record}
    for number, state, params, _, values, attrs, _ in record:
        rows = table[table["trial"] == number]
        assert set(rows["state"]) == {state} and set(rows["reason"].fillna("")) == {attrs.get("reason", "")}
        assert {n: rows[n].iloc[0] for n in search.space if rows[n].notna().all()} == params
        if values:
            assert dict(zip(rows["step"], rows["val/loss"], strict=True)) == values
            assert list(rows["epoch"]) == [step / 4 for step in values]
        else:  # it ended before its first report
            assert len(rows) == 1 and rows[["step", "epoch", "seconds", *METRICS]].isna().all(axis=None)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_a_file_holds_the_table_to_the_bit(driven: Any, tmp_path: Path, suffix: str) -> None:
    made(driven, tmp_path, driven.MANY)
    table = table_of(tmp_path)
    assert {"configuration", "seed"} < set(table)
    done = call("cli.curves", "s", "--out", f"t.{suffix}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"t.{suffix}: {table['trial'].nunique()} trials, {len(table)} rows" in done.stdout
    first = (tmp_path / f"t.{suffix}").read_bytes()
    pd.testing.assert_frame_equal(plain(read_curves(tmp_path / f"t.{suffix}")), plain(table), check_exact=True)
    assert call("cli.curves", "s", "--out", f"t.{suffix}", cwd=tmp_path).returncode == 0
    assert (tmp_path / f"t.{suffix}").read_bytes() == first


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_values_of_any_type_come_back(driven: Any, tmp_path: Path, suffix: str) -> None:
    search, record = made(driven, tmp_path, MIXED)
    rs.curves("s", tmp_path / f"t.{suffix}", storage=str(tmp_path / "results"))
    rows = read_curves(tmp_path / f"t.{suffix}").drop_duplicates("trial")
    found = [params_of(row, search.space) for row in rows.to_dict("records")]
    wanted = [params for _, _, params, *_ in record]
    assert found == wanted
    assert [[type(v) for v in params.values()] for params in found] == [[type(v) for v in p.values()] for p in wanted]


def test_true_is_not_one() -> None:
    space = Space({"a": Parameter(choice=[1, True, None, "1"])})
    for value in (1, True, None, "1"):
        assert params_of({"a": cell(space.parameters["a"], value)}, space) == {"a": value}
    with pytest.raises(UserError, match="a = 2: the space has one of"):
        params_of({"a": 2}, space)


def test_the_time_a_search_was_stopped_is_nobodys(driven: Any, tmp_path: Path) -> None:
    search = driven.load(tmp_path, driven.PLAIN.replace("SAMPLER", "random").replace("PRUNER", "none"))
    ledger = driven.begin(SearchFolder(tmp_path / "results" / "s"), search)
    number, _ = ledger.ask()
    begun = int(ledger.trial(number).datetime_start.timestamp()) + 1  # the runs' times are whole seconds
    ledger.note(RUNS, [{"started": pd.Timestamp(begun + after, unit="s", tz="UTC").isoformat()} for after in (-60, 5000)])
    for step, after in enumerate([1.0, 3.0, 5.5, 5010.0, 5012.0], start=1):
        metrics = {VAL_LOSS: 1.0, VAL_TOP1: 50.0}
        ledger.report(number, TrackedReport(step, step / 4, int(1000 * (begun + after)), step == 5, metrics))
    ledger.complete(number)
    seconds = table_of(tmp_path)["seconds"].tolist()
    spans = [after - before for before, after in pairwise(seconds)]
    assert spans == pytest.approx([2.0, 2.5, 2.0, 2.0])  # the fourth: the median of the others, not the hour and a half
    assert 1.0 <= seconds[0] <= 3.0


def test_what_is_still_running_is_left_out(driven: Any, tmp_path: Path) -> None:
    search = driven.load(tmp_path, driven.GAMMA)
    folder = SearchFolder(tmp_path / "results" / "s")
    ledger = driven.begin(folder, search)
    ledger.ask()
    before = folder.journal.read_bytes()
    with pytest.raises(UserError, match="s: no trial of this search has ended yet"):
        table_of(tmp_path)
    with folder.journal.open("ab") as file:
        file.write(b'{"op_code": 6, "torn')
    with pytest.raises(UserError, match="no trial of this search has ended yet"):
        table_of(tmp_path)
    assert folder.journal.read_bytes() == before + b'{"op_code": 6, "torn'


def test_a_ledger_in_a_database(driven: Any, tmp_path: Path) -> None:
    search = driven.load(tmp_path, driven.GAMMA)
    url = f"sqlite:///{tmp_path}/study.db"
    record = driven.drive(SearchFolder(tmp_path / "results" / "s"), search, url)
    with pytest.raises(UserError, match="s: the ledger of this search is in sqlite:///"):
        table_of(tmp_path)
    found = rs.curves("s", storage=str(tmp_path / "results"), ledger=url)
    assert found["trial"].nunique() == len(record)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none", "--out", "t.csv"), "none: no such search in results; there: s"),
        (("s", "--out", "t.txt"), "--out t.txt: the name must end in one of .csv, .csv.gz, .parquet"),
        (("s", "--out", "away/t.csv"), "--out away/t.csv: there is no folder away"),
        (
            ("s", "--out", "t.csv", "--ledger", "sqlite:///a.db"),
            "s: the ledger of this search is its journal: leave --ledger out",
        ),
        (("../s", "--out", "t.csv"), "name '../s': use letters"),
    ],
)
def test_a_mistake_is_one_message(driven: Any, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    driven.begin(SearchFolder(tmp_path / "results" / "s"), driven.load(tmp_path, driven.GAMMA))
    done = call("cli.curves", *words, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {message}"), done.stderr
    assert not list(tmp_path.glob("t.*")) and not (tmp_path / "a.db").exists()


def test_a_simulation_on_the_table_is_the_search(driven: Any, tmp_path: Path) -> None:
    text = wide(driven.GAMMA).replace("{name: median, n_startup_trials: 2, n_warmup_steps: 1}", "none")
    search, record = made(driven, tmp_path, text)
    assert {"COMPLETE", "FAIL"} == {state for _, state, *_ in record}
    rs.curves("s", tmp_path / "t.csv.gz", storage=str(tmp_path / "results"))
    curves = RecordedCurves.read(tmp_path / "t.csv.gz", search.space)
    folder = SearchFolder(tmp_path / "simulated" / "s")
    folder.path.mkdir(parents=True)
    ledger = Ledger(folder, search)
    folder.write_search("space.yaml", search.dump(), None, ledger.search_id)
    controller = Controller(search, folder, ledger, TrialTracking(), SearchObserver())
    with SimulatedExecutor(curves, 1, SimulatedClock()) as executor:
        executor.run(controller)
    fields = lambda trials: [(t[0], t[1], t[2], t[3], t[4]) for t in trials]  # noqa: E731
    assert fields(driven.record(ledger)) == fields(record)
    assert [t.user_attrs.get("reason") for t in ledger.trials] == [t[5].get("reason") for t in record]


def test_a_table_that_does_not_fit_is_refused(driven: Any, tmp_path: Path) -> None:
    search, _ = made(driven, tmp_path, driven.MANY)
    table = table_of(tmp_path)
    with pytest.raises(UserError, match="has the configuration of an earlier one"):
        RecordedCurves(table, search.space)  # two seeds of each
    with pytest.raises(UserError, match=r"no column batch_size"):
        RecordedCurves(table.drop(columns="batch_size"), search.space)
    with pytest.raises(UserError, match="no trial that was trained to its end"):
        RecordedCurves(table[table["state"] == "PRUNED"], search.space)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"other\.csv: is no table of curves: it has no column trial"):
        read_curves(tmp_path / "other.csv")
    (tmp_path / "damaged.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"damaged\.csv\.gz: cannot be read as a table"):
        read_curves(tmp_path / "damaged.csv.gz")
    with pytest.raises(UserError, match="there is no such file"):
        read_curves(tmp_path / "nowhere.csv")


def test_a_part_that_is_not_installed_here_is_no_damage(driven: Any, tmp_path: Path) -> None:
    search, folder = driven.load(tmp_path, driven.GAMMA), SearchFolder(tmp_path / "s")
    folder.path.mkdir()
    cases = (
        (
            {"pruner": {"name": "mine"}},
            "pruner.name = 'mine': no such pruner",
            "may be a part of your own: install the package",
        ),
        ({"trials": 0}, "trials = 0: ", r"is damaged \(trials = 0: .*\); restore it from a copy"),
    )
    for change, mistake, advice in cases:
        folder.write_search("space.yaml", {**search.dump(), **change})
        with pytest.raises(UserError, match=advice) as raised:
            stored_search(folder)
        assert mistake in str(raised.value) and "validation error" not in str(raised.value)
