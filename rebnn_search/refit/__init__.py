"""The last training of a search's best recipe, on training and validation split together, over several seeds."""

from rebnn_search.refit._outcome import Outcome, SeedScore
from rebnn_search.refit._run import Observer, Stopped, refit_search
from rebnn_search.study.finished import FinishedSearch, finished_search

__all__ = ["FinishedSearch", "Observer", "Outcome", "SeedScore", "Stopped", "finished_search", "refit_search"]
