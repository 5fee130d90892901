"""Demand for nodes that a cluster could add: Ray's autoscaler acts on what waits for room, and no trial is handed out without."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import ray
from ray.tune import Callback
from ray.util import placement_group_table
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from rebnn_search.execution.controller import Controller
from rebnn_search.execution.ray.room import bundle, places, room
from rebnn_search.execution.ray.stateless import Stateless
from rebnn_search.study.spec import Resources

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

EVERY_SECONDS = 2.0
"""Between two looks at the cluster."""


class Growth(Stateless, Callback):
    """Keeps placement groups waiting for the trials that a search could have at work and a full cluster has no room for.

    They stand in for trials, so that none is drawn before it can begin: one that gets its room gives it back to the trials at the
    next look. Each look asks for at most as much again as is there, as Ray's own ``upscaling_speed: 1.0`` would. They go with the
    driver however it ends, other than what ``ray.autoscaler.sdk.request_resources`` asks for; on a cluster that cannot grow they wait
    in vain.

    Args:
        resources: Of a trial.
        controller: Who knows how many trials there are to hand out.
        clock: Seconds that only go on.
    """

    def __init__(self, resources: Resources, controller: Controller, clock: Callable[[], float] = time.monotonic) -> None:
        self._resources, self._controller, self._clock = resources, controller, clock
        self._waiting: list[PlacementGroup] = []
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ask for nothing more."""
        self._keep(0)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: object) -> None:
        """Look, now and then in Tune's loop, how much more the search could use."""
        if self._clock() < self._next:
            return
        self._next = self._clock() + EVERY_SECONDS
        for group in [group for group in self._waiting if placement_group_table(group).get("state") != "PENDING"]:
            self._waiting.remove(group)
            remove_placement_group(group)
        self._keep(self._lacking())

    def _lacking(self) -> int:
        """How many trials to ask room for."""
        resources, there = self._resources, room(self._resources)
        if places(ray.available_resources(), resources) >= resources.workers_per_trial:
            return 0
        wanted = self._controller.wanted
        if resources.max_concurrent is not None:
            wanted = min(wanted, resources.max_concurrent)
        return max(0, min(wanted - there, max(1, there)))

    def _keep(self, count: int) -> None:
        while len(self._waiting) > count:
            remove_placement_group(self._waiting.pop())
        while len(self._waiting) < count:
            self._waiting.append(
                placement_group([bundle(self._resources)] * self._resources.workers_per_trial, strategy="PACK")
            )
