"""Every figure and question of the report and every format of model files keeps to what its kind asks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from rebnn_search import testing
from rebnn_search.export import FORMATS, LoadedModel, ModelInfo, export_packed
from rebnn_search.export.formats import ModelFormat
from rebnn_search.report.answers import QUESTIONS, Answer, Question
from rebnn_search.report.figures import FIGURES, Figure

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.mark.parametrize("check", testing.MODEL_FORMAT_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_format(name: str, check: Callable[..., None]) -> None:
    check(FORMATS[name])


@pytest.mark.parametrize("check", testing.FIGURE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_figure(figure: Figure, check: Callable[..., None]) -> None:
    check(lambda: figure)


@pytest.mark.parametrize("check", testing.QUESTION_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_question(question: Question, check: Callable[..., None]) -> None:
    check(lambda: question)


class Careless(ModelFormat):
    """Claims whatever there is, and reads it so."""

    file = "careless"

    def claims(self, content: bytes) -> bool:
        return True

    def write(self, network: nn.Module, info: ModelInfo, path: Path) -> list[object]:  # type: ignore[override]
        export_packed(network, info, path)
        network.eval()
        return []

    def read(self, content: bytes, path: Path) -> LoadedModel:
        return LoadedModel(None, lambda images: images)  # type: ignore[arg-type]


@pytest.mark.parametrize("check", testing.MODEL_FORMAT_CHECKS, ids=lambda check: check.__name__)
def test_a_format_that_falls_short_is_told(check: Callable[..., None]) -> None:
    with pytest.raises(AssertionError):
        check(Careless)


def test_a_figure_that_falls_short_is_told() -> None:
    figure = next(iter(FIGURES))
    for check, bad in (
        (testing.FIGURE_CHECKS[0], replace(figure, caption=" ")),
        (testing.FIGURE_CHECKS[1], replace(figure, draw=lambda search: None)),
    ):
        with pytest.raises(AssertionError):
            check(lambda bad=bad: bad)


def test_a_question_that_falls_short_is_told() -> None:
    question = next(iter(QUESTIONS))
    for check, bad in (
        (testing.QUESTION_CHECKS[0], replace(question, text="Tell me.")),
        (testing.QUESTION_CHECKS[1], replace(question, ask=lambda search: None)),
        (testing.QUESTION_CHECKS[1], replace(question, ask=lambda search: Answer("no sentence"))),
        (testing.QUESTION_CHECKS[1], replace(question, ask=lambda search: Answer("Yes.", figures=["none"]))),
    ):
        with pytest.raises(AssertionError):
            check(lambda bad=bad: bad)
