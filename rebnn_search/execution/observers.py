"""Users' own observers: found by name, kept from harming the search, and several of them as one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.execution.events import SearchObserver
from rebnn_search.study.result import Result
from rebnn_search.study.spec import Params
from rebnn_search.training.custom_parts import described, imported
from rebnn_search.training.report_log import TrackedReport

logger = logging.getLogger(__name__)


def make_observers(names: Iterable[str]) -> list[SearchObserver]:
    """Observers by the import paths of their classes, or of functions without arguments that make them.

    Raises:
        UserError: If one cannot be imported or made.
    """
    return [_made(name) for name in names]


def _made(name: str) -> SearchObserver:
    make = imported(name)
    try:
        found = make()
    except Exception as error:  # what it does is the user's
        raise UserError(f"--observer {name}: cannot be made: {described(error)}") from error
    if not isinstance(found, SearchObserver):
        raise UserError(f"--observer {name}: makes a {type(found).__name__}, not a rebnn_search.SearchObserver")
    return found


class Observers(SearchObserver):
    """A display and the user's own observers, told in turn. One of these that raises is told nothing more: no search is lost for it.

    Args:
        display: Told first.
        own: The user's, in the order in which they are told.
    """

    def __init__(self, display: SearchObserver, own: Sequence[SearchObserver]) -> None:
        self._display, self._own = display, list(own)

    def __enter__(self) -> Self:
        self._display.__enter__()
        self._tell(lambda observer: observer.__enter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Have all let go of what they hold, other than those that raised."""
        self._tell(lambda observer: observer.__exit__(kind, error, trace))
        self._display.__exit__(kind, error, trace)

    def began(self, target: int, earlier: Mapping[int, tuple[str, Mapping[str, float]]]) -> None:
        """Pass it on, as everything that follows."""
        self._display.began(target, earlier)
        self._tell(lambda observer: observer.began(target, earlier))

    def found_data(self, text: str) -> None:
        """Pass it on."""
        self._display.found_data(text)
        self._tell(lambda observer: observer.found_data(text))

    def found_other_data(self, text: str) -> None:
        """Pass it on."""
        self._display.found_other_data(text)
        self._tell(lambda observer: observer.found_other_data(text))

    def started(self, number: int, name: str, params: Params, resumed_at: int) -> None:
        """Pass it on."""
        self._display.started(number, name, params, resumed_at)
        self._tell(lambda observer: observer.started(number, name, params, resumed_at))

    def reported(self, number: int, report: TrackedReport) -> None:
        """Pass it on."""
        self._display.reported(number, report)
        self._tell(lambda observer: observer.reported(number, report))

    def failed(self, number: int, reason: str, times: int) -> None:
        """Pass it on."""
        self._display.failed(number, reason, times)
        self._tell(lambda observer: observer.failed(number, reason, times))

    def paused(self, number: int) -> None:
        """Pass it on."""
        self._display.paused(number)
        self._tell(lambda observer: observer.paused(number))

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        """Pass it on."""
        self._display.finished(number, state, reason, summary)
        self._tell(lambda observer: observer.finished(number, state, reason, summary))

    def ended(self, result: Result) -> None:
        """Pass it on."""
        self._display.ended(result)
        self._tell(lambda observer: observer.ended(result))

    def _tell(self, tell: Callable[[SearchObserver], object]) -> None:
        for observer in list(self._own):
            try:
                tell(observer)
            except Exception as error:  # what it does is the user's
                self._own.remove(observer)
                name = type(observer).__name__
                logger.warning("observer %s", name, exc_info=error)
                line = f"observer {name} raised {described(error)}; it is told nothing more, and the search goes on"
                print(hide_secrets(line), file=sys.stderr, flush=True)
