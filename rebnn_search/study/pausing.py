"""Which trials wait while others train, and which of those go on: what lies between pruning a trial and training it on.

To add a rule: a subclass of `PauseRule`. Like samplers and pruners it keeps nothing of its own: what it says is a function of the
ledger, so that a resumed search decides as an uninterrupted one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rebnn_search.study.ledger import Ledger


class PauseRule(ABC):
    """Decides who waits."""

    @abstractmethod
    def pauses(self, ledger: Ledger, number: int) -> bool:
        """Whether a trial, not pruned at its latest report, shall wait from now on. It goes on at once if `continues` names it."""

    @abstractmethod
    def continues(self, ledger: Ledger, paused: Sequence[int], left: int) -> int | None:
        """The paused trial that goes on next.

        Args:
            ledger: The record.
            paused: The trials that wait, by number; at least one.
            left: How many new trials may still be asked for.

        Returns:
            None to ask for a new trial first; with none left, to give up those that wait.
        """


class NoPauses(PauseRule):
    """Every trial trains on until it is pruned or complete."""

    def pauses(self, ledger: Ledger, number: int) -> bool:
        """Never."""
        return False

    def continues(self, ledger: Ledger, paused: Sequence[int], left: int) -> int | None:
        """The first: an earlier run of the search, with a rule, may have left some."""
        return paused[0]
