"""What ``--preset`` changes of a plan."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rebnn_search.auto import _networks, _plan
from rebnn_search.auto._look import Look, look_at
from rebnn_search.auto.presets import PRESETS
from rebnn_search.auto.source import Source
from rebnn_search.cli.auto import main, parser


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """At a table whose networks cost the same on every machine."""

    def measure(look: Any, network: Any, opened: Any) -> Any:
        return _networks.Rung(network, opened.image_size, 0.1, 0.1)

    monkeypatch.setattr(_plan, "measure", measure)
    monkeypatch.setattr(_plan, "_slots", lambda: 2)
    monkeypatch.setattr(_plan.time, "monotonic", lambda: 0.0)
    draw = np.random.default_rng(0)
    rows = [f"{draw.normal(3 * (row % 2)):.3f},{'ab'[row % 2]}" for row in range(100)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *rows]), encoding="utf-8")
    return look_at(Source(tmp_path / "t.csv"))


def planned(look: Look, preset: str, seconds: float) -> Any:
    opened = _networks.open_smallest(look)
    return _plan.plan_for(look, opened, seconds, PRESETS[preset].seeds, 0.0, PRESETS[preset])


def test_fast_searches_nothing_and_trains_a_third_as_long(look: Look) -> None:
    fast, balanced = planned(look, "fast", 1800.0), planned(look, "balanced", 1800.0)
    assert (fast.searched, balanced.searched) == (False, True)
    assert fast.epochs == balanced.epochs / 3 == _networks.TABLE_EPOCHS / 3
    assert "no search: the preset has none" in fast.reasons
    assert "no search: the time has no room for one beside Ray's start" in planned(look, "balanced", 15.0).reasons


def test_every_preset_plans_within_the_time(look: Look) -> None:
    for preset in PRESETS:
        for seconds in (12.0, 45.0, 180.0, 1800.0):
            plan = planned(look, preset, seconds)
            assert 10 * plan.searched * plan.trial_seconds / 2 + plan.seeds * plan.refit_seconds < seconds


def test_the_command_knows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert parser().parse_args(["data"]).preset == "balanced"
    with pytest.raises(SystemExit):
        main(["data", "--preset", "quick"])
    assert "invalid choice: 'quick'" in capsys.readouterr().err
