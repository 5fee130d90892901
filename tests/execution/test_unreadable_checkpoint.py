"""A checkpoint that is whole and cannot be loaded stops the search, with its trial unfinished: what it holds is not lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rebnn_search.config import UserError
from rebnn_search.execution.events import SearchObserver
from rebnn_search.execution.opening import open_search
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.study.result import Result
from rebnn_search.training import CheckpointDirectory
from rebnn_search.training.report_log import TrackedReport

RECIPE = """
data: {name: digits}
network: {name: mlp, width: 8, depth: 1}
optimizer: {name: adam, lr: 1e-2}
epochs: 2
batch_size: 512
reports_per_epoch: 1
"""
SPACE = "{recipe: recipe.yaml, space: {optimizer.lr: {choice: [1e-3, 1e-2]}}, sampler: random, pruner: none, trials: 2}"


class Stops(SearchObserver):
    """Stops the search at its first report."""

    stop: Callable[[], None]

    def started_with(self, stop: Callable[[], None]) -> None:
        self.stop = stop

    def reported(self, number: int, report: TrackedReport) -> None:
        self.stop()


def run(
    observer: SearchObserver, on_start: Callable[[Callable[[], None]], None] = lambda stop: None, **options: bool
) -> Result:
    session = open_search(
        "space.yaml", name="s", storage="results", tracking_uri="sqlite:///mlflow.db", executor=SerialExecutor, **options
    )
    return session.run(observer, on_start=on_start)


def test_the_search_stops_and_goes_on_without_it(
    tmp_path: Path, tracking_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(tracking_database.read_bytes())
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "space.yaml").write_text(SPACE)
    stops = Stops()
    assert run(stops, stops.started_with).interrupted
    checkpoints = CheckpointDirectory(tmp_path / "results" / "s" / "trials" / "0000" / "checkpoints")
    newer = checkpoints.save(2, {"of": Path("another version")})
    with pytest.raises(UserError, match=r"^s: .*00000002\.pt .*though its checksum matches.*to go on from the one before$"):
        run(SearchObserver(), resume=True)
    newer.unlink()
    # Nor does it go on with other data than it began with.
    (_, state), begun = checkpoints.latest() or (0, {}), (tmp_path / "results" / "s" / "trials" / "0000" / "checkpoints")
    other = {**state["trainer"], "facts": {"text": "3 classes", "digest": "of others"}}
    newer = checkpoints.save(2, {**state, "trainer": other})
    with pytest.raises(
        UserError, match=rf"^s: .*{begun}: the data are not those that this training began with: 3 classes then, 10"
    ):
        run(SearchObserver(), resume=True)
    newer.unlink()
    rows = run(SearchObserver(), resume=True).rows
    assert [row.state for row in rows] == ["COMPLETE", "COMPLETE"]
