"""One training as a scikit-learn classifier."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from rebnn_search.base.metrics import IMAGES_PER_SECOND
from rebnn_search.config import UserError
from rebnn_search.estimators._parameters import fitting_batch, from_recipe, make_recipe, recipe_data
from rebnn_search.estimators._samples import CHUNK, Array, OpenedSamples, WeightedSet, check_shape, merge, open_samples
from rebnn_search.training import Recipe, Report, Trainer, TrainingRun, load_recipe
from rebnn_search.training.data import ResidentData
from rebnn_search.training.distributed import pick_device

if TYPE_CHECKING:
    import pandas as pd

Part = str | Mapping[str, object]


@dataclass(frozen=True)
class Given:
    """What `fit` was given, checked.

    Attributes:
        samples: The weighted set.
        classes: Names of the classes, by label.
        seed: Drawn from ``random_state``.
        recipe: Data of the recipe of the parameters.
    """

    samples: WeightedSet
    classes: list[str]
    seed: int
    recipe: Mapping[str, object]

    def open(self, validation: float, train_on: str) -> OpenedSamples:
        """The samples with a share of them split off to validate on, unless a recipe trains on all there are."""
        return open_samples(self.samples, self.classes, validation if train_on == "train" else None, self.seed)


class ReBNNClassifier(ClassifierMixin, BaseEstimator):
    """A binary neural network, trained in this process with one recipe's values.

    ``X`` is (n, features), for a multilayer perceptron of `rebnn_search.method.BinaryLinear`, or (n, channels, height, width) of
    square images from 4×4, for a convolutional network. Features, or channels, are standardised by the statistics of the samples
    that are trained on. Equal samples are trained on as one with the sum of their weights, so that weights are repetitions, and on
    the CPU the same ``random_state`` gives the same predictions to the bit, whatever the order of the rows and their type.

    Args:
        gamma: γ-strategy, by name or as a mapping, ``{"strategy": "constant", "value": 1e-4}``.
        gamma_value: The option ``value`` of the γ-strategy, where it has one.
        scale_init: Scaling-factor init, likewise by name or as a mapping.
        weights: Weight binarizer, by name or as a mapping, ``{"name": "recu", "tau_end": 0.95}``.
        network: Network, by name or as a mapping; None is ``mlp`` for tables and ``digits_resnet`` for images.
        width: Features of the hidden layers, or channels of the first stage; None is the network's default.
        depth: Binary layers, or units in each stage; None is the network's default.
        optimizer: Optimizer, by name or as a mapping.
        lr: Learning rate at the schedule's factor 1.
        weight_decay: Of convolutions' and linear maps' weights.
        schedule: Learning-rate schedule, by name or as a mapping.
        epochs: Passes over the data.
        batch_size: Most samples a step, at least 2; less where that leaves fewer samples out of an epoch.
        validation_fraction: Share of the different samples held out for ``history_``, with every class in proportion and no two
            equal samples on different sides; a class too small for that is trained on whole. The held-out samples decide nothing: the
            last state is kept. At 0, and where nothing can be held out, ``val_`` columns are of the training samples. Where
            ``overrides`` set ``train_on`` to ``train+validation`` all samples are trained on and there are no ``val_`` columns.
        class_weight: ``{label: weight}``, ``"balanced"`` or None; multiplies the samples' weights.
        overrides: Any other value of a recipe by its dotted name, ``{"loss.label_smoothing": 0.1}``, laid over the rest.
        device: As torch names it; None is the first GPU, else the CPU.
        random_state: Seed of initial weights and the data's order.

    Attributes:
        classes_: The labels, sorted (n_classes,). A class whose samples all have ``sample_weight`` 0 is absent; one of
            ``class_weight`` 0 is there, and nothing is learnt of it.
        n_features_in_: Features, or channels.
        feature_names_in_: Names of the features, where ``X`` had some.
        history_: A row for each epoch: ``epoch``, ``iteration``, ``train_loss``, ``val_loss``, ``val_top1`` (percent), ...
        network_: The trained `torch.nn.Module`, on the CPU; its input is standardised.
        recipe_: The `Recipe` that was trained.
    """

    classes_: Array
    network_: torch.nn.Module

    def __init__(
        self,
        *,
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
        validation_fraction: float = 0.0,
        class_weight: Mapping[object, float] | str | None = None,
        overrides: Mapping[str, object] | None = None,
        device: str | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.gamma = gamma
        self.gamma_value = gamma_value
        self.scale_init = scale_init
        self.weights = weights
        self.network = network
        self.width = width
        self.depth = depth
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.overrides = overrides
        self.device = device
        self.random_state = random_state

    @classmethod
    def from_recipe(cls, path: str | Path, **params: Any) -> Self:
        """Make a classifier of a recipe file, such as the ``best.yaml`` of a search, less its data, seed and reports in an epoch.

        Args:
            path: The file.
            params: Parameters, in place of what the recipe says. Of it what no parameter is for becomes ``overrides``.

        Raises:
            UserError: Naming file, line, key, value and what is allowed.
        """
        found, rest = from_recipe(load_recipe(path))
        overrides = {**rest, **(params.pop("overrides", None) or {})}
        return cls(**{**found, **params}, overrides=overrides)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ReBNNClassifier:
        """Train from the beginning.

        Args:
            X: (n, features) or (n, channels, height, width).
            y: (n,) labels of any kind.
            sample_weight: (n,) weights from 0; None is 1 for each.

        Raises:
            ValueError: If the data or a parameter is unfit; the message says which.
            Diverged: If a loss is no finite number.
        """
        given = self._check(X, y, sample_weight)
        recipe = make_recipe(given.recipe)
        opened = given.open(self.validation_fraction, recipe.train_on)
        trainer = self._trainer(recipe, opened.data)
        self._keep(trainer, list(TrainingRun(trainer)))
        self._scaling = opened.scaling
        return self

    def _check(self, X: Any, y: Any, sample_weight: Any) -> Given:
        """Check data and parameters; sets what is known of the data."""
        X, y = validate_data(self, X, y, allow_nd=True)
        check_shape(X.shape)
        X = X.astype(np.float64) if X.dtype.itemsize > 8 else X  # a long double's padding is no value
        check_classification_targets(y)
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must be within [0, 1), not {self.validation_fraction}")
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        if (weights < 0).any():
            raise ValueError(f"sample_weight: negative values are not allowed, found {weights.min()}")
        if not weights.any():
            raise ValueError("sample_weight: all weights are zero, at least one must be above it")
        X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has samples of one class alone, {self.classes_[0]!r}: there is nothing to tell apart")
        by_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y, sample_weight=weights)
        if (by_class < 0).any() or not np.isfinite(by_class).all():
            raise ValueError(f"class_weight: weights must be finite and not negative, not {self.class_weight!r}")
        if np.count_nonzero(by_class) == 1:
            only = self.classes_[by_class > 0][0]
            raise ValueError(f"class_weight: only {only!r} has a weight above 0: there is nothing to tell apart")
        samples = merge(X, labels, weights * by_class[labels])
        if len(samples) < 2:
            raise ValueError(f"fit needs two different samples of weight above 0, not {len(samples)}")
        if samples.weights.max() > np.finfo(np.float64).max / len(samples):
            raise ValueError("sample_weight: the sum of the weights overflows")
        self._shape = X.shape[1:]
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        recipe = recipe_data(self.get_params(deep=False), X.ndim == 4, seed)
        return Given(samples, [str(name) for name in self.classes_], seed, recipe)

    def _trainer(self, recipe: Recipe, data: ResidentData) -> Trainer:
        try:
            return Trainer(fitting_batch(recipe, data.size("train")), device=str(self._device()), data=data)
        except UserError as error:
            raise ValueError(str(error)) from None

    def _device(self) -> torch.device:
        try:
            return pick_device(self.device)
        except UserError as error:
            raise ValueError(str(error)) from None

    def _keep(self, trainer: Trainer, reports: list[Report]) -> None:
        import pandas as pd

        trainer.close()
        self.recipe_ = trainer.recipe
        self.network_ = trainer.network.cpu().eval()
        self.network_.zero_grad(set_to_none=True)
        self.history_: pd.DataFrame = pd.DataFrame([_row(report) for report in reports])

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class (n, n_classes), in the order of ``classes_``; rows sum to 1.

        Computed in float64, so that a sample's result does not depend on those beside it.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, allow_nd=True)
        if X.shape[1:] != self._shape:
            raise ValueError(f"X has samples of shape {X.shape[1:]}, {type(self).__name__} was fitted on {self._shape}")
        device = self._device()
        network = copy.deepcopy(self.network_).double().to(device)
        parts = []
        with torch.inference_mode():
            for begin in range(0, len(X), CHUNK):
                part = torch.from_numpy(self._scaling(X[begin : begin + CHUNK])).to(device)
                logits = network(part if part.dim() == 4 else part[:, :, None, None])
                parts.append(logits.softmax(1).cpu().numpy())
        probabilities: Array = np.concatenate(parts)
        return probabilities

    def predict(self, X: Any) -> Array:
        """Return the most probable label of each sample (n,)."""
        probabilities = self.predict_proba(X)
        labels: Array = self.classes_[probabilities.argmax(1)]
        return labels


def _row(report: Report) -> dict[str, float]:
    # How fast it was is of the machine, not of the training: the history of equal trainings is equal.
    metrics = {name.replace("/", "_"): value for name, value in report.metrics.items() if name != IMAGES_PER_SECOND}
    return {"epoch": report.epoch, "iteration": report.iteration, **metrics}
