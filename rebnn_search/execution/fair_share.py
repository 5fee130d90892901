"""How searches on one cluster share it: each one's trials at a time, by their priorities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

EPSILON = 1e-6
"""Of a GPU: Ray counts them in ten-thousandths."""


@dataclass(frozen=True)
class Claim:
    """What a search could use.

    Attributes:
        priority: Its weight, above 0.
        needs: What a trial of it holds, by resource (``CPU``, ``GPU``): amounts above 0.
        wanted: How many trials it could have at work now.
    """

    priority: float
    needs: Mapping[str, float]
    wanted: int


def fair_shares(capacity: Mapping[str, float], claims: Mapping[str, Claim]) -> dict[str, int]:
    """How many trials each search may have at work.

    Dominant resource fairness with weights (Ghodsi et al., NSDI 2011, Algorithm 1): room for one trial after another goes to the
    search with the smallest share, of the resource that it has most of, by its priority, until nobody wants what is left. So one
    gets what another leaves, and searches that compete for nothing (cores here, GPUs there) do not limit each other.

    Every driver computes this by itself: it depends on nothing but what they all know, and ties go by key.

    Args:
        capacity: What the cluster has in all, by resource.
        claims: The searches by key, those that want nothing included.

    Returns:
        By key; at least 1, so that a search with the least priority on a full cluster comes to its end as well.
    """
    shares = dict.fromkeys(sorted(claims), 0)
    free = dict(capacity)
    open_ = [key for key in shares if claims[key].wanted > 0]
    while open_:
        key = min(open_, key=lambda key: _weighed(capacity, claims[key], shares[key]))
        claim = claims[key]
        if shares[key] >= claim.wanted or any(free.get(name, 0.0) < need - EPSILON for name, need in claim.needs.items()):
            open_.remove(key)  # what it lacks does not come back
            continue
        shares[key] += 1
        for name, need in claim.needs.items():
            free[name] -= need
    return {key: max(1, share) for key, share in shares.items()}


def _weighed(capacity: Mapping[str, float], claim: Claim, trials: int) -> float:
    """The share of its dominant resource that so many trials of a search hold, by its priority."""
    dominant = max(need / max(capacity.get(name, 0.0), EPSILON) for name, need in claim.needs.items())
    return trials * dominant / claim.priority
