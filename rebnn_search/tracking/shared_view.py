"""What MLflow's UI shows first of a search: its trials' table, sorted by the objective, and its charts.

The UI (MLflow 3.x) reads such a view from a tag of the experiment, ``mlflow.sharedViewState.KEY``, when it is opened at an address
that names the key; its own "Share" writes the same tag. A UI that does not know a part of it leaves that out, and one that knows no
such tag shows its usual table.
"""

from __future__ import annotations

import base64
import json
import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rebnn_search.base.metrics import BEST_VAL_LOSS, EPOCHS, FLIP_RATIO, VAL_LOSS, VAL_TOP1, final
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.tracking.client import make_client
from rebnn_search.tracking.runs import PARENT_TAG, SEARCH_TAG, STATE_TAG
from rebnn_search.tracking.search import find_parent, find_runs
from rebnn_search.tracking.ui import HOST, PORT

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

VIEW_TAG = "mlflow.sharedViewState."
"""How the experiment's tag begins; the search's identity ends it."""
LONGEST = 5000
"""Characters that MLflow takes in an experiment's tag."""
UI = f"http://{HOST}:{PORT}"
"""Where ``mlflow ui`` listens unless it is told otherwise."""
SECTION = "Search"
"""Heading above the charts."""
CLOSED = ("best/val", "final", "final/oscillation/mean", "final/train", "final/val", "oscillation/mean", "train", "val")
"""Sections of the charts that the UI makes itself."""
NAME, STATUS = "attributes.`Run Name`", "runDateAndNestInfo"
"""The columns that the UI always has. Its status marks a pruned trial as it does a failed one: `STATE_TAG`'s column says which."""


def view_state(
    search_id: str, parent_id: str, space: Mapping[str, bool], objective: str, *, minimize: bool, measured: Sequence[str] = ()
) -> dict[str, Any]:
    """The state of MLflow's page of runs.

    Args:
        search_id: The search's identity.
        parent_id: Its parent run.
        space: The parameters it searches, by the names its trials have them under: whether every trial has it.
        objective: The metric that trials are compared by, as reports name it.
        minimize: Whether less of it is better.
        measured: Further metrics, of which trials have one value.
    """
    widths = {
        NAME: 130, STATUS: 50, _tag(STATE_TAG): 95,
        _metric(final(VAL_LOSS)): 105, _metric(final(VAL_TOP1)): 105, _metric(BEST_VAL_LOSS): 105,
        **{_metric(final(name)): 105 for name in measured}, _metric(final(FLIP_RATIO)): 105, _metric(final(EPOCHS)): 95,
        **{_param(name): 105 for name in space},
    }  # fmt: skip
    return {
        "searchFilter": _trials_of(search_id, parent_id),
        "orderByKey": _metric(final(objective)),
        "orderByAsc": minimize,
        "selectedColumns": [name for name in widths if name not in (NAME, STATUS)],
        "columnOrder": list(widths),
        "columnWidths": widths,
        "runsHiddenMode": "SHOW_ALL",
        "runListHidden": True,  # beside the charts
        # The UI adds a section and a chart for every metric; those that it would open are named here, closed.
        "compareRunSections": [_section("search", SECTION, shown=True), *(_section(name, name, shown=False) for name in CLOSED)],
        "isAccordionReordered": True,
        "compareRunCharts": [
            _lines(objective),
            {
                **_chart("PARALLEL", f"{objective} over the space"),
                "selectedParams": [name for name, always in space.items() if always],  # a trial that lacks one is left out
                "selectedMetrics": [final(objective)], "showAllRuns": True,
            },
            *(_lines(metric) for metric in (VAL_TOP1, FLIP_RATIO) if metric != objective),
        ],
    }  # fmt: skip


def _trials_of(search_id: str, parent_id: str) -> str:
    """A search's trials, in MLflow's language: not its last trainings, which are children of its parent run, too."""
    return f"{_tag(PARENT_TAG)} = '{parent_id}' AND {_tag(SEARCH_TAG)} = '{search_id}'"


def _section(key: str, name: str, *, shown: bool) -> dict[str, Any]:
    return {"uuid": key, "name": name, "display": shown, "isReordered": False}


def _lines(metric: str) -> dict[str, Any]:
    return {
        **_chart("LINE", metric),
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "lineSmoothness": 0,
        "useGlobalLineSmoothing": False,
    }


