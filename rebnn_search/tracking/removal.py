"""The runs of a search, taken out of MLflow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.tracking.client import make_client
from rebnn_search.tracking.runs import PARENT_TAG, SEARCH_TAG, TRIAL_TAG
from rebnn_search.tracking.search import all_experiments, find_runs
from rebnn_search.tracking.shared_view import VIEW_TAG

T = TypeVar("T")


def count_runs(uri: str, search_id: str) -> int:
    """How many runs a search has in MLflow.

    Args:
        uri: Tracking URI, as `rebnn_search.tracking.check_uri` returned it.
        search_id: The search's identity.

    Raises:
        UserError: If tracking cannot be read.
    """
    return _explained(uri, lambda: len(_SearchRuns(uri, search_id).runs))


def remove_runs(uri: str, search_id: str) -> int:
    """Put the runs of a search in MLflow's bin, from which ``mlflow gc`` frees them; its experiment too if nothing else is in it.

    The parent run goes last, so that one who is interrupted finds the rest again.

    Args:
        uri: As of `count_runs`.
        search_id: The search's identity.

    Returns:
        How many runs there were.

    Raises:
        UserError: If tracking cannot be written.
    """
    return _explained(uri, lambda: _SearchRuns(uri, search_id).remove())


class _SearchRuns:
    def __init__(self, uri: str, search_id: str) -> None:
        self._client = make_client(uri, write=True)
        self._search_id = search_id
        experiments = all_experiments(self._client)
        tagged = find_runs(self._client, experiments, f"tags.`{SEARCH_TAG}` = '{search_id}'") if experiments else []
        self._parents = {run.info.run_id for run in tagged if TRIAL_TAG not in run.data.tags}
        # Last trainings are children of the parent run, and have no tag of the search.
        below = [found for parent in self._parents for found in find_runs(self._client, experiments, _below(parent))]
        self.runs = list({run.info.run_id: run for run in (*tagged, *below)}.values())

    def remove(self) -> int:
        from mlflow.exceptions import MlflowException

        for run in sorted(self.runs, key=lambda run: run.info.run_id in self._parents):
            self._client.delete_run(run.info.run_id)
        for experiment in {run.info.experiment_id for run in self.runs}:
            with suppress(MlflowException):  # it has no view
                self._client.delete_experiment_tag(experiment, VIEW_TAG + self._search_id)
            if not self._client.search_runs([experiment], max_results=1):
                self._client.delete_experiment(experiment)
        return len(self.runs)


def _below(parent_id: str) -> str:
    return f"tags.`{PARENT_TAG}` = '{parent_id}'"


def _explained(uri: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except UserError:
        raise
    except Exception as error:  # MLflow's, SQLAlchemy's and the database driver's own
        reason = hide_secrets(f"{type(error).__name__}: {error}".splitlines()[0])
        raise UserError(f"--tracking-uri {hide_secrets(uri)}: cannot be used: {reason}") from error
