"""Samplers by name, seeded by trial number.

To add one: a subclass of Optuna's `BaseSampler` with a ``seed`` under ``@SAMPLERS.register("name")`` in a module beside this file,
found by itself. Its constructor's arguments are its options in a search file. Class attributes tell what a search must know of it;
each is False where a class does not have it:

- ``one_sequence``: it walks one sequence over the whole study, which another seed for each trial would scatter;
- ``complete_history``: it must see every trial, or none: `rebnn_search.study.history` then holds nothing back;
- ``exhaustive``: it tries each point of a finite space once, and the search ends when there is none left;
- ``repeats``: what it proposes again is to be tried again, and not drawn anew;
- ``whole_trainings``: it learns from trials that were trained to their end alone, of which some pruners leave few;
- ``multi_objective``: it can learn from several objectives, or learns from none; pruned trials are not shown to it then.

A static method ``check_space(options, parameters)`` may refuse, with a ValueError, options that do not fit a file's space.

Constraints need nothing: Optuna's samplers find them with the trials, and those that do not know of them search as without.

A sampler made anew for every trial from (search seed, trial number) needs no memory of its own: what it proposes is a function
of the ledger alone, so that a resumed search proposes what an uninterrupted one would have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal, get_args

from optuna.samplers import BaseSampler

from rebnn_search.base.registry import Registry
from rebnn_search.config import Component
from rebnn_search.study.optuna_log import optuna_muted

SAMPLERS: Registry[BaseSampler] = Registry("sampler")
"""Samplers by name."""

Trait = Literal["one_sequence", "complete_history", "exhaustive", "repeats", "whole_trainings", "multi_objective"]
TRAITS: tuple[Trait, ...] = get_args(Trait)

CONTEXT = ("seed", "constraints_func", "gamma", "weights", "independent_sampler", "source_trials")
"""Arguments that a file cannot give: the seed comes from the search, the rest are Python objects."""


def has_trait(sampler: Component[BaseSampler], trait: Trait) -> bool:
    """Whether a sampler's class has one of the traits above."""
    return bool(getattr(sampler.cls, trait, False))


def sampler_factory(sampler: Component[BaseSampler], seed: int) -> Callable[[int], BaseSampler]:
    """Return the maker of the sampler of each trial number."""

    def make(number: int) -> BaseSampler:
        trial_seed = seed if has_trait(sampler, "one_sequence") else mixed(seed, number)
        with optuna_muted():
            return sampler.build(seed=trial_seed)

    return make


def mixed(seed: int, number: int) -> int:
    """A 32-bit seed from two numbers, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "little")