def _chart(kind: str, title: str) -> dict[str, Any]:
    return {
        "uuid": title, "type": kind, "displayName": title, "metricSectionId": "search", "runsCountToCompare": 100,
        "deleted": False, "isGenerated": False,
    }  # fmt: skip


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


def _tag(name: str) -> str:
    return f"tags.`{name}`"


def view_tag(state: Mapping[str, object]) -> str | None:
    """A state as the tag's value: JSON, compressed where that is too long; None if it is so even then."""
    text = json.dumps(state, separators=(",", ":"))
    if len(text) > LONGEST:
        text = "deflate;" + base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    return text if len(text) <= LONGEST else None


def write_view(
    client: MlflowClient,
    experiment_id: str,
    search_id: str,
    parent_id: str,
    space: Mapping[str, bool],
    objective: str,
    *,
    minimize: bool,
    measured: Sequence[str] = (),
) -> bool:
    """Write a search's view into its experiment. False where MLflow does not take it: no search ends for it."""
    from mlflow.exceptions import MlflowException  # seconds to import

    tag = view_tag(view_state(search_id, parent_id, space, objective, minimize=minimize, measured=measured))
    if tag is None:
        return False
    try:
        client.set_experiment_tag(experiment_id, VIEW_TAG + search_id, tag)
    except MlflowException:
        logger.warning("MLflow does not take the view of the search", exc_info=True)
        return False
    return True


def view_link(uri: str, experiment_id: str, search_id: str | None) -> str:
    """The address of a search's view.

    Args:
        uri: Where the UI is: an http address, or a tracking URI. Of a database, it is at `UI` once ``mlflow ui`` runs.
        experiment_id: MLflow's experiment.
        search_id: The search's identity; None where the experiment holds no view of it.
    """
    base = uri.rstrip("/") if uri.startswith(("http:", "https:")) else UI
    key = "" if search_id is None else f"?viewStateShareKey={quote(search_id)}"
    return f"{base}/#/experiments/{experiment_id}/runs{key}"


def compare_link(uri: str, experiment_id: str, run_ids: Sequence[str]) -> str | None:
    """The address where runs stand beside each other; None for fewer than two.

    Args:
        uri: As of `view_link`.
        experiment_id: MLflow's experiment.
        run_ids: Of the runs.
    """
    if len(run_ids) < 2:
        return None
    base = uri.rstrip("/") if uri.startswith(("http:", "https:")) else UI
    runs, experiments = (quote(json.dumps(ids, separators=(",", ":"))) for ids in (list(run_ids), [experiment_id]))
    return f"{base}/#/compare-runs?runs={runs}&experiments={experiments}"


@dataclass(frozen=True)
class FoundView:
    """Where in MLflow a search's view is; no ``search_id`` where its experiment holds none."""

    experiment_id: str
    search_id: str | None

    def link(self, uri: str) -> str:
        """Its address where the UI is, without a password."""
        return view_link(hide_secrets(uri), self.experiment_id, self.search_id)


def find_view(uri: str, name: str, identity: str | None = None) -> FoundView:
    """Find the view of a search, and write it if that was begun before there were views.

    Args:
        uri: Tracking URI.
        name: The search's name.
        identity: As of `rebnn_search.tracking.search.find_parent`.

    Raises:
        UserError: If tracking cannot be read or holds no search of that name.
    """
    try:
        client = make_client(uri)
        parent = find_parent(client, name, identity)
        search_id, experiment_id = parent.data.tags[SEARCH_TAG], parent.info.experiment_id
        there = VIEW_TAG + search_id in client.get_experiment(experiment_id).tags
        if not there:
            trials = find_runs(client, [experiment_id], _trials_of(search_id, parent.info.run_id))
            names = [name for name in parent.data.params.get("space", "").split(", ") if name]
            space = {name: all(name in trial.data.params for trial in trials) for name in names}
            direction, _, objective = parent.data.params.get("objective", f"minimize {VAL_LOSS}").partition(" ")
            there = write_view(
                client, experiment_id, search_id, parent.info.run_id, space, objective, minimize=direction == "minimize"
            )
    except UserError:
        raise
    except Exception as error:  # MLflow's, SQLAlchemy's and the database driver's own
        reason = hide_secrets(f"{type(error).__name__}: {error}".splitlines()[0])
        raise UserError(f"--tracking-uri {hide_secrets(uri)}: cannot be read: {reason}") from error
    return FoundView(experiment_id, search_id if there else None)
