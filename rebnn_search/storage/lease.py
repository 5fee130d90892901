"""The right to drive a search in an object store: an object that says who drives and when it was last alive."""

from __future__ import annotations

import json
import socket
import time
import uuid
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime

from rebnn_search.config import Notice, UserError
from rebnn_search.storage.conditional_write import Compared, Version, conditional
from rebnn_search.storage.object_store import ObjectStore
from rebnn_search.storage.process_name import Seen, look_for, own_name

LEASE = "driver.json"
BEAT_SECONDS = 15.0
STALE_SECONDS = 60.0
"""A driver without a sign of life for so long is dead."""
DOUBT_SECONDS = 600.0
"""A driver elsewhere that was silent for less, or writes of the future, is watched: the two clocks need not agree."""
WATCH_SECONDS = BEAT_SECONDS + 5.0
POLL_SECONDS = 1.0
"""Between two looks for a sign of life."""
TRIES = 5
"""So often may the lease change hands while it is being taken."""


class LeaseLost(Exception):  # noqa: N818 - what happened, to the one who held it
    """Another driver holds the lease: this one was silent for too long."""


class Lease:
    """The lease of one search, as `rebnn_search.storage.lock.DriverLock` is its lock on a disk.

    It is taken by making the object where there is none, or by replacing that of a dead driver, and renewed by replacing one's
    own: each only if the object is still what was read, so of two drivers one gets it, and one that was silent while another
    took its place learns so before it writes again. Where the store has no such writes, two drivers within the same moment may
    both get it; `gap` says so.

    Args:
        store: The search's place in the store.
        name: The search's name.
    """

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._store, self._name = store, name
        self.objects = conditional(store)
        self._token = uuid.uuid4().hex
        self._version: Version | None = None
        self._since = ""
        self._beat = 0.0

    @property
    def gap(self) -> str | None:
        """Why the store cannot see to it that only one driver gets the lease; None where it does."""
        return self.objects.gap

    def take(self) -> None:
        """Take the lease.

        Raises:
            UserError: If another driver was alive less than a minute ago.
            OSError: If the store cannot be read or written.
        """
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        for _ in range(TRIES):
            held = self._read()
            if held is not None and _owner(held[0]).get("token") != self._token:
                self._check_dead(_owner(held[0]))
            if self._write(None if held is None else held[1]):
                self._probe()
                return
        raise OSError(f"{LEASE} changes hands all the time")

    def _read(self) -> tuple[bytes, Version] | None:
        try:
            return self.objects.get(LEASE)
        except OSError as error:
            if isinstance(self.objects, Compared):
                raise
            plain = Compared(self._store, f"obstore cannot read it: {error}")
            found = plain.get(LEASE)  # if the store is away, it is so for both
            self.objects = plain
            return found

    def _check_dead(self, owner: Mapping[str, object]) -> None:
        """See that an owner is dead; where that cannot be told, as of a container that was started again, wait for a sign of it.

        Raises:
            UserError: If it lives.
        """
        seen, age = look_for(owner), time.time() - _number(owner.get("alive"))
        namesake = owner.get("host") == socket.gethostname()
        if seen == Seen.DEAD:
            return
        patience = 0.0
        if seen == Seen.UNKNOWN and namesake and age < STALE_SECONDS:
            patience = STALE_SECONDS - age
        elif seen == Seen.UNKNOWN and not namesake and (STALE_SECONDS <= age < DOUBT_SECONDS or age < -STALE_SECONDS):
            patience = WATCH_SECONDS
        elif age >= STALE_SECONDS:
            return
        if patience > 0:
            whose = ", of this host's name" if namesake else ""
            waiting = f"{self._name}: waiting up to {patience:.0f} s for a sign of {_describe(owner)}{whose}"
            warnings.warn(waiting, Notice, stacklevel=2)
            other = self._other_than(owner, patience)
            if other is None:
                return
            owner, age = other, time.time() - _number(other.get("alive"))
        raise UserError(
            f"{self._name} is being driven by {_describe(owner)} (alive {max(0.0, age):.0f} s ago): wait for it, or stop it "
            f"first; {STALE_SECONDS:.0f} s after its last sign it is free"
        )

    def _other_than(self, owner: Mapping[str, object], seconds: float) -> Mapping[str, object] | None:
        """What the lease says instead of this within so many seconds; None if it says nothing else, or is gone."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            held = self._read()
            if held is None:
                return None
            if (now := _owner(held[0])) != owner:
                return now
        return None

    def _write(self, expected: Version | None) -> bool:
        now = time.time()
        owner = {**own_name(), "since": self._since, "alive": now, "token": self._token}
        version = self.objects.put(LEASE, json.dumps(owner).encode(), expected)
        if version is None:
            return False
        self._version, self._beat = version, now
        return True

    def _probe(self) -> None:
        """Try what the store must refuse: some take conditions and do not heed them."""
        if isinstance(self.objects, Compared):
            return
        first = self._version
        if not self._write(first):
            return  # taken over between the two: the next renewal tells
        for wrong in (None, first):
            if self._write(wrong):
                self.objects = Compared(self._store, "the store does not heed conditions")
                found = self.objects.get(LEASE)
                self._version = None if found is None else found[1]
                return

    def is_due(self) -> bool:
        """Whether it is time to renew. By the wall clock: a machine that slept has slept in it."""
        return abs(time.time() - self._beat) > BEAT_SECONDS

    def renew(self) -> None:
        """Say that this driver is alive.

        Raises:
            LeaseLost: If another driver has taken the lease.
            OSError: If the store cannot be read or written.
        """
        expected = self._version
        for _ in range(TRIES):
            if self._write(expected):
                return
            held = self.objects.get(LEASE)
            if held is not None and _owner(held[0]).get("token") != self._token:
                raise LeaseLost(_describe(_owner(held[0])))
            if held is None and abs(time.time() - self._beat) > STALE_SECONDS:
                raise LeaseLost("another process")  # it had the right to take it, and has given it back
            expected = None if held is None else held[1]  # removed by hand, or our own write whose answer was lost
        raise OSError(f"{LEASE} changes all the time")

    def release(self) -> None:
        """Give the lease back, if it is still this driver's. Does nothing where the store is away: it gets stale."""
        try:
            held = self.objects.get(LEASE)
            if held is not None and _owner(held[0]).get("token") == self._token:
                self._store.delete(LEASE)
        except OSError:
            return


def living_owner(content: bytes) -> str | None:
    """Who holds a lease of this content, in words; None where that is dead, or silent for too long.

    Args:
        content: The lease's object.
    """
    owner = _owner(content)
    age = time.time() - _number(owner.get("alive"))
    return None if age >= STALE_SECONDS or look_for(owner) == Seen.DEAD else _describe(owner)


def _owner(content: bytes) -> dict[str, object]:
    try:
        owner = json.loads(content)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _describe(owner: Mapping[str, object]) -> str:
    return f"process {owner.get('pid', '?')} on {owner.get('host', '?')} since {owner.get('since', '?')}"
