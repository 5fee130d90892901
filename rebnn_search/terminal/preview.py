"""``--dry-run``: the resolved search and the configurations it would begin with."""

from __future__ import annotations

import optuna
import yaml
from rich.console import Console

from rebnn_search.study.names import run_name
from rebnn_search.study.optuna_log import optuna_muted
from rebnn_search.study.samplers import sampler_factory
from rebnn_search.study.search import Search
from rebnn_search.terminal.board import line

SHOWN = 5
"""Sampled configurations that a preview shows after the fixed ones."""


def print_preview(console: Console, search: Search, name: str, *, resumed: bool = False) -> None:
    """Print the resolved search as YAML and its first configurations, or what a resume would come to; nothing is written."""
    line(console, yaml.safe_dump(search.dump(), sort_keys=False, allow_unicode=True).rstrip())
    if resumed:
        line(console, f"\n# {name} is there, and would go on to {search.trials} trials in all")
        return
    line(console, f"\n{name} would begin with:")
    with optuna_muted():
        _print_first(console, search)


def _print_first(console: Console, search: Search) -> None:
    study = optuna.create_study(directions=[goal.direction for goal in search.goals])
    make = sampler_factory(search.spec.sampler, search.spec.sampler_seed)
    configurations = search.trials // search.spec.seeds
    for number in range(min(configurations, len(search.fixed) + SHOWN)):
        if number < len(search.fixed):
            params = search.fixed[number]
            study.enqueue_trial(params)
        study.sampler = make(number)
        params = search.space.suggest(study.ask())
        line(console, f"  {run_name(number * search.spec.seeds, params)}")
    if configurations > len(search.fixed) + SHOWN:
        line(console, f"  and {configurations - len(search.fixed) - SHOWN} more, chosen by what these give")
    if search.spec.seeds > 1:
        line(console, f"  each with {search.spec.seeds} seeds, {search.seed_of(0)} to {search.seed_of(search.spec.seeds - 1)}")
