"""A search that begins with the best of an earlier one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rebnn_search.config import UserError
from rebnn_search.execution.opening import open_search
from rebnn_search.execution.session import Session
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.search import Search
from rebnn_search.testing.pause_rule import away, drive, simulated_search


@pytest.fixture
def storage(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A storage with the search ``first``, ten trials, all trained to their ends."""
    with simulated_search("trials=10", "pruner=none") as (search, path):
        drive(search, path / "first")
        yield path


def opened(storage: Path, *overrides: str, resume: bool = False, name: str = "second") -> Session:
    return open_search(
        storage / "space.yaml",
        overrides=overrides,
        storage=str(storage),
        name=name,
        resume=resume,
        tracking_uri="sqlite:///x.db",
    )


def begin(storage: Path, search: Search, name: str = "second") -> Ledger:
    folder = SearchFolder(storage / name)
    folder.path.mkdir()
    ledger = Ledger(folder, search)
    folder.write_search("space.yaml", search.dump(), None, ledger.search_id)
    return ledger


def test_the_best_come_first_and_best_first(storage: Path) -> None:
    trials = Ledger(SearchFolder(storage / "first"), opened(storage, "trials=10", "pruner=none", name="x").search).trials
    best = sorted((dict(trial.params) for trial in trials), key=away)
    search = opened(storage, "warm_start=first").search
    assert search.fixed == best[:5]
    assert opened(storage, "warm_start={search: first, best: 2}").search.fixed == best[:2]
    ledger = begin(storage, search)
    assert [ledger.ask()[1] for _ in range(6)][:5] == best[:5]


def test_they_follow_what_is_fixed_and_none_comes_twice(storage: Path) -> None:
    best = opened(storage, "warm_start=first").search.fixed
    search = opened(storage, "warm_start=first", f"fixed=[{{optimizer.lr: {best[1]['optimizer.lr']!r}}}]").search
    assert search.fixed[:3] == [best[1], best[0], best[2]]
    assert len(search.fixed) == 6


def test_a_resumed_search_has_those_it_began_with(storage: Path) -> None:
    search = opened(storage, "warm_start=first", "pruner=none").search
    begin(storage, search).ask()
    with simulated_search("trials=30", "pruner=none", "sampler_seed=7") as (more, _):
        drive(more, storage / "other")
    (storage / "first").rename(storage / "gone")  # and needs the earlier one no more
    assert opened(storage, "warm_start=first", "pruner=none", resume=True).search.dump() == search.dump()
    with pytest.raises(UserError, match=r"warm_start.search was 'first', is 'other'"):
        opened(storage, "warm_start=other", "pruner=none", resume=True)


def test_another_space_has_what_it_can(storage: Path) -> None:
    data = yaml.safe_load((storage / "space.yaml").read_text(encoding="utf-8"))
    data["space"] = {
        "optimizer.lr": {"log_uniform": [1e-3, 1e-1]}, "optimizer.weight_decay": {"choice": [0.0, 1e-4]},
        "scale_init.strategy": {"choice": ["mean_abs", "fan_in"]},
    }  # fmt: skip
    (storage / "space.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    fixed = opened(storage, "warm_start=first").search.fixed
    assert 1 <= len(fixed) <= 5
    for params in fixed:
        assert 1e-3 <= params["optimizer.lr"] <= 1e-1
        assert {**params, "optimizer.lr": 0} == {
            "optimizer.lr": 0,
            "optimizer.weight_decay": 0.0,
            "scale_init.strategy": "mean_abs",
        }


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("warm_start=nobody",), r"nobody: no such search in .*; there: first"),
        (("warm_start={search: first, best: 0}",), r"warm_start.best = 0"),
        (
            ("warm_start=first", "objective={metric: val/top1}"),
            r"first: was judged by val/loss, and this search is by val/top1",
        ),
        (
            ("warm_start=first", "space={optimizer.lr: {choice: [0.5]}}"),
            r"first: none of its configurations can be tried in this space; .* optimizer.lr = .*, and the space has one of 0.5",
        ),
    ],
)
def test_a_mistake_is_told(storage: Path, overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        opened(storage, *overrides)
    assert not (storage / "second").exists()


def test_a_damaged_search_is_one_message(storage: Path) -> None:
    file = storage / "first" / "search.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("trials: 10", "trials: many"), encoding="utf-8")
    with pytest.raises(UserError, match=r"search\.yaml: is damaged"):
        opened(storage, "warm_start=first")


def test_a_search_without_a_result_has_none_to_give(storage: Path) -> None:
    begin(storage, opened(storage, "trials=3", name="empty").search, "empty").ask()
    with pytest.raises(UserError, match="empty: no trial of it was trained to its end yet"):
        opened(storage, "warm_start=empty")
