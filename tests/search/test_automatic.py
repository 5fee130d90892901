"""What a search takes whose file names neither sampler nor pruner."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rebnn_search.config import UserError
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.resume import resume_search
from rebnn_search.study.search import Search, restore_search

RECIPE = "{data: {name: digits}, network: {name: mlp}, optimizer: {name: adam, lr: 1e-2}, epochs: 10}"
ENDLESS = {"optimizer.lr": {"log_uniform": [1e-4, 1e-1]}}
FINITE = {"gamma.strategy": {"choice": ["flip_ratio", "max_gradient"]}, "optimizer.lr": {"choice": [1e-3, 1e-2]}}


def load(folder: Path, *overrides: str, **keys: Any) -> Search:
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump({"recipe": "recipe.yaml", "space": ENDLESS, "trials": 100, **keys}), encoding="utf-8")
    return load_search(path, overrides)


def parts(search: Search) -> tuple[str, str]:
    return search.spec.sampler.name, search.spec.pruner.name


def test_many_long_trainings_are_promoted(tmp_path: Path) -> None:
    search = load(tmp_path)
    assert parts(search) == ("tpe", "promotion")
    assert search.spec.pruner.options == {"first_look": 1, "second_look": 4}  # of 40 reports
    assert search.chosen == {
        "sampler": "the space has more points than there are trials",
        "pruner": "100 trials of 40 reports: all get a look, the best go on",
    }


@pytest.mark.parametrize("asked", ["auto", {"name": "auto"}])
def test_asking_for_it_is_as_naming_none(tmp_path: Path, asked: object) -> None:
    assert load(tmp_path, sampler=asked, pruner=asked).dump() == load(tmp_path).dump()
    assert load(tmp_path, "pruner=auto", "sampler.name=auto", sampler="random", pruner="none").dump() == load(tmp_path).dump()


def test_looks_are_in_proportion_to_the_shortest_training(tmp_path: Path) -> None:
    search = load(tmp_path, space={**ENDLESS, "epochs": {"choice": [200, 100]}})
    assert search.spec.pruner.options == {"first_look": 10, "second_look": 40}


def test_what_early_curves_do_not_tell_is_trained_to_its_end(tmp_path: Path) -> None:
    late = {
        "gamma.strategy": {"choice": ["constant", "flip_ratio"]},
        "gamma.value": {"log_uniform": [1e-5, 1e-2], "when": {"gamma.strategy": "constant"}},
        "scale_init.strategy": {"choice": ["mean_abs", "fan_in"]}, "optimizer.weight_decay": {"log_uniform": [1e-6, 1e-2]},
    }  # fmt: skip
    for keys in ({}, {"seeds": 2}, {"trials": 5}):
        search = load(tmp_path, space=late, **keys)
        assert search.spec.pruner.name == "none"
        assert (
            search.chosen["pruner"] == "of γ, scaling factors and weight decay alone early curves do not tell which ends best"
        )
    for other in ("optimizer.lr", "batch_size"):
        varied = {"log_uniform": [1e-4, 1e-1]} if other == "optimizer.lr" else {"choice": [32, 64]}
        assert load(tmp_path, space={**late, other: varied}).spec.pruner.name == "promotion"


@pytest.mark.parametrize(
    ("keys", "pruner"),
    [({"seeds": 2}, "median"), ({"set": {"epochs": 1}}, "median"), ({"trials": 29}, "median"), ({"pruner": "none"}, "none")],
)
def test_what_promotion_does_not_fit(tmp_path: Path, keys: dict[str, Any], pruner: str) -> None:
    search = load(tmp_path, **keys)
    assert parts(search) == ("tpe", pruner)
    assert ("pruner" in search.chosen) == ("pruner" not in keys)


@pytest.mark.parametrize("sampler", ["gp", "nsga_ii"])
def test_a_sampler_that_learns_from_whole_trainings_gets_some(tmp_path: Path, sampler: str) -> None:
    search = load(tmp_path, sampler=sampler)
    assert parts(search) == (sampler, "median")
    assert search.chosen["pruner"] == f"{sampler} learns from whole trainings alone, of which promotion has few"


def test_a_space_that_fits_is_tried_whole(tmp_path: Path) -> None:
    search = load(tmp_path, space=FINITE)
    assert parts(search) == ("brute_force", "median")
    assert search.trials == 4
    assert parts(load(tmp_path, space=FINITE, trials=3))[0] == "tpe"
    assert parts(load(tmp_path, space=FINITE, trials=6, seeds=2))[0] == "tpe"


def test_what_was_chosen_is_kept(tmp_path: Path) -> None:
    begun = load(tmp_path, sampler="random", pruner="median")  # as by a version that chose otherwise
    folder = SearchFolder(tmp_path / "mine")
    folder.path.mkdir()
    Ledger(folder, begun).note("search_id", "x")
    folder.write_search("space.yaml", begun.dump(), None)
    assert resume_search(folder, load(tmp_path), None).dump() == begun.dump()
    assert resume_search(folder, load(tmp_path, trials=200), None).spec.trials == 200
    with pytest.raises(UserError, match=r"pruner\.name was 'median', is 'none'"):
        resume_search(folder, load(tmp_path, pruner="none"), None)


def test_it_is_restored_as_chosen(tmp_path: Path) -> None:
    search = load(tmp_path)
    assert restore_search(search.dump()).dump() == search.dump()


def test_a_slip_of_the_finger_is_told_of_it(tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"space\.yaml:\d+: sampler.name = 'tep': no such sampler; did you mean 'tpe'\? valid are auto, brute_force",
    ):
        load(tmp_path, sampler="tep")


def test_a_choice_that_is_no_number_is_told_at_its_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"space\.yaml:\d+: epochs = '4' makes no valid recipe"):
        load(tmp_path, space={**ENDLESS, "epochs": {"choice": ["4", "8"]}})
