"""Brings the run of one training up to the reports that the training has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rebnn_search.tracking.runs import Point, Runs


def catch_up(
    runs: Runs,
    number: int,
    name: str,
    params: Mapping[str, object],
    points: Sequence[Point],
    metric: str,
    *,
    tags: Mapping[str, str] | None = None,
    lost: int = 0,
) -> None:
    """Make or find the run of a trial, and send it what it lacks: sent twice, a point is one point.

    A run that tells of reports which the trial does not have is of a machine that is gone: what it had recorded is made again, at
    other times or not at all. Such a run is put away, and another is made.

    Args:
        runs: Where.
        number: Of the trial.
        name: Of its run.
        params: Of its run.
        points: The trial's reports, by step.
        metric: One that every report has.
        tags: Of its run, if it is made.
        lost: Up to this step the trial had reports, whether or not ``points`` still has them.
    """
    runs.forget_doubles()
    run_id = runs.ensure_child(number, name, params, tags)
    tracked = runs.times(run_id, metric)
    times = {point.step: {point.timestamp} for point in points}
    if any(seen != times[step] if step in times else step > lost for step, seen in tracked.items()):
        runs.forget(number)
        run_id, tracked = runs.ensure_child(number, name, params, tags), {}
    # The last step known is sent again: a crash may have cut its batch in two.
    runs.log(run_id, [point for point in points if point.step >= max(tracked, default=0)])
