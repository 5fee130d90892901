"""Strategies have one name and one colour throughout a report, and no more names than there is room for."""

from typing import Any

from matplotlib.figure import Figure as Drawing
from support.made_search import SPACE, MadeSearch

from rebnn_search.report import table as paper_table
from rebnn_search.report.figures import FIGURES, style
from rebnn_search.report.strategies import colours, label_of


def with_gammas(count: int, gamma: dict[str, Any], values: list[float]) -> MadeSearch:
    """Trials with a constant γ each, in turn."""
    space = {**SPACE, "gamma.value": {**gamma, "when": {"gamma.strategy": "constant"}}}
    search = MadeSearch(count, pruned=0, space=space)
    for trial in search.trials:
        params = {**trial.params, "gamma.strategy": "constant", "gamma.value": values[trial.number % len(values)]}
        search.change(trial.number, params=params)
    return search


def drawn(search: MadeSearch, name: str) -> Drawing:
    with style():
        figure = next(one for one in FIGURES if one.name == name).draw(search)
        assert figure is not None
        figure.canvas.draw()
    return figure


def named(figure: Drawing) -> dict[str, str]:
    """The colours in a figure's legend, by strategy."""
    lines, texts = figure.legends[0].get_lines(), figure.legends[0].get_texts()
    return {text.get_text(): str(line.get_color()) for line, text in zip(lines, texts, strict=True)}


def test_a_strategy_has_the_same_colour_in_every_figure() -> None:
    values = [2e-4, 3e-4, 4e-4]
    search = with_gammas(9, {"choice": values}, values)
    for trial in search.trials[::3]:
        search.change(trial.number, state="PRUNED")
    every = named(drawn(search, "intermediate_values"))
    assert list(every) == ["γ = 2e-4", "γ = 3e-4", "γ = 4e-4"] and len(set(every.values())) == 3
    for name in ("training_loss", "oscillation"):
        some = named(drawn(search, name))
        assert list(some) == ["γ = 3e-4", "γ = 4e-4"] and some.items() <= every.items()


def test_binarizers_that_have_a_name_have_a_colour_of_their_own_in_every_search() -> None:
    binarizers = {"irnet": "IR-Net", "reste": "ReSTE", "biper": "BiPer", "recu": "ReCU", "reactnet": "ReActNet"}
    search = MadeSearch(5, pruned=0, space={"weights": {"choice": list(binarizers)}})
    for trial, name in zip(search.trials, binarizers, strict=True):
        search.change(trial.number, params={"weights": name})
    every = colours(search)
    assert set(every) == set(binarizers.values()) and len(set(every.values())) == 5
    for trial in list(search.trials):
        search.trials = [trial]
        assert colours(search).items() <= every.items() and len(colours(search)) == 1


def test_constants_drawn_from_an_interval_are_one_strategy_beside_zero() -> None:
    values = [0.0, *(10 ** -(1 + number / 8) for number in range(29))]
    search = with_gammas(30, {"log_uniform": [1e-6, 1e-1]}, values)
    assert {label_of(search, trial) for trial in search.trials} == {"γ = 0", "γ constant"}
    assert [row.label for row in paper_table.table(search)] == ["γ = 0", "γ constant"]
    assert any("its best by validation" in note for note in paper_table.notes(search))


def test_a_row_that_lost_a_seed_says_so() -> None:
    values = [0.0, 1e-3]
    space = {"gamma.strategy": {"choice": ["constant", "flip_ratio"]}, "gamma.value": {"choice": values}}
    search = MadeSearch(6, seeds=3, pruned=0, space=space)
    for trial in search.trials:
        search.change(trial.number, params={"gamma.strategy": "constant", "gamma.value": values[trial.configuration]})
    assert not any("Fewer" in note or "common" in note for note in paper_table.notes(search)[2:])
    search.change(1, state="PRUNED", reason="median")
    notes = " ".join(paper_table.notes(search))
    assert "Fewer than 3 seeds: γ = 0. The others were pruned, failed or have not ended" in notes
    assert "Seeds in common with γ = 0, where that is fewer than n: γ = 1e-3 2." in notes
    (row,) = [line for line in paper_table.as_csv(paper_table.table(search)).splitlines() if line.startswith("γ = 1e-3,3,")]
    assert row.split(",")[-2] == "2"


def test_a_legend_stays_within_its_picture() -> None:
    values = [float(f"{number}e-5") for number in range(11, 51)]
    search = with_gammas(40, {"choice": values}, values)
    for name in ("training_loss", "intermediate_values"):
        figure = drawn(search, name)
        box, room = figure.legends[0].get_window_extent(), figure.bbox
        assert room.y0 <= box.y0 and box.y1 <= room.y1
        texts = [text.get_text() for text in figure.legends[0].get_texts()]
        assert texts[-1] == f"and {40 - len(texts) + 1} more" and texts[0] == "γ = 1.1e-4"
