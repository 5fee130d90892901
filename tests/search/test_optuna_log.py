"""Optuna is muted where it is called, and nothing else is, and the process's loggers are not told so at every report."""

import warnings

import optuna
import pytest

from rebnn_search.study.optuna_log import optuna_log_muted, optuna_muted


def test_the_level_is_given_back_and_set_once_around_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    before, times = optuna.logging.get_verbosity(), []
    really = optuna.logging.set_verbosity
    really(optuna.logging.INFO)
    monkeypatch.setattr(optuna.logging, "set_verbosity", lambda level: (times.append(level), really(level)))
    with optuna_log_muted():
        for _ in range(5):
            with optuna_muted():
                assert optuna.logging.get_verbosity() == optuna.logging.WARNING
        with optuna_muted(optuna.logging.ERROR):
            assert optuna.logging.get_verbosity() == optuna.logging.ERROR
        assert optuna.logging.get_verbosity() == optuna.logging.WARNING
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert times == [optuna.logging.WARNING, optuna.logging.ERROR, optuna.logging.WARNING, optuna.logging.INFO]
    really(before)


def test_others_may_warn_around_it() -> None:
    with optuna_log_muted(), pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", UserWarning, stacklevel=1)
