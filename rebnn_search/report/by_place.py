"""What stands on the page in an order: pictures, questions; each entered by name in its own file, or by an installed package."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol, TypeVar

from rebnn_search.base.discovery import load_plugins


class Placed(Protocol):
    """Something with a name, and a place among its kind, smallest first."""

    @property
    def name(self) -> str:
        """By which there is one."""

    @property
    def place(self) -> int:
        """Where it stands."""


T = TypeVar("T", bound=Placed)


class ByPlace(Collection[T]):
    """Things of one kind in the order of the page.

    Args:
        kind: What they are, in an error's words.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._entered: dict[str, T] = {}

    def add(self, one: T) -> None:
        """Enter one.

        Raises:
            ValueError: If its name is taken.
        """
        if one.name in self._entered:
            raise ValueError(f"{self._kind} {one.name!r} is already registered")
        self._entered[one.name] = one

    def __iter__(self) -> Iterator[T]:
        load_plugins()
        return iter(sorted(self._entered.values(), key=lambda one: (one.place, one.name)))

    def __len__(self) -> int:
        load_plugins()
        return len(self._entered)

    def __contains__(self, name: object) -> bool:
        load_plugins()
        return name in self._entered
