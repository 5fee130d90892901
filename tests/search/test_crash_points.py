"""Killed between two steps of the record, at each such place in turn, a search resumed is the search left alone."""

import json
import signal
import subprocess
import sys
from collections import Counter

import pytest

DIES = '''
"""Runs the command in a process that kills itself at the n-th call of a function: before it, or after it."""

import importlib
import os
import signal
import sys

from rebnn_search.run import main


def die():
    os.kill(os.getpid(), signal.SIGKILL)


when, count, place, *args = sys.argv[1:]
module, _, path = place.partition(":")
owner = importlib.import_module(module)
*classes, name = path.split(".")
for part in classes:
    owner = getattr(owner, part)
function, calls = getattr(owner, name), 0


def deadly(*args, **kwargs):
    global calls
    calls += 1
    if calls == int(count) and when == "before":
        die()
    result = function(*args, **kwargs)
    if calls == int(count) and when == "after":
        die()
    return result


setattr(owner, name, deadly)
sys.exit(main(args))
'''

TORN = '''
"""Runs the command with workers of which the first to write a checkpoint of step 3 or later is killed with half of it written."""

import os
import pathlib
import signal
import sys

from rebnn_search.run import main
from rebnn_search.execution import session as engine


class Torn(engine.RecipeTrial):
    def _next_report(self, rank):
        report = super()._next_report(rank)
        with open(pathlib.Path(self._config["search"]) / "trained", "a") as file:
            file.write(f"{self._config['number']} {report.step}\\n")
        return report

    def _save(self, rank):
        once = pathlib.Path(self._config["search"]) / "torn"
        if rank.trainer.reports_done >= 3 and not once.exists():
            once.touch()

            def die(path, target):
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

            pathlib.Path.replace = die
        super()._save(rank)


engine.RecipeTrial = Torn
sys.exit(main(sys.argv[1:]))
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
    ("before", 1, "rebnn_search.execution.publish:publish"),
    ("after", 1, "rebnn_search.execution.publish:publish"),
]


@pytest.mark.timeout(600)
def test_killed_at_each_step_of_the_record(workplace) -> None:  # type: ignore[no-untyped-def]
    one = ("--set", "resources={max_concurrent: 1}", "--trials", "9")
    dying = workplace.path / "dying.py"
    dying.write_text(DIES, encoding="utf-8")
    for when, count, place in PLACES:
        begun = (workplace.path / "results" / "mine").exists()
        words = [sys.executable, str(dying), when, str(count), place, *workplace.command(*one, "--name", "mine")[3:]]
        done = subprocess.run(
            [*words, *(["--resume"] if begun else [])],
            cwd=workplace.path, env=workplace.env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, f"{when} {place}:\n{done.stdout}{done.stderr}"
    resumed = workplace.json(*one, "--name", "mine", "--resume")
    whole = workplace.json(*one, "--name", "whole")
    assert workplace.sequence("mine") == workplace.sequence("whole")
    workplace.agree(resumed)
    paths = {"recipe": "", "model": ""}
    assert resumed["best"] | paths == whole["best"] | paths


def test_a_worker_killed_inside_a_checkpoint_goes_on_from_the_one_before(workplace) -> None:  # type: ignore[no-untyped-def]
    torn = workplace.path / "torn.py"
    torn.write_text(TORN, encoding="utf-8")
    one = ("--set", "resources={max_concurrent: 1}", "--set", "pruner.name=none", "--trials", "2")
    done = subprocess.run(
        [sys.executable, str(torn), *workplace.command(*one, "--name", "torn")[3:]],
        cwd=workplace.path, env=workplace.env, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("starting it again") == 1
    folder = workplace.path / "results" / "torn"
    assert (folder / "torn").exists()
    trained = Counter((folder / "trained").read_text(encoding="utf-8").splitlines())
    assert len(trained) == 2 * 8
    assert trained["0 1"] == trained["1 1"] == 1  # none from its beginning again
    workplace.agree(json.loads((folder / "result.json").read_text(encoding="utf-8")))
    workplace.json(*one, "--name", "whole")
    assert workplace.sequence("torn") == workplace.sequence("whole")
