"""The last training of a search's best recipe, on training and validation split together, over several seeds."""

from rebnn_search.refit._result import RefitResult, SeedScore
from rebnn_search.refit._run import RefitObserver, refit_search
from rebnn_search.study.finished import FinishedSearch, finished_search
from rebnn_search.training import Stopped

__all__ = ["FinishedSearch", "RefitObserver", "RefitResult", "SeedScore", "Stopped", "finished_search", "refit_search"]
