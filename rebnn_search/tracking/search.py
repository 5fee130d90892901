"""The runs of searches in MLflow, found by their tags."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rebnn_search.config import Notice, UserError
from rebnn_search.tracking.runs import SEARCH_TAG, TRIAL_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


TRACKED = f"tags.`{SEARCH_TAG}` != ''"
"""Runs of searches, in MLflow's language."""


def find_runs(client: MlflowClient, experiments: Sequence[str], condition: str) -> list[Run]:
    """All runs of some experiments that meet a condition in MLflow's own language."""
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs(list(experiments), condition, max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def all_experiments(client: MlflowClient) -> list[str]:
    """The ids of all experiments."""
    found: list[str] = []
    token = None
    while True:
        page = client.search_experiments(page_token=token)
        found += [experiment.experiment_id for experiment in page]
        token = page.token
        if not token:
            return found


def find_parent(client: MlflowClient, name: str, identity: str | None = None) -> Run:
    """The parent run of a search.

    Args:
        client: Of its tracking.
        name: Its name, which others may have too where several people track.
        identity: Its own, or its parent run's; None is the newest of the name.

    Raises:
        UserError: If there is none; the message names those there are.
    """
    experiments = all_experiments(client)
    alike = [run for run in _parents(client, experiments, _called(name)) if run.info.run_name == name]
    named = [run for run in alike if identity in (None, run.info.run_id, run.data.tags[SEARCH_TAG])]
    if alike and not named:
        raise UserError(
            f"{name}: tracking holds another search of this name and not the one that is kept here: --storage with a directory that "
            "keeps none of this name shows the other"
        )
    if not named:
        there = ", ".join(sorted({run.info.run_name for run in _parents(client, experiments, TRACKED)})) or "none"
        raise UserError(f"{name}: tracking holds no search of this name; there: {there}")
    newest = max(named, key=lambda run: run.info.start_time)
    if len(named) > 1:
        begun = datetime.fromtimestamp(newest.info.start_time / 1000).astimezone()
        warnings.warn(
            f"tracking holds {len(named)} searches called {name}: this is the newest, begun {begun:%Y-%m-%d %H:%M}",
            Notice,
            stacklevel=2,
        )
    return newest


def _called(name: str) -> str:
    """Runs of a name, in MLflow's language: to read every trial of every search would take minutes."""
    quotes = [quote for quote in ("'", '"') if quote not in name]
    return f"attributes.run_name = {quotes[0]}{name}{quotes[0]} and {TRACKED}" if quotes else TRACKED


def _parents(client: MlflowClient, experiments: Sequence[str], condition: str) -> list[Run]:
    """The parent runs among those that meet a condition."""
    runs = find_runs(client, experiments, condition) if experiments else []
    return [run for run in runs if TRIAL_TAG not in run.data.tags and SEARCH_TAG in run.data.tags]
