"""What is said of a search whose tracking is not whole."""

import pytest

from rebnn_search.config import UserError
from rebnn_search.report import TrackedSearch
from rebnn_search.tracking.runs import Runs


@pytest.mark.parametrize(
    ("state", "message"),
    [(None, "has not come to an end yet"), ("FINISHED", r"parent run \(file:.*\) are not here; .* mlartifacts/"),
     ("INTERRUPTED", "are not here")],
)  # fmt: skip
def test_artifacts_that_are_gone_are_not_taken_for_a_search_that_runs(
    tracking_uri: str, state: str | None, message: str
) -> None:
    runs = Runs(tracking_uri, "space", "0" * 32)
    runs.ensure_parent("s", {})
    if state is not None:
        runs.end(runs.parent_id, state, {}, {})
    with pytest.raises(UserError, match=message):
        TrackedSearch(tracking_uri, "s")


def test_an_artifact_that_cannot_be_read_is_one_message(tracking_uri: str) -> None:
    runs = Runs(tracking_uri, "space", "0" * 32)
    runs.ensure_parent("s", {})
    runs.client.log_text(runs.parent_id, "[", "search.yaml")
    with pytest.raises(UserError, match=f"--tracking-uri {tracking_uri}: cannot be read: "):
        TrackedSearch(tracking_uri, "s")
