"""The benchmark of Table 3.7, on the small search that the other reports' tests share, against what the search itself kept."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import spearmanr

from rebnn_search.base.errors import UserError
from rebnn_search.report import TrackedSearch
from rebnn_search.report.strategies import label
from rebnn_search.storage.folder import SearchFolder

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    sys.path.insert(0, BENCHMARKS)
    yield
    sys.path.remove(BENCHMARKS)


@pytest.fixture(scope="module")
def written(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import table_3_7

    out = tmp_path_factory.mktemp("written")
    words = [str(searched / "results" / "s"), "--out", str(out), "--tracking-uri", f"sqlite:///{searched / 'mlflow.db'}"]
    with pytest.MonkeyPatch.context() as patch:  # seconds less; the figures are the report's, with tests of their own
        patch.setattr(table_3_7, "RESAMPLES", 100)
        patch.setattr(table_3_7, "FIGURE_NAMES", ("latent_weights",))
        assert table_3_7.main(words) == 0
    return out


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def test_every_finished_trial_is_a_row(written: Path, result: dict[str, Any]) -> None:
    done = {trial["number"]: trial for trial in result["trials"] if trial["state"] == "COMPLETE"}
    found = {int(row["trial"]): row for row in rows(written / "runs.csv")}
    assert found.keys() == done.keys()
    for number, row in found.items():
        assert float(row["val_top1"]) == done[number]["val_top1"]
        assert row["weights"] == done[number]["params"]["weights"]
        assert float(row["optimizer.lr"]) == done[number]["params"]["optimizer.lr"]
    chosen = [float(found[number]["test_top1"]) for number in result["best"]["trials"]]
    assert np.mean(chosen) == pytest.approx(result["best"]["test_top1"])  # those that the search itself read


def test_the_test_split_is_read_once(
    written: Path, searched: Path, tracked: TrackedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    import table_3_7

    def forbidden(*args: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(table_3_7, "read_test", forbidden)
    known = table_3_7.known_tests(written / "runs.csv")
    runs = table_3_7.finished_runs(tracked, SearchFolder(searched / "results" / "s"), known)
    assert table_3_7.runs_csv(runs, list(tracked.search.space)) == (written / "runs.csv").read_text(encoding="utf-8")


def test_oscillation_by_layer_is_what_the_trials_reported(written: Path, searched: Path) -> None:
    found = rows(written / "oscillation.csv")
    assert {row["strategy"] for row in found} == {"γ = 0", "Eq. (3.150)", "ReActNet", "ReCU"}
    trials = [row["trial"] for row in rows(written / "runs.csv") if row["strategy"] == "ReCU"]
    reported: dict[tuple[int, int], list[float]] = {}
    for number in trials:
        file = searched / "results" / "s" / "trials" / f"{int(number):04d}" / "reports.jsonl"
        for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            for layer in (1, 2, 3):
                value = line["metrics"].get(f"oscillation/layer_{layer - 1:02d}/sequential_oscillation_ratio")
                if value is not None:
                    reported.setdefault((layer, int(np.ceil(line["epoch"]))), []).append(value)
    ours = {(int(r["layer"]), int(r["epoch"])): r for r in found if r["strategy"] == "ReCU"}
    if len(trials) == int(next(iter(ours.values()))["n"]):
        assert ours.keys() == reported.keys()
        for place, row in ours.items():
            assert float(row["sequential_oscillation_ratio_mean"]) == pytest.approx(np.mean(reported[place]))


def test_the_page_says_with_what_it_was_measured(written: Path) -> None:
    page = (written / "table.md").read_text(encoding="utf-8")
    for word in (
        "| strategy | n |",
        "test Top-1",
        "ReActNet",
        "hardware: ",
        "versions: ",
        "torch ",
        "commits: ",
        "searched by: `",
        "h in the",
    ):
        assert word in page
    assert {"latent_weights.png", "curves.csv.gz"} <= {p.name for p in written.iterdir()}
    assert "Spearman's ρ" in (written / "oscillation.md").read_text(encoding="utf-8")


def test_the_rank_correlation_draws_whole_rows() -> None:
    from table_3_7 import rank_correlation

    rng = np.random.default_rng(0)
    groups = [[(x + e, -x + f) for e, f in rng.normal(0, 0.1, (3, 2))] for x in range(8)]
    pairs = np.array([pair for group in groups for pair in group])
    rho, low, high = rank_correlation(groups)
    assert rho == pytest.approx(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    assert -1 <= low <= high < -0.5
    unrelated = [[(x, y) for _ in range(3)] for x, y in rng.normal(0, 1, (8, 2))]
    _, low, high = rank_correlation(unrelated)
    assert high - low > 0.8  # eight rows, not twenty-four trials: the interval is a wide one
    assert np.isnan(rank_correlation([[(1.0, 1.0)]])[1])


def test_the_settings_are_lines_of_a_search_file(
    searched: Path, result: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from table_3_7 import main

    uri = f"sqlite:///{searched / 'mlflow.db'}"
    assert main([str(searched / "results" / "s"), "--settings", "--tracking-uri", uri]) == 0
    fixed = yaml.safe_load(capsys.readouterr().out)
    assert {(p["weights"], p.get("gamma.strategy")) for p in fixed} >= {
        ("reactnet", None),
        ("recu", None),
        ("rebnn", "flip_ratio"),
    }
    tried = [trial["params"] for trial in result["trials"]]
    assert all(params in tried for params in fixed)


def test_binarizers_are_called_as_in_their_papers() -> None:
    assert [label(name, None, None) for name in ("irnet", "reste", "biper", "sign")] == ["IR-Net", "ReSTE", "BiPer", "sign"]


def test_a_folder_that_is_no_search_is_refused(tmp_path: Path) -> None:
    from table_3_7 import main

    with pytest.raises(UserError, match="is no search's folder"):
        main([str(tmp_path)])


def measured(file: Path, tops: dict[str, list[float]]) -> Path:
    """A table's runs with these Top-1 by strategy."""
    import table_3_7

    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, [*table_3_7.TRIAL_COLUMNS, "weights", "optimizer.lr"], restval="0")
        writer.writeheader()
        for strategy, values in tops.items():
            for seed, value in enumerate(values):
                writer.writerow(
                    {"strategy": strategy, "seed": seed, "val_top1": value, "weights": "rebnn", "optimizer.lr": "0.004"}
                )
    return file


