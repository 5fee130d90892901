"""Names for implementations: one table per kind of part, filled by a decorator, and by the plug-ins that are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import TypeVar, cast

from rebnn_search.base.discovery import load_plugins

T = TypeVar("T")


class Registry(Mapping[str, type[T]]):
    """A read-only mapping from names to classes of one kind.

    Args:
        kind: What the classes are, in the words an error message uses, for example ``"γ-strategy"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.otherwise: Callable[[str], Callable[..., T] | None] = lambda name: None
        """Asked for a name that is not registered; what it returns, if not None, is what the name means."""
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Return a class decorator that enters the class under ``name``.

        Raises:
            ValueError: If the name is taken.
        """

        def enter(cls: type[T]) -> type[T]:
            if name in self._classes:
                raise ValueError(f"{self.kind} {name!r} is already registered as {self._classes[name].__qualname__}")
            self._classes[name] = cls
            return cls

        return enter

    def __getitem__(self, name: str) -> type[T]:
        found = self._classes.get(name) or cast(type[T] | None, self.otherwise(name))  # a function makes parts as a class does
        if found is None:
            load_plugins()
            found = self._classes.get(name)
        if found is None:
            raise KeyError(self.unknown(name))
        return found

    def __iter__(self) -> Iterator[str]:
        load_plugins()
        return iter(self._classes)

    def __len__(self) -> int:
        load_plugins()
        return len(self._classes)

    def get_class(self, name: str) -> type[T]:
        """Return the class called ``name``.

        Raises:
            ValueError: If there is none; the message lists the valid names.
        """
        if name not in self._classes:
            load_plugins()
        if name not in self._classes:
            raise ValueError(self.unknown(name))
        return self._classes[name]

    def unknown(self, name: str) -> str:
        """The sentence for a name that is not here: what is valid, and the nearest."""
        near = get_close_matches(str(name), self._classes, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"unknown {self.kind} {name!r}: valid are {', '.join(sorted(self._classes))}{hint}"
