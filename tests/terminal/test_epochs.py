"""Of a search that varies how long it trains, each trial is held against its own epochs."""

import io

from rich.console import Console
from support.made_search import RECIPE

from rebnn_search.study.search import restore_search
from rebnn_search.terminal import LiveProgress
from rebnn_search.terminal.notebook import progress_html
from rebnn_search.terminal.state import SearchState
from rebnn_search.training.report_log import TrackedReport


def test_epochs_that_are_searched_are_the_trial_s_own() -> None:
    spec = {"space": {"epochs": {"choice": [2, 40]}}, "fixed": [], "trials": 8}
    state = SearchState.of(restore_search({"recipe": RECIPE, **spec}))
    out = io.StringIO()
    console = Console(file=out, width=100, no_color=True, highlight=False)
    progress = LiveProgress(console, state)
    with progress:
        progress.began(8, {0: ("PRUNED", {"epochs": 1.0})})
        assert state.epochs_saved == 0.0, "of an earlier run's trial nobody knows"
        for number, epochs in enumerate((2, 40, 40), start=1):
            progress.started(number, f"#{number}", {"epochs": epochs}, 0)
        progress.reported(2, TrackedReport(20, 10.0, 0, False, {"val/loss": 0.5}))
        progress.finished(1, "PRUNED", "median", {"epochs": 1.5})
        progress.finished(3, "PRUNED", "median", {"epochs": 10.0})
        console.print(progress)
        assert state.epochs_saved == 30.5
        assert "epoch 10.0/40" in progress_html(state, [])
    assert "epoch 10.0/40" in out.getvalue()
