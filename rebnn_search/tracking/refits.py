"""The runs of a search's last trainings in MLflow: children of its parent run, found again by seed and recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.tracking.client import make_client
from rebnn_search.tracking.runs import PARENT_TAG, STATE_TAG, Runs

if TYPE_CHECKING:
    from mlflow.entities import Run

REFIT_TAG = "rebnn_search.refit"
"""Tag with the seed of a last training."""
RECIPE_TAG = "rebnn_search.refit_recipe"
"""Tag with the hash of its recipe, seed apart: a search enlarged since may have another best one."""


class RefitRuns(Runs):
    """Runs by seed, below a search's parent run.

    They do not carry the search's own tag, by which its trials are found.

    Args:
        uri: Tracking URI.
        parent_id: The search's parent run.
        recipe_key: Hash of the recipe.

    Raises:
        UserError: If there is no such run.
    """

    def __init__(self, uri: str, parent_id: str, recipe_key: str) -> None:
        self.client = make_client(uri, write=True)
        from mlflow.exceptions import MlflowException  # as make_client: seconds to import

        try:
            self.experiment_id = self.client.get_run(parent_id).info.experiment_id
        except MlflowException as error:
            raise UserError(
                f"--tracking-uri {hide_secrets(uri)}: does not hold the search's run {parent_id} ({error.error_code}); "
                "name the tracking that the search used"
            ) from None
        self.parent_id, self._recipe_key = parent_id, recipe_key
        self._begin()

    def _find(self) -> None:
        wanted = f"tags.`{PARENT_TAG}` = '{self.parent_id}' and tags.`{RECIPE_TAG}` = '{self._recipe_key}'"
        found: dict[int, list[Run]] = {}
        for run in self.client.search_runs([self.experiment_id], wanted, max_results=1000):
            found.setdefault(int(run.data.tags[REFIT_TAG]), []).append(run)
        self.doubles = []
        self.children |= {seed: self._kept(runs) for seed, runs in found.items()}

    def own_tags(self, number: int) -> dict[str, str]:
        """The tags by which the run of a seed is found again."""
        return {REFIT_TAG: str(number), RECIPE_TAG: self._recipe_key, STATE_TAG: "RUNNING", PARENT_TAG: self.parent_id}

    def sum_up(self, metrics: Mapping[str, float]) -> None:
        """Give the parent run what all seeds came to, NaN where there is none (of an interval of one seed).

        Saying it twice changes nothing; what was something else after an earlier refit gets a further step, as at `end`.
        """
        self.client.log_batch(self.parent_id, self.changed(self.parent_id, metrics))
