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
from typing import Annotated, Any, Generic, TypeVar, cast, get_type_hints

from pydantic import BaseModel, PlainSerializer, PlainValidator, create_model

from rebnn_search.base.errors import UserError
from rebnn_search.config.model import Strict, fail, nearest

T = TypeVar("T")


@dataclass(frozen=True)
class Component(Generic[T]):
    """A class chosen by its registered name, and the options to construct it with.

    Attributes:
        key: The key that holds the name in a file (``strategy`` or ``name``).
        name: The registered name.
        options: Every option as the file gave it; those it left out keep the constructor's default.
    """

    key: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    cls: type[T] | None = field(default=None, compare=False, repr=False)

    def build(self, *args: Any, **context: Any) -> T:
        """Construct the class from the options and what only the caller knows."""
        assert self.cls is not None
        return self.cls(*args, **self.options, **context)

    def dump(self) -> dict[str, Any]:
        """The component as a file would write it."""
        options = {k: v.dump() if isinstance(v, Component) else v for k, v in self.options.items()}
        return {self.key: self.name, **options}

    def __getitem__(self, option: str) -> Any:
        """An option's value, or the constructor's default."""
        if option in self.options:
            return self.options[option]
        assert self.cls is not None
        return inspect.signature(self.cls).parameters[option].default


@cache
def options_model(cls: Any, context: frozenset[str]) -> type[BaseModel]:
    """The pydantic model of the options of a class: its constructor's arguments less those in ``context``."""
    maker = cls if inspect.isfunction(cls) else inspect.getattr_static(cls, "__init__", object.__init__)
    hints = _type_hints(maker, inspect.getmodule(cls))
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in context or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), default)
    return create_model(cls.__name__, __base__=Strict, **fields)


def _type_hints(maker: Any, module: ModuleType | None) -> dict[str, Any]:
    """The types of a constructor's arguments; Any where one cannot be had.

    Optuna's decorators hide in which module an annotation was written, and some of its types are there for type checkers alone.
    """
    try:
        return get_type_hints(maker, include_extras=True)
    except NameError:
        pass
    hints: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(maker).items():
        alone = SimpleNamespace(__annotations__={name: annotation})
        try:
            hints |= get_type_hints(alone, vars(module) if module else {}, include_extras=True)
        except NameError:
            hints[name] = Any
    return hints


def component(
    registry: Mapping[str, type[T]], kind: str, *, key: str = "name", context: tuple[str, ...] = (), construct: bool = False
) -> Any:
    """Return the pydantic field type of a part chosen from a registry.

    Args:
        registry: The classes by name.
        kind: What they are, for messages.
        key: The key that holds the name.
        context: Constructor arguments that are not options because the program supplies them (shapes, seeds).
        construct: Construct the part once while validating, so that its own ``ValueError`` becomes the message.
            For parts that need no context and cost nothing to make.
    """

    def validate(value: Any) -> Component[T]:
        if isinstance(value, Component):
            return value
        if isinstance(value, str):
            value = {key: value}
        if not isinstance(value, dict):
            fail(kind, (), f"expected the name of a {kind} or a mapping with the key {key!r}", value)
        if key not in value:
            fail(kind, (), f"needs the key {key!r}: one of {', '.join(sorted(registry))}", value)
        name = value[key]
        if not isinstance(name, str):
            fail(kind, (key,), _unknown(kind, name, registry), name)
        try:
            cls = registry[name]
        except KeyError:
            fail(kind, (key,), _unknown(kind, name, registry), name)
        except UserError as error:  # of a user's own part
            fail(kind, (key,), str(error), name)
        options = {k: v for k, v in value.items() if k != key}
        model = options_model(cast(Any, cls), frozenset(context)).model_validate(options)
        chosen = Component(key, name, {k: getattr(model, k) for k in options}, cls)
        if construct:
            try:
                with warnings.catch_warnings():  # that it is experimental is said, if at all, where it is used
                    warnings.simplefilter("ignore")
                    chosen.build()
            except (ValueError, TypeError, OverflowError) as error:
                fail(kind, (), str(error), value)
        return chosen

    dump: Callable[[Component[T]], dict[str, Any]] = Component.dump
    return Annotated[Component[T], PlainValidator(validate), PlainSerializer(dump)]


def _unknown(kind: str, name: Any, registry: Mapping[str, Any]) -> str:
    return f"no such {kind}; {nearest(name, registry)}valid are {', '.join(sorted(registry))}"
