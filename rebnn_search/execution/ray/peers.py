"""The ranks of a trial other than 0, in actors of the trial's own placement group; rank 0 is Tune's actor.

Because they live in its placement group, and are owned by its actor, ending the trial by any means frees everything it held.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import ray
import torch.distributed as dist
from ray.exceptions import RayError, RayTaskError
from ray.util import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from rebnn_search.base.files import write_atomically
from rebnn_search.execution.ray.workers import Rank, free_address, prepare
from rebnn_search.execution.task import TrialTask
from rebnn_search.training import Diverged, Report

LAST_WORDS_SECONDS = 10.0
"""How long rank 0, having failed, listens for what its peers have failed by, and may go on waiting once they are gone."""
REASON_SECONDS = 2.0
"""How long after a lost connection another peer may say why."""

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
        self._await([actor.prepare.remote(task) for actor in self._actors])
        address = free_address()
        joining = [actor.begin.remote(task, number, address) for number, actor in enumerate(self._actors, start=1)]
        return self._together(task, joining, lambda: Rank(task, 0, address))

    def next_report(self, task: TrialTask, rank: Rank) -> Report:
        """Train up to the next report with all of them.

        Raises:
            Exception: What any of the ranks has raised.
        """
        return self._together(task, [actor.next_report.remote() for actor in self._actors], rank.run.next_report)

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

    def _together(self, task: TrialTask, answers: Sequence[Any], work: Callable[[], T]) -> T:
        """Do rank 0's part of what the peers were asked to do too."""
        if not answers:
            return work()
        watch = _Watch(task, self._actors, answers)
        try:
            done = work()
        except Diverged:  # as all ranks see at once
            watch.over.set()
            raise
        except Exception as error:
            watch.over.set()
            if _is_lost_connection(error):
                watch.thread.join(LAST_WORDS_SECONDS)
            self.kill()
            # Of a peer that has failed this rank knows that a connection is gone, and no more: the peer's own words are the reason.
            told = [failure for failure in watch.failures if not _is_lost_connection(_own(failure))]
            if told and _is_lost_connection(error):
                raise _own(told[0]) from told[0]
            raise
        watch.over.set()
        self._await(answers)
        return done

    def _await(self, answers: Sequence[Any]) -> None:
        """Wait for what the peers were asked to do, and raise what the first that failed has raised itself."""
        try:
            ray.get(list(answers))
        except RayError as error:
            self.kill()
            raise _own(error) from error


class _Watch:
    """Sees to it that rank 0 does not wait for a peer that has failed until the collectives give up.

    The peers are killed then: a process that is gone is the one thing that gloo's collectives end by. Where even that does not wake
    rank 0 (it waits for one to join, or for a GPU), its own process ends, which Tune takes for a failed trial, with the reason in the
    trial's folder.

    Args:
        task: What is trained.
        actors: The peers.
        answers: What they were asked to do.

    Attributes:
        over: To be set when rank 0 is done, well or not.
        failures: Of the peers, in the order in which they were seen.
    """

    def __init__(self, task: TrialTask, actors: Sequence[Any], answers: Sequence[Any]) -> None:
        self._task, self._actors, self._answers = task, list(actors), list(answers)
        self.over = threading.Event()
        self.failures: list[RayError] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        waiting = self._answers
        while waiting:
            # A lost connection has a reason, which another peer is about to tell.
            ended, waiting = ray.wait(waiting, num_returns=1, timeout=REASON_SECONDS if self.failures else None)
            failure = _failure(ended[0]) if ended else None
            if failure is not None and not isinstance(_own(failure), Diverged):
                self.failures.append(failure)
            if self.failures and (not ended or not _is_lost_connection(_own(self.failures[-1]))):
                break
        if not self.failures:
            return
        for actor in self._actors:
            ray.kill(actor)
        if not self.over.wait(LAST_WORDS_SECONDS):
            reason = _own(self.failures[-1])
            with suppress(OSError):
                write_atomically(self._task.open_folder().trace_file(self._task.number), f"{type(reason).__name__}: {reason}\n")
            os._exit(1)


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


def _own(error: RayError) -> Exception:
    """What a peer has raised, out of Ray's wrapping."""
    return error.cause if isinstance(error, RayTaskError) and isinstance(error.cause, Exception) else error


def _is_lost_connection(error: Exception) -> bool:
    """Whether it says no more than that another rank is gone."""
    return isinstance(error, RuntimeError) and (isinstance(error, dist.DistError) or "gloo" in str(error).lower())
