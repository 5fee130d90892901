"""Whether what a trial asks for is there: said at once where it is not, so that nobody waits without a word."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import ray
import torch
from ray.tune import Callback

from rebnn_search.base.cores import whole_cores
from rebnn_search.config import UserError
from rebnn_search.execution.ray.stateless import Stateless
from rebnn_search.study.spec import Resources

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

Amounts = Mapping[str, float]
"""Of CPU and GPU."""

OVERRIDE = "RAY_OVERRIDE_RESOURCES"
"""Environment variable by which Ray learns what a machine has."""
PATIENCE_SECONDS = 10.0
"""How long a cluster that could run a trial may leave it waiting without a word."""
EVERY_SECONDS = 60.0
"""Between two lines about waiting."""


def bundle(resources: Resources) -> dict[str, float]:
    """What Ray reserves for one worker of a trial."""
    wanted: dict[str, float] = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        wanted["GPU"] = resources.gpus_per_worker
    return wanted


def asked(resources: Resources) -> str:
    """What a trial asks for, in words."""
    each = " and ".join(amount(count, kind) for kind, count in bundle(resources).items())
    workers = resources.workers_per_trial
    return f"a trial asks for {each}" if workers == 1 else f"a trial asks for {workers} workers with {each} each"


def amount(count: float, kind: str) -> str:
    """As ``1 GPU`` or ``0.5 GPU`` or ``4 CPUs``."""
    return f"{count:g} {kind}{'s' if count > 1 or count == 0 else ''}"


def places(node: Amounts, resources: Resources) -> int:
    """How many workers of a trial a node has room for, or several nodes taken together."""
    return min(int(node.get(kind, 0.0) / count + 1e-6) for kind, count in bundle(resources).items())


def fits(nodes: Sequence[Amounts], resources: Resources) -> bool:
    """Whether nodes could between them run one trial, if nothing else ran on them."""
    return sum(places(node, resources) for node in nodes) >= resources.workers_per_trial


def room(resources: Resources) -> int:
    """How many trials the cluster as it is has room for, if nothing else ran on it and every trial fitted wherever room is."""
    return places(ray.cluster_resources(), resources) // resources.workers_per_trial


def check_machine(resources: Resources) -> None:
    """See that this machine could run a trial, by what is known of it before Ray is started.

    Raises:
        UserError: If not; the message says what is asked and what there is.
    """
    if OVERRIDE not in os.environ:
        refuse_unless_fits({"CPU": whole_cores(), "GPU": torch.cuda.device_count()}, resources)


def refuse_unless_fits(machine: Amounts, resources: Resources) -> None:
    """See that one machine could run a trial.

    Raises:
        UserError: If not; the message says what is asked and what there is.
    """
    if not fits([machine], resources):
        there = " and ".join(amount(machine.get(kind, 0.0), kind) for kind in bundle(resources))
        raise UserError(f"resources: {asked(resources)}; this machine has {there}")


def idle_gpus(cluster: Amounts, resources: Resources) -> str | None:
    """A line about GPUs that no trial asks for; None where there are none, or trials take them."""
    count = cluster.get("GPU", 0.0)
    if not count or resources.gpus_per_worker:
        return None
    return (
        f"trials are trained on the CPU, though Ray has {amount(count, 'GPU')}: --set resources.gpus_per_worker=1 gives each trial "
        "one (0.25: four share one)"
    )


def nodes() -> list[Amounts]:
    """What each node of the cluster has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def waiting(resources: Resources) -> str:
    """A line about trials that wait."""
    total, free = ray.cluster_resources(), ray.available_resources()
    there = " and ".join(f"{free.get(kind, 0.0):g} of {total.get(kind, 0.0):g} {kind}s" for kind in bundle(resources))
    alone = sum(places(node, resources) for node in nodes())
    where = ""
    if alone < resources.workers_per_trial and all(
        total.get(kind, 0.0) >= count * resources.workers_per_trial for kind, count in bundle(resources).items()
    ):
        where = ", but on no node enough of them together"
    return f"waiting: {asked(resources)}; the cluster has {there} free{where}"


class TellsOfWaiting(Stateless, Callback):
    """Says on stderr, in every mode, that no trial can begin: at once where the cluster lacks what one asks for, and again and again.

    Args:
        resources: Of a trial.
        shared: Whether others may have what the search waits for. In a Ray of its own those are its own trials, whose workers start.
    """

    def __init__(self, resources: Resources, *, shared: bool = True) -> None:
        self._resources, self._shared = resources, shared
        self._idle_since: float | None = None
        self._next = 0.0

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: object) -> None:
        """Look, once in each turn of Tune's loop, whether there are trials and none of them runs."""
        states = {trial.status for trial in trials}
        if "RUNNING" in states or "PENDING" not in states:
            self._idle_since = None
            return
        now = time.monotonic()
        if self._idle_since is None:
            self._idle_since, self._next = now, now if not fits(nodes(), self._resources) else now + PATIENCE_SECONDS
        if now >= self._next:
            self._next = now + EVERY_SECONDS
            if self._shared or not fits(nodes(), self._resources):
                print(waiting(self._resources), file=sys.stderr, flush=True)
