"""Killed between two steps of the record, at each such place in turn, a search resumed is the search left alone."""

import json
import signal
from collections import Counter
from typing import Any

import pytest
from support.commands import start_ray
from support.dying import dies
from support.forked import Forked

from rebnn_search.execution.ray import executor as ray_executor

ONE = ("--set", "resources={max_concurrent: 1}")


TORN = '''
"""Workers of which the first to write a checkpoint of step 3 or later is killed with half of it written."""

import os
import pathlib
import signal

from rebnn_search.execution.ray.trainable import RecipeTrial


class Torn(RecipeTrial):
    def _next_report(self, rank):
        folder = pathlib.Path(self._task.folder)
        once = folder / "torn"
        if rank.run.trainer.reports_done >= 2 and not once.exists():
            once.touch()

            def die(path, target):
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

            pathlib.Path.replace = die
        report = super()._next_report(rank)
        with open(folder / "trained", "a") as file:
            file.write(f"{self._task.number} {report.step}\\n")
        return report
'''

PLACES = [
    # A trial of the study without its parameters; with them, but never started; started, but without a run.
    ("before", 2, "rebnn_search.study.space:Space.suggest"),
    ("after", 1, "rebnn_search.study.ledger:Ledger.ask"),
    ("before", 1, "rebnn_search.tracking:Runs.ensure_child"),
    # A report on the disk and not in the study; in the study and not in MLflow; the pruner not yet asked about it.
    ("after", 2, "rebnn_search.training.report_log:ReportLog.append"),
    ("after", 2, "rebnn_search.study.ledger:Ledger.report"),
    ("before", 3, "rebnn_search.study.ledger:Ledger.should_prune"),
    ("before", 1, "rebnn_search.tracking:Runs.log"),
    # A trial about to end; ended with its run still open.
    ("before", 1, "rebnn_search.study.ledger:Ledger._finish"),
    ("after", 1, "rebnn_search.study.ledger:Ledger._finish"),
    ("before", 1, "rebnn_search.tracking:Runs.end"),
    # The test split read, and the best recipe not written; the result known and not written; all there, and the lock not given back.
    ("before", 1, "rebnn_search.execution.publish:dump_recipe"),
    ("before", 1, "rebnn_search.execution.session:publish"),
    ("after", 1, "rebnn_search.execution.session:publish"),
]


@pytest.mark.timeout(900)
@pytest.mark.slow(minutes=1.5)
def test_killed_at_each_step_of_the_record(workplace) -> None:  # type: ignore[no-untyped-def]
    address = start_ray()
    whole = workplace.json(*ONE, "--trials", "9", "--name", "whole")
    for when, count, place in PLACES:
        begun = (workplace.path / "results" / "mine").exists()
        words = workplace.command(*ONE, "--trials", "9", "--name", "mine", "--address", address)[3:]
        words += ["--resume"] if begun else []
        process = Forked("run", *words, cwd=workplace.path, env=workplace.env, prepare=dies, prepared=(when, count, place))
        said, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"{when} {place}:\n{said}"
    resumed = workplace.json(*ONE, "--trials", "9", "--name", "mine", "--resume")
    assert workplace.sequence("mine") == workplace.sequence("whole")
    workplace.agree(resumed)
    paths = {"recipe": "", "model": ""}
    assert resumed["best"] | paths == whole["best"] | paths


@pytest.mark.slow(minutes=1.5)
def test_a_worker_killed_inside_a_checkpoint_goes_on_from_the_one_before(workplace, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    made: dict[str, Any] = {"__name__": "__main__"}  # so that Ray sends the class itself to the workers, not where it stands
    exec(TORN, made)
    two = (*ONE, "--set", "pruner.name=none", "--trials", "2")
    whole = workplace.json(*two, "--name", "whole")
    monkeypatch.setattr(ray_executor, "RecipeTrial", made["Torn"])
    done = workplace.run(*two, "--name", "torn")
    assert done.stdout.count("starting it again") == 1
    folder = workplace.path / "results" / "torn"
    assert (folder / "torn").exists()
    trained = Counter((folder / "trained").read_text(encoding="utf-8").splitlines())
    assert len(trained) == 2 * 8
    assert trained["0 1"] == trained["1 1"] == 1  # none from its beginning again
    workplace.agree(json.loads((folder / "result.json").read_text(encoding="utf-8")))
    assert len(whole["trials"]) == 2
    assert workplace.sequence("torn") == workplace.sequence("whole")


TWO = (
    "--set",
    "objectives=[val/loss, bytes]",
    "--set",
    "constraints={bytes: <= 100 kB}",
    "--set",
    "pruner.name=median",
    "--trials",
    "6",
)


@pytest.mark.slow(minutes=2)
@pytest.mark.timeout(600)
def test_a_search_of_two_objectives_killed_where_its_values_are_recorded(workplace) -> None:  # type: ignore[no-untyped-def]
    whole = workplace.json(*ONE, *TWO, "--name", "whole")
    address = start_ray()
    places = [
        # The last report on the disk and not in the study; constraints recorded and no values; all recorded, and the run still open.
        ("after", 8, "rebnn_search.training.report_log:ReportLog.append"),
        ("after", 1, "rebnn_search.study.ledger:Ledger._tell_constraints"),
        ("after", 2, "rebnn_search.study.ledger:Ledger._finish"),
    ]
    for when, count, place in places:
        begun = (workplace.path / "results" / "mine").exists()
        words = workplace.command(*ONE, *TWO, "--name", "mine", "--address", address)[3:] + (["--resume"] if begun else [])
        process = Forked("run", *words, cwd=workplace.path, env=workplace.env, prepare=dies, prepared=(when, count, place))
        said, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"{when} {place}:\n{said}"
    resumed = workplace.json(*ONE, *TWO, "--name", "mine", "--resume")

    def recorded(name: str) -> list[tuple[Any, ...]]:
        trials = workplace.study(name).trials
        return [(t.number, t.state, t.params, t.values, t.intermediate_values, t.constraints) for t in trials]

    assert recorded("mine") == recorded("whole")
    assert all(len(values) == 2 for _, state, _, values, *_ in recorded("mine") if state.name == "COMPLETE")
    assert [trial["front"] for trial in resumed["trials"]] == [trial["front"] for trial in whole["trials"]]
    assert any(trial["front"] for trial in resumed["trials"])
    assert resumed["best"]["number"] == whole["best"]["number"]
