"""The whole examination, area by area."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rebnn_search.doctor.choices import examine_choices
from rebnn_search.doctor.finding import Finding
from rebnn_search.doctor.machine import examine_machine
from rebnn_search.doctor.services import LOCAL, examine_ray, examine_tracking
from rebnn_search.doctor.software import examine_software
from rebnn_search.doctor.storage import examine_storage


@dataclass(frozen=True)
class Places:
    """Where a search would be kept, recorded, tracked and run: as the options of ``rebnn-search run``."""

    storage: str = "results"
    ledger: str | None = None
    tracking_uri: str | None = None
    address: str = LOCAL


def examine(places: Places, *, start: bool = True) -> Iterator[Finding]:
    """Look at everything, the quick first.

    Args:
        places: Where a search would be.
        start: Whether Ray and MLflow are tried as well, which takes some ten seconds.
    """
    yield from examine_software()
    yield from examine_machine()
    yield from examine_choices()
    yield from examine_storage(places.storage, places.ledger)
    if start:
        yield from examine_tracking(places.tracking_uri)
        yield from examine_ray(places.address)
