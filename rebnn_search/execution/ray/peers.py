"""The ranks of a trial other than 0, in actors of the trial's own placement group; rank 0 is Tune's actor.

Because they live in its placement group, and are owned by its actor, ending the trial by any means frees everything it held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import ray
import torch.distributed as dist
from ray.exceptions import RayError, RayTaskError
from ray.util import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from rebnn_search.execution.ray.workers import Rank, free_address, prepare
from rebnn_search.execution.task import TrialTask
from rebnn_search.training import Diverged, Report

LAST_WORDS_SECONDS = 10.0
"""How long rank 0, having failed, listens for what its peers have failed by."""

T = TypeVar("T")


class Peer:
    """A rank other than 0, kept for one trial after another as Tune's actor is."""

    def __init__(self) -> None:
        self._rank: Rank | None = None

    def prepare(self, task: TrialTask) -> None:
        """Put the last trial away and get ready for another."""
        self.end()
        prepare(task)

    def begin(self, task: TrialTask, rank: int, address: str) -> None:
        """Begin a trial."""
        self._rank = Rank(task, rank, address)

    def next_report(self) -> None:
        """Train along up to the next report."""
        assert self._rank is not None
        self._rank.run.next_report()

    def end(self) -> None:
        """Put the trial away."""
        if self._rank is not None:
            self._rank.close()
            self._rank = None


PeerActor: Any = ray.remote(Peer)


class Peers:
    """All of a trial's peers, as rank 0 has them: none of a trial of one worker. They serve one trial after another."""

    def __init__(self) -> None:
        self._actors: list[Any] = []

    def begin(self, task: TrialTask) -> Rank:
        """Begin a trial with all of them.

        Returns:
            This process's rank, 0.

        Raises:
            Exception: What any of the ranks has raised.
        """
        prepare(task)
        if task.workers == 1:
            return Rank(task, 0, "")
        if not self._actors:
            self._actors = _start(task)
        _heard([actor.prepare.remote(task) for actor in self._actors])
        address = free_address()
        joining = [actor.begin.remote(task, number, address) for number, actor in enumerate(self._actors, start=1)]
        return self._together(joining, lambda: Rank(task, 0, address))

    def next_report(self, rank: Rank) -> Report:
        """Train up to the next report with all of them.

        Raises:
            Exception: What any of the ranks has raised.
        """
        return self._together([actor.next_report.remote() for actor in self._actors], rank.run.next_report)

    def leave(self) -> list[Any]:
        """Have them put their trial away, for `ended`."""
        return [actor.end.remote() for actor in self._actors]

    def ended(self, leaving: Sequence[Any]) -> None:
        """Wait until they have; those that are gone need not."""
        with suppress(RayError):
            ray.get(list(leaving))

    def kill(self) -> None:
        """End them, whatever they do. Others take their place in the next trial."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []

    def _together(self, answers: Sequence[Any], work: Callable[[], T]) -> T:
        """Do rank 0's part of what the peers were asked to do too."""
        if not answers:
            return work()
        failures: list[RayError] = []
        watching = threading.Thread(target=self._watch, args=(answers, failures), daemon=True)
        watching.start()
        try:
            done = work()
        except Diverged:  # as all ranks see at once
            raise
        except Exception:
            # Of a peer that has failed this rank knows that a connection is gone, and no more: the peer's own words are the reason.
            watching.join(LAST_WORDS_SECONDS)
            self.kill()
            for failure in failures:
                raise _own(failure) from failure
            raise
        _heard(answers)
        return done

    def _watch(self, answers: Sequence[Any], failures: list[RayError]) -> None:
        """Let go of this rank where a peer fails, for whom it would wait until the collectives give up; keep the first failure."""
        waiting = list(answers)
        while waiting:
            ended, waiting = ray.wait(waiting, num_returns=1)
            failure = _failure(ended[0])
            if failure is None or isinstance(_own(failure), Diverged):
                continue
            failures.append(failure)
            for actor in list(self._actors):
                ray.kill(actor)  # a process that is gone is the one thing that gloo's collectives end by
            if dist.is_initialized() and dist.get_backend() == "nccl":
                dist.distributed_c10d._abort_process_group()
            return


def _start(task: TrialTask) -> list[Any]:
    """Start the peers of a trial of several workers, one in each further bundle of the trial's placement group."""
    group = get_current_placement_group()
    options = {"num_cpus": task.threads, "num_gpus": task.gpus}
    return [
        PeerActor.options(
            **options, scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=bundle)
        ).remote()
        for bundle in range(1, task.workers)
    ]


def _failure(answer: Any) -> RayError | None:
    """What a peer that has ended failed by."""
    try:
        ray.get(answer)
    except RayError as error:
        failure: RayError = error
        return failure
    return None


def _heard(answers: Sequence[Any]) -> None:
    """Wait for what peers were asked to do, and raise what the first that failed has raised itself."""
    try:
        ray.get(list(answers))
    except RayError as error:
        raise _own(error) from error


def _own(error: RayError) -> Exception:
    """What a peer has raised, out of Ray's wrapping."""
    return error.cause if isinstance(error, RayTaskError) and isinstance(error.cause, Exception) else error
