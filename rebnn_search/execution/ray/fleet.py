"""Searches that run on one Ray cluster know of each other, and none takes more than its share.

Each driver keeps one small entry in the cluster's own key-value store, which lives and dies with the cluster: what a trial of it
holds, its priority, how many trials it could use, and a counter that goes on as long as it lives. From all entries each computes the
same shares (`rebnn_search.execution.fair_share.fair_shares`) and hands out no trial beyond its own. Nobody waits for anybody: an
entry whose counter stands still is a dead driver's, and where the store cannot be had a search goes on as if it were alone.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import ray
from pydantic import TypeAdapter, ValidationError
from ray.tune import Callback

from rebnn_search.execution.controller import Controller
from rebnn_search.execution.fair_share import Claim, fair_shares
from rebnn_search.execution.ray.room import bundle
from rebnn_search.execution.ray.stateless import Stateless
from rebnn_search.study.spec import Resources

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

logger = logging.getLogger(__name__)

NAMESPACE, PREFIX = b"rebnn_search", b"driver:"
BEAT_SECONDS = 2.0
"""Between two looks at the others."""
SILENT_SECONDS = 30.0
"""A driver that gave no sign of life for so long, by the clock of who looks, is dead."""


@dataclass(frozen=True)
class Entry:
    """A driver as the others see it: ``beat`` is another at each sign of life. The rest is a `Claim`'s."""

    name: str
    priority: float
    needs: dict[str, float]
    wanted: int
    beat: int

    @property
    def claim(self) -> Claim:
        """What it claims."""
        return Claim(self.priority, self.needs, self.wanted)


_ENTRY = TypeAdapter(Entry)


class Others:
    """The other drivers' entries, and which of them still live.

    Args:
        clock: Seconds that only go on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}
        self.living: dict[str, Entry] = {}
        self.dead: list[str] = []
        """Keys of entries that nobody renews."""

    def look(self, found: dict[str, bytes]) -> None:
        """Take in what the store has of the others now."""
        now = self._clock()
        living: dict[str, Entry] = {}
        seen: dict[str, tuple[int, float]] = {}
        self.dead = []
        for key, content in found.items():
            try:
                entry = _ENTRY.validate_json(content)
            except ValidationError:  # of another version: it is not understood, and not touched
                continue
            beat, since = self._seen.get(key, (None, now))
            seen[key] = entry.beat, since if beat == entry.beat else now
            if now - seen[key][1] <= SILENT_SECONDS:
                living[key] = entry
            else:
                self.dead.append(key)
        self._seen, self.living = seen, living


class Fleet(Stateless, Callback):
    """A driver among those of its cluster, while the body runs.

    Args:
        name: The search's.
        resources: Of a trial, and the search's priority.
        controller: Who knows how many trials there are to hand out.
        slots: How many trials the cluster has room for, were the search alone there.
    """

    def __init__(self, name: str, resources: Resources, controller: Controller, slots: Callable[[], int]) -> None:
        self._name, self._resources, self._controller, self._slots = name, resources, controller, slots
        self._needs = {kind: amount * resources.workers_per_trial for kind, amount in bundle(resources).items()}
        self._key = PREFIX.decode() + uuid.uuid4().hex
        self._wanted = 1
        self._beat = 0
        self._others = Others()
        self._told: tuple[str, ...] = ()
        self._found: tuple[tuple[str, ...], int | None] = (), None
        """Who else lives, and this search's share among them: of one look, for Tune's thread."""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name="fleet", daemon=True)

    def __enter__(self) -> Self:
        self._wanted = self._want()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the others what this one had."""
        self._done.set()
        self._thread.join(BEAT_SECONDS)
        if not self._thread.is_alive():  # else the head is away
            self._try(lambda: _store().remove(self._key))

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: object) -> None:
        """Note how much the search could use, and say with whom it shares where that has changed. In Tune's own thread."""
        self._wanted = self._want()
        others, share = self._found
        if others != self._told:
            self._told = others
            shared = f"shared with {', '.join(others)}" if others else "this search's alone"
            print(f"the cluster is {shared}: at most {_trials(self._within(share))} at a time", file=sys.stderr, flush=True)

    def limit(self) -> int:
        """How many trials this search may have at work."""
        return self._within(self._found[1])

    def _within(self, share: int | None) -> int:
        slots = self._slots()
        return slots if share is None else max(1, min(slots, share))

    def _want(self) -> int:
        most = self._resources.max_concurrent
        wanted = self._controller.wanted
        return wanted if most is None else min(wanted, most)

    def _work(self) -> None:
        while not self._done.wait(BEAT_SECONDS):
            self._look()

    def _look(self) -> None:
        """Give a sign of life, and look who else gives one."""
        self._beat += 1
        mine = Entry(self._name, self._resources.priority, self._needs, self._wanted, self._beat)
        self._try(lambda: self._exchange(mine))

    def _exchange(self, mine: Entry) -> None:
        store = _store()
        store.put(self._key, _ENTRY.dump_json(mine))
        self._others.look({key: content for key, content in store.items() if key != self._key})
        for key in self._others.dead:
            store.remove(key)  # one that only slept is there again with its next sign
        living = self._others.living
        claims = {self._key: mine.claim, **{key: entry.claim for key, entry in living.items()}}
        share = fair_shares(ray.cluster_resources(), claims)[self._key] if living else None
        self._found = tuple(sorted(f"{entry.name} (priority {entry.priority:g})" for entry in living.values())), share

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # Ray's RpcError is not public; nor is it worth a search
            logger.info("the cluster's store cannot be had: %s", error)


class _Store:
    """The cluster's key-value store, as far as it is needed here. Ray calls it internal: all that depends on it is here."""

    def __init__(self, kv: Any) -> None:
        self._kv = kv

    def put(self, key: str, content: bytes) -> None:
        self._kv._internal_kv_put(key.encode(), content, True, namespace=NAMESPACE)

    def remove(self, key: str) -> None:
        self._kv._internal_kv_del(key.encode(), namespace=NAMESPACE)

    def items(self) -> list[tuple[str, bytes]]:
        keys = self._kv._internal_kv_list(PREFIX, namespace=NAMESPACE)
        found = [(bytes(key).decode(), self._kv._internal_kv_get(key, namespace=NAMESPACE)) for key in keys]
        return [(key, content) for key, content in found if content is not None]


def _store() -> _Store:
    from ray.experimental import internal_kv  # another version of Ray may have none

    return _Store(internal_kv)


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"
