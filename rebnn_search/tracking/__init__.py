"""MLflow: one parent run for a search, one child run for each trial, found again by tag."""

from rebnn_search.tracking.catch_up import catch_up
from rebnn_search.tracking.client import check_answers, check_uri, default_uri
from rebnn_search.tracking.refits import REFIT_TAG, RefitRuns
from rebnn_search.tracking.runs import (
    CONFIGURATION_TAG,
    LAST_TAG,
    NOTE_TAG,
    SEARCH_TAG,
    SEED_TAG,
    STATE_TAG,
    TRIAL_TAG,
    Point,
    Runs,
    last_report,
)
from rebnn_search.tracking.search import find_parent, find_runs
from rebnn_search.tracking.shared_view import VIEW_TAG, compare_link, view_link, write_view
from rebnn_search.tracking.tracker import Tracker

__all__ = [
    "CONFIGURATION_TAG",
    "LAST_TAG",
    "NOTE_TAG",
    "REFIT_TAG",
    "SEARCH_TAG",
    "SEED_TAG",
    "STATE_TAG",
    "TRIAL_TAG",
    "VIEW_TAG",
    "Point",
    "RefitRuns",
    "Runs",
    "Tracker",
    "catch_up",
    "check_answers",
    "check_uri",
    "compare_link",
    "default_uri",
    "find_parent",
    "find_runs",
    "last_report",
    "view_link",
    "write_view",
]