def test_a_table_measured_again_is_compared_row_by_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import table_3_7_again

    first = measured(tmp_path / "first.csv", {"γ = 0": [62.0, 63.0, 64.0], "max |G|": [55.0, 56.0, 57.0], "ReCU": [61.0, 62.0]})
    again = measured(tmp_path / "again.csv", {"γ = 0": [62.5, 63.5, 64.5], "max |G|": [65.0, 66.0, 67.0], "ReCU": [61.0]})
    assert table_3_7_again.main([str(first), str(first)]) == 0
    capsys.readouterr()
    assert table_3_7_again.main([str(first), str(again)]) == 0  # one of two: p is 0.0975
    lines = capsys.readouterr().out.splitlines()
    # Of equal n and variances Welch's interval is Student's: ± t(4, 0.975) · sqrt(1/3 + 1/3), by hand.
    assert lines[2] == "| γ = 0 | optimizer.lr 0.004 | 3 | 63.00 ± 2.48 | 63.50 ± 2.48 | +0.50 | −1.77 to +2.77 | 0.573 |"
    assert lines[3].startswith("| max \\|G\\| |") and "| +10.00 | +7.73 to +12.27 |" in lines[3]
    assert "- 1 of 2 rows are the same within 95 % intervals; 0.1 outside of theirs would be chance." in lines
    # By seed +5.25 each: equal ones have no interval.
    assert "- All rows together: again − first +5.25 points (Student's t over 3 seeds, each the mean of the rows)." in lines
    assert not any("ReCU" in line for line in lines)

    uneven = measured(tmp_path / "uneven.csv", {"γ = 0": [63.0, 63.0, 65.0], "max |G|": [56.0, 56.0, 60.0]})
    table_3_7_again.main([str(first), str(uneven)])
    # By seed 1, 0 and 2: 1 ± t(2, 0.975) · sqrt(1/3), by hand.
    assert "again − first +1.00 ± 2.48 points (Student's t over 3 seeds" in capsys.readouterr().out

    far = measured(tmp_path / "far.csv", {"γ = 0": [52.0, 53.0, 54.0], "max |G|": [65.0, 66.0, 67.0]})
    assert table_3_7_again.main([str(first), str(far)]) == 1
    for other, said in (
        (tmp_path, "cannot be read"),
        (Path(__file__), r"is no runs\.csv"),
        (measured(tmp_path / "o", {}), "is no"),
    ):
        with pytest.raises(UserError, match=said):
            table_3_7_again.main([str(first), str(other)])
    with pytest.raises(UserError, match="has no row with two seeds or more"):
        table_3_7_again.main([str(first), str(measured(tmp_path / "one.csv", {"γ = 0": [1.0, 2.0]})), "--split", "test"])
