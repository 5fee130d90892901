"""Several searches' shares of one cluster, and who of them is alive."""

from __future__ import annotations

import random
from itertools import count

import pytest

from rebnn_search.execution.fair_share import EPSILON, Claim, fair_shares

CORE, GPU = {"CPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}
MANY = 1000


def shares(capacity: dict[str, float], *claims: Claim) -> list[int]:
    found = fair_shares(capacity, {f"k{place}": claim for place, claim in enumerate(claims)})
    return [found[f"k{place}"] for place in range(len(claims))]


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([Claim(1, CORE, MANY)], [12]),
        ([Claim(1, CORE, MANY), Claim(1, CORE, MANY)], [6, 6]),
        ([Claim(2, CORE, MANY), Claim(1, CORE, MANY)], [8, 4]),
        ([Claim(1, CORE, 2), Claim(1, CORE, MANY)], [2, 10]),  # what one leaves the other takes
        ([Claim(1, CORE, 0), Claim(1, CORE, MANY)], [1, 12]),
        ([Claim(1, {"CPU": 4.0}, MANY), Claim(1, CORE, MANY)], [2, 4]),  # whole trials
        ([Claim(1, CORE, MANY), Claim(1, GPU, MANY)], [9, 3]),  # equal parts of what each has most of
        ([Claim(1000, CORE, MANY), Claim(1, CORE, MANY)], [11, 1]),  # never less than one
        ([Claim(1, {"CPU": 100.0}, MANY), Claim(1, CORE, MANY)], [1, 12]),  # one that has no room holds nobody up
    ],
)
def test_the_cluster_goes_by_priority_and_need(claims: list[Claim], expected: list[int]) -> None:
    assert shares({"CPU": 12.0, "GPU": 4.0, "memory": 1e9}, *claims) == expected


def test_a_cluster_without_gpus_or_anything() -> None:
    assert shares({"CPU": 4.0}, Claim(1, GPU, MANY), Claim(1, CORE, MANY)) == [1, 4]
    assert shares({}, Claim(1, CORE, MANY)) == [1]
    assert fair_shares({"CPU": 4.0}, {}) == {}


@pytest.mark.parametrize("seed", range(60))
def test_any_shares_are_within_the_cluster_wanted_and_fair(seed: int) -> None:
    draw = random.Random(seed)
    capacity = {"CPU": float(draw.randint(1, 64)), "GPU": float(draw.randint(0, 8))}
    claims = {
        f"k{place}": Claim(
            draw.choice([1, 1, 2, 5]),
            {"CPU": float(draw.randint(1, 4)), **({"GPU": draw.choice([0.25, 0.5, 1.0])} if draw.random() < 0.4 else {})},
            draw.choice([0, 1, 3, MANY]),
        )
        for place in range(draw.randint(1, 5))
    }
    found = fair_shares(capacity, claims)
    shuffled = list(claims)
    draw.shuffle(shuffled)
    assert fair_shares(capacity, {key: claims[key] for key in shuffled}) == found  # every driver finds the same
    beyond = {key: n for key, n in found.items() if n > 1}
    for name, amount in capacity.items():
        assert sum(n * claims[key].needs.get(name, 0.0) for key, n in beyond.items()) <= amount + EPSILON
    dominant = {
        key: max(need / max(capacity[name], EPSILON) for name, need in claim.needs.items()) for key, claim in claims.items()
    }
    for key, claim in claims.items():
        assert 1 <= found[key] <= max(1, claim.wanted)
        if found[key] >= claim.wanted:
            continue
        # Who wants more has no fewer than another by priority, but for the one trial that did not fit: nobody was preferred to it.
        for other, theirs in claims.items():
            if other != key and found[other] > 1 and set(theirs.needs) == set(claim.needs) and theirs.needs == claim.needs:
                level = (found[other] - 1) * dominant[other] / theirs.priority
                assert level <= found[key] * dominant[key] / claim.priority + EPSILON


def test_a_driver_is_dead_once_it_was_silent_by_the_clock_of_who_looks() -> None:
    fleet = pytest.importorskip("rebnn_search.execution.ray.fleet")
    times = iter([0.0, 10.0, 41.0, 42.0])
    others = fleet.Others(lambda: next(times))

    def entry(beat: int) -> bytes:
        return bytes(fleet._ENTRY.dump_json(fleet.Entry("other", 1, CORE, 3, beat)))

    beats = count(1)
    for dead in ([], [], ["silent"]):
        others.look({"silent": entry(7), "alive": entry(next(beats)), "newer": b'{"version": 9}'})
        assert others.dead == dead and set(others.living) == {"silent", "alive"} - set(dead)
    others.look({"silent": entry(8)})  # it only slept
    assert set(others.living) == {"silent"} and others.living["silent"].claim == Claim(1, CORE, 3)
