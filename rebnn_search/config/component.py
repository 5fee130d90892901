"""A part chosen by name, with its options: how a file says ``gamma: {strategy: constant, value: 1e-4}``.

The options of a part are the arguments of its class's constructor, so that a new class needs no second description.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import BaseModel, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, core_schema

from rebnn_search.base.errors import UserError
from rebnn_search.config.model import Strict, fail, nearest
from rebnn_search.config.reading import Place

T = TypeVar("T")

NO_SUCH = "no such"
"""How the mistake begins of a name that is no part's."""


@dataclass(frozen=True)
class Component(Generic[T]):
    """A class chosen by its registered name, and the options to construct it with.

    Attributes:
        key: The key that holds the name in a file (``strategy`` or ``name``).
        name: The registered name.
        options: Every option as the file gave it; those it left out keep the constructor's default.
        cls: The class, or a user's function, that makes the part.
    """

    key: str
    name: str
    options: Mapping[str, object] = field(default_factory=dict)
    cls: Callable[..., T] | None = field(default=None, compare=False, repr=False)

    def build(self, *args: object, **context: object) -> T:
        """Construct the class from the options and what only the caller knows."""
        assert self.cls is not None
        return self.cls(*args, **self.options, **context)

    def dump(self) -> dict[str, object]:
        """The component as a file would write it."""
        options = {k: v.dump() if isinstance(v, Component) else v for k, v in self.options.items()}
        return {self.key: self.name, **options}

    def brief(self) -> str | dict[str, object]:
        """Its name where it has no options, else as `dump`."""
        return self.dump() if self.options else self.name

    def __getitem__(self, option: str) -> object:
        """An option's value, or the constructor's default."""
        if option in self.options:
            return self.options[option]
        assert self.cls is not None
        return inspect.signature(self.cls).parameters[option].default


@dataclass(frozen=True, eq=False)
class Choose(Generic[T]):
    """How a field's component is chosen: ``gamma: Annotated[Component[GammaStrategy], Choose(GAMMA, "γ-strategy")]``.

    Attributes:
        registry: The classes by name.
        kind: What they are, for messages.
        key: The key that holds the name.
        context: Constructor arguments that are not options because the program supplies them (shapes, seeds).
        construct: Construct the part once while validating, so that its own ``ValueError`` becomes the message.
            For parts that cost nothing to make.
        sample: Of the context, to construct parts with that need some; those without options are then not constructed.
        plain: A part without options is dumped as its name alone.
        only: Which of the classes may be chosen; all, by default.
        also: What a message offers beside their names: what the reader of a file turns into one of them.
    """

    registry: Mapping[str, type[T]]
    kind: str
    key: str = "name"
    context: tuple[str, ...] = ()
    construct: bool = False
    sample: Mapping[str, object] = field(default_factory=dict)
    plain: bool = False
    only: Callable[[type[T]], bool] = lambda cls: True
    also: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of a field that is annotated with this."""
        dump = core_schema.plain_serializer_function_ser_schema(Component.brief if self.plain else Component.dump)
        return core_schema.no_info_plain_validator_function(self.validate, serialization=dump)

    def validate(self, value: object) -> Component[T]:
        """The component that a file's value names.

        Raises:
            ValidationError: If it names none, or gives an option that the part does not have or allow.
        """
        if isinstance(value, Component):
            return value
        place: Place = (self.key,)
        if isinstance(value, str):
            place = () if self.plain else place
            value = {self.key: value}
        if not isinstance(value, dict):
            fail(
                self.kind,
                (),
                f"expected the name of {'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind} or a mapping with the key {self.key!r}",
                value,
            )
        if self.key not in value:
            fail(self.kind, (), f"needs the key {self.key!r}: one of {', '.join(self._names())}", value)
        name = value[self.key]
        cls = self._named(name, place)
        given = {k: v for k, v in value.items() if k != self.key}
        model = options_model(cls, frozenset(self.context)).model_validate(given)
        chosen = Component(self.key, name, {k: getattr(model, k) for k in given}, cls)
        if self.construct and (given or not self.sample):
            try:
                with warnings.catch_warnings():  # that it is experimental is said, if at all, where it is used
                    warnings.simplefilter("ignore")
                    chosen.build(**self.sample)
            except (ValueError, TypeError, OverflowError) as error:
                fail(self.kind, (), str(error), value)
        return chosen

    def _names(self) -> list[str]:
        return sorted([*self.also, *(name for name, cls in self.registry.items() if self.only(cls))])

    def _named(self, name: object, place: Place) -> Callable[..., T]:
        try:
            cls = self.registry[name] if isinstance(name, str) else None
        except KeyError:
            cls = None
        except UserError as error:  # of a user's own part
            fail(self.kind, place, str(error), name)
        if name in self.also:
            fail(self.kind, place, f"{name!r} stands for a search file's own choice, and takes no options", name)
        if cls is None or not self.only(cls):
            names = self._names()
            hint = nearest(name, names) if place else ""
            fail(self.kind, place, f"{NO_SUCH} {self.kind}; {hint}valid are {', '.join(names)}", name)
        return cls


@cache
def options_model(cls: Callable[..., object], context: frozenset[str]) -> type[BaseModel]:
    """The pydantic model of the options of a class: its constructor's arguments less those in ``context``."""
    maker = cls if inspect.isfunction(cls) else inspect.getattr_static(cls, "__init__", object.__init__)
    hints = _type_hints(maker, inspect.getmodule(cls))
    fields: dict[str, Any] = {}  # what pydantic's overloads take
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in context or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), default)
    return create_model(cls.__name__, __base__=Strict, **fields)


def _type_hints(maker: Callable[..., object], module: ModuleType | None) -> dict[str, object]:
    """The types of a constructor's arguments; Any where one cannot be had.

    Optuna's decorators hide in which module an annotation was written, and some of its types are there for type checkers alone.
    """
    try:
        return get_type_hints(maker, include_extras=True)
    except NameError:
        pass
    hints: dict[str, object] = {}
    for name, annotation in inspect.get_annotations(maker).items():
        alone = SimpleNamespace(__annotations__={name: annotation})
        try:
            hints |= get_type_hints(alone, vars(module) if module else {}, include_extras=True)
        except NameError:
            hints[name] = Any
    return hints
