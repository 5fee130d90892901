"""Commands that are printed go on with what was begun, and places that are not there are told."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from rebnn_search.cli import run
from rebnn_search.cli._tracked import tracking_of
from rebnn_search.cli.main import main
from rebnn_search.config import UserError
from rebnn_search.execution.events import SearchObserver
from rebnn_search.execution.opening import open_search
from rebnn_search.execution.serial import SerialExecutor

RECIPE = "data: {name: digits}\nnetwork: {name: mlp, width: 8, depth: 1}\noptimizer: {name: adam, lr: 1e-2}\nepochs: 1\n"
SPACE = (
    "recipe: recipe.yaml\nspace: {optimizer.lr: {choice: [1e-3, 1e-2, 3e-2]}}\nsampler: random\npruner: none\ntrials: 3\n"
    "fixed: [{optimizer.lr: 1e-3}, {optimizer.lr: 1e-2}]\n"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "space.yaml").write_text(SPACE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["space.yaml", "--trials", "2"],
        ["space.yaml", "--trials", "2", "--time-budget", "1h", "--no-report", "--set", "epochs=2", "--storage", "my store"],
    ],
    ids=len,
)
def test_a_search_goes_on_as_it_was_asked_for(words: list[str]) -> None:
    args = run.parser().parse_args(words)
    again = shlex.split(run.resume_command(args, "s"))
    known = run.parser().parse_args(again[again.index("rebnn_search.run") + 1 :])
    assert (known.resume, known.name) == (True, "s")
    for option in ("space", "trials", "time_budget", "no_report", "overrides", "storage", "tracking_uri", "ledger", "address"):
        assert getattr(known, option) == getattr(args, option), option


def test_recipes_prints_commands_that_work(place: Path, tracking_database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "mlflow.db").write_bytes(tracking_database.read_bytes())
    main(["recipes", "space.yaml", "--out", "my recipes", "--set", "epochs=2"])
    train, take_up = (shlex.split(line.partition(":")[2]) for line in capsys.readouterr().out.splitlines()[-2:])
    assert "data.root" not in " ".join(train), "digits lie nowhere"
    for number in ("0000", "0001"):
        main(["train", *(word.replace("NNNN", number) for word in train[train.index("rebnn_search.train") + 1 :])])
    session = open_search(
        take_up[2], overrides=[take_up[4]], trained=take_up[6], name="s", storage=str(place / "results"),
        tracking_uri=f"sqlite:///{place}/mlflow.db", executor=SerialExecutor,
    )  # fmt: skip
    assert take_up[:2] == ["rebnn-search", "run"] and take_up[3] == "--set" and take_up[5] == "--trained"
    assert len(session.run(SearchObserver()).rows) == 3


def test_a_search_s_tracking_is_found_by_its_folder(
    place: Path, tracking_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "other.db").write_bytes(tracking_database.read_bytes())
    uri = f"sqlite:///{place}/other.db"
    session = open_search(
        "space.yaml", name="s", storage=str(place / "kept here"), tracking_uri=uri, trials=1, executor=SerialExecutor
    )
    session.run(SearchObserver())
    assert tracking_of("s", str(place / "kept here"), None) == uri
    main(["show", "s", "--storage", "kept here", "--json"])
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [line.split(",")[0] for line in shown["result"]["data"]] == ["10 classes"]
    commands = shown["commands"]
    for name in ("report", "MLflow"):
        words = shlex.split(commands[name])
        assert words[words.index("--tracking-uri") + 1] == uri and words[words.index("--storage") + 1] == "kept here"
    main(["report", *shlex.split(commands["report"])[2:], "--out", "drawn"])
    assert (place / "drawn" / "report.html").is_file()


def test_a_dry_run_prints_one_object_and_says_what_a_resume_comes_to(
    place: Path, tracking_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "mlflow.db").write_bytes(tracking_database.read_bytes())
    main(["run", "space.yaml", "--dry-run", "--json"])
    assert json.loads(capsys.readouterr().out)["trials"] == 3
    open_search("space.yaml", name="s", trials=1, executor=SerialExecutor).run(SearchObserver())
    main(["run", "space.yaml", "--dry-run", "--resume", "--name", "s"])
    assert capsys.readouterr().out.endswith("# s is there, and would go on to 3 trials in all\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ls", "--storage", "nowhere"], "--storage nowhere: there is no such directory"),
        (["ls", "--storage", ""], "--storage '': names nothing"),
        (
            ["ls", "--storage", "s3:/bucket"],
            "--storage 's3:/bucket': names nothing: expected a directory, or an object store as s3://",
        ),
        (["show", "results/gamma-1"], "name 'results/gamma-1': use .*; did you mean gamma-1 with --storage results"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_places_that_are_not_there_are_told(place: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(words)
    assert main(["ls"]) == 0, "before the first search there is no folder"
