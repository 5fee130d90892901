"""What is shown of a trial beyond a constraint while the search runs: that it is, and never as the best."""

import io

from rich.console import Console

from rebnn_search.study.spec import Objective
from rebnn_search.terminal import PlainProgress
from rebnn_search.terminal.state import SearchState


def test_an_infeasible_trial_is_told_and_is_not_the_best() -> None:
    out = io.StringIO()
    state = SearchState(Objective(), epochs=12, feasible=lambda summary: summary["bytes"] <= 1000)
    progress = PlainProgress(Console(file=out, width=200, no_color=True, highlight=False), state)
    progress.began(4, {0: ("COMPLETE", {"val/loss": 0.1, "bytes": 2000.0})})
    assert state.best is None
    for number, loss, size in ((1, 0.5, 900.0), (2, 0.2, 1100.0)):
        progress.started(number, f"#{number}", {}, 0)
        progress.finished(number, "COMPLETE", None, {"val/loss": loss, "val/top1": 90.0, "bytes": size, "epochs": 12.0})
    progress.started(3, "#3", {}, 0)
    progress.finished(3, "PRUNED", "infeasible: bytes 5,000, not <= 1 kB", {"val/loss": 0.1, "bytes": 5000.0, "epochs": 0.25})
    lines = out.getvalue().splitlines()
    assert "infeasible" not in lines[1] and "best #1 0.5000" in lines[1]
    assert "(infeasible)" in lines[2] and "best #1 0.5000" in lines[2]
    assert "(infeasible: bytes 5,000, not <= 1 kB)" in lines[3] and "best #1" in lines[3]
