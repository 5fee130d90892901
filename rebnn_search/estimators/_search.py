"""A search and a refit as a scikit-learn classifier."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rebnn_search.base.metrics import EPOCHS, VAL_LOSS, VAL_TOP1
from rebnn_search.estimators._classifier import Part, ReBNNClassifier
from rebnn_search.estimators._parameters import from_recipe, part, plain

if TYPE_CHECKING:
    import pandas as pd

    from rebnn_search.study.ledger import Ledger
    from rebnn_search.study.search import Search
    from rebnn_search.training import Recipe


class ReBNNSearchClassifier(ReBNNClassifier):
    """Searches the values of a recipe, then trains the best on all samples. All of it in this process, one trial at a time.

    For trials beside one another, on several machines, or that survive a crash there is ``python -m rebnn_search.run``.

    Args:
        space: What varies, as in a search file: ``{"optimizer.lr": {"log_uniform": [1e-3, 1e-1]}}``; None is γ-strategy × learning
            rate × scaling-factor init. The first trial has the values of the other parameters, where the space has them.
        n_trials: Trials, at most.
        timeout: Seconds after which no trial begins and the running one ends; one trial is trained to its end in any case. None
            is without limit. The refit comes on top.
        metric: What a trial is judged by, at its last epoch: ``val/loss``, ``val/top1`` or ``val/top5``.
        sampler: Sampler, by name or as a mapping.
        pruner: Pruner, by name or as a mapping; its steps are epochs.
        validation_fraction: Share of the different samples that trials are judged on; a class too small to be on both sides is
            trained on whole. Where nothing can be held out it is the training samples that they are judged on, with a warning.

    The other parameters are `ReBNNClassifier`'s: what the space leaves alone. A part that the space chooses, as ``optimizer.name``,
    begins with options of its own: ``lr`` and ``weight_decay`` are then the chosen optimizer's, unless the space has them.

    Attributes:
        search_results_: A row for each trial: ``number``, ``state``, a column for each parameter (missing where its condition
            does not hold), ``val_loss``, ``val_top1`` (percent), ``epochs``.
        best_params_: The best configuration, by dotted names.
        best_score_: Its ``metric`` on the validation samples.
        best_estimator_: `ReBNNClassifier` with it, fitted on all samples. Its fitted attributes are this classifier's too.
    """

    def __init__(
        self,
        *,
        space: Mapping[str, object] | None = None,
        n_trials: int = 20,
        timeout: float | None = None,
        metric: str = VAL_LOSS,
        sampler: Part = "tpe",
        pruner: Part = "median",
        gamma: Part = "flip_ratio",
        gamma_value: float | None = None,
        scale_init: Part = "mean_abs",
        weights: Part = "rebnn",
        network: Part | None = None,
        width: int | None = None,
        depth: int | None = None,
        optimizer: Part = "adam",
        lr: float = 1e-2,
        weight_decay: float = 0.0,
        schedule: Part = "linear",
        epochs: int = 50,
        batch_size: int = 64,
        validation_fraction: float = 0.2,
        class_weight: Mapping[object, float] | str | None = None,
        overrides: Mapping[str, object] | None = None,
        device: str | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            gamma=gamma, gamma_value=gamma_value, scale_init=scale_init, weights=weights, network=network, width=width,
            depth=depth, optimizer=optimizer, lr=lr, weight_decay=weight_decay, schedule=schedule, epochs=epochs,
            batch_size=batch_size, validation_fraction=validation_fraction, class_weight=class_weight, overrides=overrides,
            device=device, random_state=random_state,
        )  # fmt: skip
        self.space = space
        self.n_trials = n_trials
        self.timeout = timeout
        self.metric = metric
        self.sampler = sampler
        self.pruner = pruner

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ReBNNSearchClassifier:
        """Search, then train the best configuration on all samples. Arguments and errors as `ReBNNClassifier.fit`.

        Raises:
            ValueError: Also if the space or another part of the search is unfit.
            RuntimeError: If no trial was trained to its end: of all, or of the first five where those all failed.
        """
        from rebnn_search.estimators import _study  # Optuna is for those who search

        given = self._check(X, y, sample_weight)
        values = {
            "space": _study.DEFAULT_SPACE if self.space is None else dict(self.space),
            "trials": self.n_trials,
            "sampler": part("name", self.sampler),
            "pruner": part("name", self.pruner),
            "sampler_seed": given.seed,
            "objective": {"metric": self.metric},
        }
        search = _study.build_search(given.recipe, {key: plain(value) for key, value in values.items()})
        opened = given.open(self.validation_fraction, "train")
        if not opened.held_out:
            warnings.warn(
                "no sample could be held out: trials are judged on the samples that they were trained on", stacklevel=2
            )
        ledger = _study.run_search(search, lambda recipe: self._trainer(recipe, opened.data), self.timeout)
        self.search_results_: pd.DataFrame = _table(search, ledger)
        if not ledger.best:
            raise RuntimeError(_study.none_trained(ledger))
        best = ledger.best[0].number
        self.best_params_ = dict(ledger.params(best))
        self.best_score_ = ledger.summary(best)[self.metric]
        self.best_estimator_ = self._base(search.recipe(self.best_params_), given.seed).fit(X, y, sample_weight)
        for name in ("network_", "recipe_", "history_", "_scaling"):
            setattr(self, name, getattr(self.best_estimator_, name))
        return self

    def _base(self, recipe: Recipe, seed: int) -> ReBNNClassifier:
        """The classifier of the best trial's recipe, to be fitted on all samples."""
        found, overrides = from_recipe(recipe)
        return ReBNNClassifier(
            **found, overrides=overrides, class_weight=self.class_weight, device=self.device, random_state=seed
        )


def _table(search: Search, ledger: Ledger) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for trial in ledger.trials:
        params, summary = ledger.params(trial.number), ledger.summary(trial.number)
        measured = {"val_loss": summary.get(VAL_LOSS), "val_top1": summary.get(VAL_TOP1), "epochs": summary.get(EPOCHS, 0.0)}
        rows.append(
            {"number": trial.number, "state": trial.state.name, **{name: params.get(name) for name in search.space}, **measured}
        )
    return pd.DataFrame(rows)
