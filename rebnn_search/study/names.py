"""What a trial is called."""

from __future__ import annotations

from collections.abc import Mapping


def run_name(number: int, params: Mapping[str, object], seed: int | None = None) -> str:
    """The name of a trial: its number, then what it is, as in ``#17 flip_ratio lr=0.0012 mean_abs``."""
    words = [f"#{number}"]
    for key, value in params.items():
        if isinstance(value, str):
            words.append(value)
        else:
            name = key.rsplit(".", maxsplit=1)[-1]
            words.append(f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}")
    if seed is not None:
        words.append(f"seed={seed}")
    return " ".join(words)
