from pathlib import Path

import pytest
import yaml

from rebnn_search.config import UserError
from rebnn_search.study.load import load_search
from rebnn_search.study.search import Search, restore_search

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "trials" / "digits.yaml"
GAMMA = """
recipe: digits.yaml
space:
  gamma.strategy: {choice: [flip_ratio, constant]}
  gamma.value: {choice: [0.0, 1e-4], when: {gamma.strategy: constant}}
  optimizer.lr: {log_uniform: [1e-4, 3e-2]}
fixed:
  - {gamma.strategy: constant, gamma.value: 0.0}
trials: 4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "digits.yaml").write_text(DIGITS.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def load(folder: Path, text: str = GAMMA, *overrides: str) -> Search:
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return load_search(path, overrides)


@pytest.mark.parametrize("path", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=lambda path: path.name)
def test_every_search_space_of_the_project_loads(path: Path) -> None:
    search = load_search(path)
    assert restore_search(yaml.safe_load(yaml.safe_dump(search.dump()))).dump() == search.dump()


def test_the_default_search_begins_with_the_rows_of_table_3_7() -> None:
    search = load_search(ROOT / "search_spaces" / "gamma.yaml")
    rows = [(p["gamma.strategy"], p.get("gamma.value")) for p in search.fixed]
    constants = [("constant", value) for value in (0.0, 1e-5, 1e-4, 1e-3, 1e-2)]
    assert rows == [*constants, ("max_gradient", None), ("flip_ratio", None)]


def test_a_fixed_configuration_keeps_the_recipe_s_values(folder: Path) -> None:
    search = load(folder)
    lr = search.base["optimizer"]["lr"]
    assert search.fixed == [{"gamma.strategy": "constant", "gamma.value": 0.0, "optimizer.lr": lr}]


def test_a_configuration_becomes_a_recipe(folder: Path) -> None:
    recipe = load(folder).recipe({"gamma.strategy": "constant", "gamma.value": 1e-4, "optimizer.lr": 0.02})
    assert recipe.gamma.name == "constant"
    assert recipe.gamma["value"] == 1e-4
    assert load(folder).recipe({"gamma.strategy": "flip_ratio", "optimizer.lr": 0.02}).gamma.options == {}


def test_overrides_reach_the_search_or_its_recipe(folder: Path) -> None:
    search = load(folder, GAMMA, "trials=9", "epochs=2", "pruner.name=none", "space.optimizer.lr.log_uniform=[1e-3, 1e-2]")
    assert search.spec.trials == 9
    assert search.base["epochs"] == 2
    assert search.spec.pruner.name == "none"
    assert search.spec.space["optimizer.lr"].log_uniform == [1e-3, 1e-2]
    more = load(
        folder, GAMMA, "space.loss.label_smoothing={uniform: [0.0, 0.1]}", "space.optimizer.lr={choice: [1e-3, 3e-3]}"
    ).spec.space
    assert more["loss.label_smoothing"].uniform == [0.0, 0.1] and more["optimizer.lr"].choice == [1e-3, 3e-3]
    with pytest.raises(
        UserError, match=r"--set space.loss.label_smoothing=\{choise: \[0\]\}: space.loss.label_smoothing: unknown key"
    ):
        load(folder, GAMMA, "space.loss.label_smoothing={choise: [0]}")


BAD = [
    ("trials: 4", "trails: 4", "space.yaml:9: trails = 4: unknown key; did you mean 'trials'?"),
    ("trials: 4", "trials: many", "space.yaml:9: trials = 'many': input should be a valid integer"),
    ("trials: 4", "trials: 0", "space.yaml:9: trials = 0: input should be greater than or equal to 1"),
    ("trials: 4", "trials: 4\nsampler: tpee", "space.yaml:10: sampler.name = 'tpee': no such sampler; did you mean 'tpe'?"),
    ("trials: 4", "trials: 4\npruner: {name: medain}", "no such pruner; did you mean 'median'?"),
    ("trials: 4", "trials: 4\npruner: {name: median, n_startup: 1}", "pruner.n_startup = 1: unknown key"),
    ("trials: 4", "trials: 4\npruner: {name: percentile, percentile: 120.0}", "space.yaml:10: pruner: "),
    ("[1e-4, 3e-2]", "[3e-2, 1e-4]", "space.yaml:6: space.optimizer.lr.log_uniform: low must be below high"),
    ("[1e-4, 3e-2]", "[0, 3e-2]", "a log range must stay above 0"),
    ("log_uniform", "loguniform", "space.yaml:6: space.optimizer.lr.loguniform: unknown key; did you mean 'log_uniform'?"),
    ("[flip_ratio, constant]", "[flip_ratioo, constant]", "no such γ-strategy; did you mean 'flip_ratio'?"),
    ("[flip_ratio, constant]", "[flip_ratio, max_gradient]", "space.yaml:5: space.gamma.value.when.gamma.strategy"),
    ("when: {gamma.strategy", "when: {gamma.strat", "is no parameter of this space"),
    (", when: {gamma.strategy: constant}", "", "gamma.value = 0.0: unknown key"),
    (", when: {gamma.strategy: constant}", "", "add to gamma.value: when: {gamma.strategy: constant}"),
    ("optimizer.lr", "lr", "did you mean optimizer.lr?"),
    ("optimizer.lr", "optimizer.learning_rate", "makes no valid recipe"),
    ("gamma.value: 0.0}", "gamma.value: 0.5}", "space.yaml:8: gamma.value = 0.5: the space has one of 0.0, 0.0001"),
    ("{gamma.strategy: constant, gamma.value: 0.0}", "{gamma.strategy: flip_ratio, gamma.value: 0.0}", "does not hold here"),
    ("{gamma.strategy: constant, gamma.value: 0.0}", "{gamma: constant}", "gamma: is no parameter of this space"),
    ("recipe: digits.yaml", "recipe: nowhere.yaml", "space.yaml:2: recipe = 'nowhere.yaml': no such file"),
    ("trials: 4", "trials: 4\nset: {data.name: digitts}", "digitts"),
    ("trials: 4", "trials: 4\nset: {epoch: 3}", "epoch = 3: unknown key; did you mean 'epochs'?"),
    ("trials: 4", "trials: 4\nobjective: {metric: test/top1, direction: maximize}", "objective.metric = 'test/top1'"),
    ("trials: 4", "trials: 4\nobjective: {metric: val/top1, direction: minimize}", "val/top1 must be maximized"),
    ("trials: 4", "trials: 4\nresources: {cpus_per_worker: 0}", "resources.cpus_per_worker = 0"),
    ("trials: 4", "trials: 4\nsampler: {name: auto, n_startup_trials: 3}", "'auto' stands for a search file's own choice"),
    ("trials: 4", "trials: 4\npruner: {name: hyperband, reduction_factor: 1}", "reduction_factor = 1: must be at least 2"),
    ("trials: 4", "trials: 4\npruner: {name: hyperband, min_resource: 0}", "min_resource = 0: must be at least 1"),
    ("trials: 4", "trials: 4\nsampler: {name: tpe, n_ei_candidates: 0}", "n_ei_candidates = 0: must be at least 1"),
    ("trials: 4", "trials: 4\nsampler: {name: cma_es, popsize: 1}", "popsize = 1: must be at least 2"),
    ("trials: 4", "trials: 4\nsampler: {name: cma_es, sigma0: .nan}", "sigma0 = nan: must be finite and above 0"),
    ("trials: 4", "trials: 4\nsampler: {name: cma_es, x0: {lr: 1e-3}}", "space.yaml:10: sampler: x0: lr: is no parameter"),
    ("trials: 4", "trials: 4\nsampler: {name: cma_es, x0: {optimizer.lr: 1.0}}", "x0: optimizer.lr = 1.0: the space has log_uniform"),
    ("trials: 4", "trials: 4\nstop_when: {value: -5}", "space.yaml:10: stop_when.value = -5: val/loss lies between 0 and inf"),
    (
        "trials: 4", "trials: 4\nobjective: {metric: val/top1, direction: maximize}\nstop_when: {value: 0.9}",
        "space.yaml:11: stop_when.value = 0.9: val/top1 is in percent: write 90 for 90 %",
    ),
    ("trials: 4", "trials: 0100", "space.yaml:9: 0100 is 64 in YAML (octal): write 64, or what is meant without the zero before it"),
    ("trials: 4", "trials: 1:30", "space.yaml:9: 1:30 is 90 in YAML (to base 60): write 90"),
    ("{log_uniform: [1e-4, 3e-2]}", "[1e-4, 3e-2]", "space.yaml:6: space.optimizer.lr: a parameter is a mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[new for _, new, _ in BAD])
def test_a_mistake_is_one_message(folder: Path, old: str, new: str, message: str) -> None:
    assert old in GAMMA
    with pytest.raises(UserError) as error:
        load(folder, GAMMA.replace(old, new))
    assert message in str(error.value)


def test_an_override_s_mistake_names_the_override(folder: Path) -> None:
    with pytest.raises(UserError, match=r"--set epochs=none: epochs = 'none'"):
        load(folder, GAMMA, "epochs=none")
    with pytest.raises(UserError, match=r"--set trials=-1: trials = -1"):
        load(folder, GAMMA, "trials=-1")
    with pytest.raises(UserError, match=r"--set tirals=3: tirals: unknown key; did you mean 'trials'\?"):
        load(folder, GAMMA, "tirals=3")
    with pytest.raises(UserError, match=r"--set epoch=3: epoch: unknown key; did you mean 'epochs'\?"):
        load(folder, GAMMA, "epoch=3")


def test_nested_names_are_told_of_dots(folder: Path) -> None:
    nested = GAMMA.replace("optimizer.lr: {log_uniform: [1e-4, 3e-2]}", "optimizer: {lr: {log_uniform: [1e-4, 3e-2]}}")
    assert nested != GAMMA
    with pytest.raises(
        UserError, match=r"space\.yaml:6: space\.optimizer\.lr: .* its name is one word with dots: optimizer\.lr"
    ):
        load(folder, nested)
