"""Computes what a search's folder allows to be known of its chosen network, within some seconds."""

from __future__ import annotations

import logging
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rebnn_search.base.layout import MODEL_FILE
from rebnn_search.base.metrics import VAL_LOSS, VAL_TOP1, VAL_TOP5, final
from rebnn_search.config import UserError
from rebnn_search.export import LoadedModel, ModelInfo, describe, export_packed, load_model
from rebnn_search.export.timing import batch_milliseconds, one_thread
from rebnn_search.report import statistics
from rebnn_search.report.configurations import Configuration, with_rivals, zero
from rebnn_search.report.evaluation._mistakes import worst
from rebnn_search.report.evaluation._outputs import BATCH, Outputs, compute, drawn, trained_network
from rebnn_search.report.record import BatchTime, Contender, Evaluation, Reliability
from rebnn_search.report.tracked import TrackedSearch, TrackedTrial
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.training import Recipe
from rebnn_search.training.data import Data
from rebnn_search.training.losses import balanced_weights

logger = logging.getLogger(__name__)

CHOSEN_SECONDS = 3.0
"""Of computing the chosen network's logits; beyond them fewer samples are taken."""
OTHERS_SECONDS = 5.0
"""Of computing those of the networks that it is compared to, together."""
LATENCY_SECONDS = 0.75
"""Of timing one batch size."""
CONTENDERS = 5
LEAST_COMPARED = 200
"""Samples, where not all can be computed: over fewer nothing is compared."""
MOST_CLASSES = 40
"""Of a confusion matrix that is drawn."""
PAIRS = 10
BATCHES = (1, 32)
REPEATS = 50
OTHER_DATA = 0.05
"""The loss may differ by such a share from the tracked one, and by rounding on few samples: beyond, the samples are others."""


def evaluate(search: TrackedSearch, folder: SearchFolder) -> Evaluation | str | None:
    """Compute the chosen trial's predictions and those of the trials next to it, measure and compare them.

    Opening the data takes as long as it does for a training; everything else some seconds, whatever the network and the data.

    Args:
        search: The tracked search.
        folder: Its folder, with its trials' checkpoints.

    Returns:
        What was found; why nothing was, in words; None where no trial was trained to its end.
    """
    chosen = search.chosen
    if chosen is None:
        return None
    try:
        return _evaluate(search, folder, chosen)
    except UserError as error:
        return str(error)
    except Exception as error:  # a report is drawn without, whatever a network of the user's own does
        logger.exception("the chosen network could not be evaluated")
        return f"{type(error).__name__}: {error}".splitlines()[0]


def _evaluate(search: TrackedSearch, folder: SearchFolder, chosen: TrackedTrial) -> Evaluation:
    began = time.monotonic()
    recipe = search.search.recipe(chosen.params)
    if not folder.checkpoints(chosen.number).is_dir():  # before the data are opened
        raise UserError(f"no checkpoint of #{chosen.number} is here")
    data = recipe.data.build().open()
    size = data.size("validation")
    network = trained_network(search, folder, chosen, data)
    order = drawn(size)
    outputs = compute(network, data, order, CHOSEN_SECONDS)
    count = len(outputs.labels)
    _check(outputs, _weights(data, recipe, order[:count]), data.size("validation"), chosen.metrics.get(final(VAL_LOSS)))
    compared, contenders, missing, why = _compare(search, folder, chosen, data, order, outputs)
    probabilities = outputs.logits.double().softmax(1)
    labels, taken = outputs.labels, probabilities.argmax(1)
    classes = data.num_classes
    matrix = torch.bincount(labels * classes + taken, minlength=classes * classes).view(classes, classes)
    calibrated = statistics.calibration(probabilities.numpy(), labels.numpy())
    info = describe(recipe, data)
    packed, float32, times = _exported(network, info)
    return Evaluation(
        trial=chosen.number, samples=count, split=size, classes=data.classes, compared=compared, contenders=contenders,
        missing=missing, not_compared=why, correct=matrix.diagonal().tolist(), total=matrix.sum(1).tolist(),
        confusion=matrix.tolist() if classes <= MOST_CLASSES else None, confused=_pairs(matrix),
        reliability=Reliability(
            counts=calibrated.counts, confidence=calibrated.confidence, accuracy=calibrated.accuracy, error=calibrated.error,
            chance=calibrated.chance,
        ),
        mistakes=worst(data, info, order[:count], probabilities, labels), packed=packed, float32=float32, latencies=times,
        seconds=time.monotonic() - began,
    )  # fmt: skip


def _weights(data: Data, recipe: Recipe, indices: Tensor, metric: str = VAL_LOSS) -> Tensor:
    """How much each validation sample counts in a metric, (n,) float64."""
    given = data.weights("validation")
    found = torch.ones(len(indices), dtype=torch.float64) if given is None else given[indices].double()
    if metric == VAL_LOSS and recipe.loss.class_weight is not None:
        found = found * balanced_weights(data).double()[data.labels("validation")[indices]]
    return found


def _check(outputs: Outputs, weights: Tensor, size: int, tracked: float | None) -> None:
    """See that these are the samples that the trial was validated on.

    Raises:
        UserError: If the loss is another than the tracked one.
    """
    losses = F.cross_entropy(outputs.logits.double(), outputs.labels, reduction="none")
    mean = float((losses * weights).sum() / weights.sum())
    if tracked is None:
        return
    # Of a part of the split the mean is as uncertain as its samples are few.
    part = 0.0 if len(losses) == size else 5 * float(losses.std()) / len(losses) ** 0.5
    if abs(mean - tracked) > OTHER_DATA * tracked + 2 / len(losses) + part:
        raise UserError(
            f"the validation samples here are not those of the search: its loss is {mean:.4f} on them, {tracked:.4f} was tracked"
        )


def _losses(metric: str, outputs: Outputs) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Of each sample what the objective is the mean of, turned so that less is better."""
    if metric == VAL_LOSS:
        return F.cross_entropy(outputs.logits.double(), outputs.labels, reduction="none").numpy()
    most = min(5 if metric == VAL_TOP5 else 1, outputs.logits.shape[1])
    hits = (outputs.logits.topk(most, dim=1).indices == outputs.labels[:, None]).any(1)
    return 100 * (1 - hits.double().numpy())


def _compare(
    search: TrackedSearch, folder: SearchFolder, chosen: TrackedTrial, data: Data, order: Tensor, its: Outputs
) -> tuple[int, list[Contender], list[str], str | None]:
    """Over how many samples which configurations were compared, and which could not be, or why none was."""
    metric = search.objective
    if metric not in (VAL_LOSS, VAL_TOP1, VAL_TOP5):
        return 0, [], [], f"{metric} is no mean over samples"
    recipe = search.search.recipe(chosen.params)
    same = recipe.data.dump()
    group = with_rivals(search)[:CONTENDERS]
    without = zero(search)
    if without is not None and without.number not in [one.number for one in group]:
        group.append(without)
    group = [one for one in group if search.search.recipe(one.trials[0].params).data.dump() == same]
    if len(group) < 2:
        return 0, [], [], "there is no other configuration on the same samples"
    networks = sum(len(one.trials) for one in group) - 1
    count = len(its.labels)
    # Half of the time for what is not computing, and for networks that are larger than the chosen one.
    most = min(count, BATCH * int(OTHERS_SECONDS / 2 / its.batch_seconds / networks))
    if most < min(count, LEAST_COMPARED):
        return 0, [], [], f"{networks} more networks would take more than {OTHERS_SECONDS:g} seconds"
    losses, ends = [], time.monotonic() + OTHERS_SECONDS
    kept: list[Configuration] = []
    missing: list[str] = []
    for one in group:
        per_seed: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
        why = ""
        for trial in one.trials:
            if trial.number == chosen.number:
                per_seed.append(_losses(metric, its)[:most])
                continue
            try:
                network = trained_network(search, folder, trial, data)
            except UserError as error:  # what is left of it is enough for the others
                why = str(error)
                break
            outputs = compute(network, data, order[:most], max(0.0, ends - time.monotonic()))
            if len(outputs.labels) < most:
                why = "it would have taken too long"
                break
            per_seed.append(_losses(metric, outputs))
        if len(per_seed) == len(one.trials):
            losses.append(np.mean(per_seed, axis=0))
            kept.append(one)
        elif one is not group[0]:
            missing.append(f"{one.name} ({why})")
        else:
            return 0, [], [], f"not all checkpoints of {one.name} are here, or they took too long"
    if len(kept) < 2:
        return 0, [], [], "no checkpoint of another configuration is here"
    weights = _weights(data, recipe, order[:most], metric).numpy()
    resampled = statistics.bootstrap(np.stack(losses), weights)
    contenders = [
        Contender(
            number=one.number, name=one.name, mean=_back(metric, resampled.means[k]), first=resampled.first[k],
            behind=resampled.behind[k].mean, low=resampled.behind[k].low, high=resampled.behind[k].high,
        )
        for k, one in enumerate(kept)
    ]  # fmt: skip
    return most, contenders, missing, None


def _back(metric: str, mean: float) -> float:
    """A mean of `_losses` as the metric has it."""
    return mean if metric == VAL_LOSS else 100 - mean


def _pairs(matrix: Tensor) -> list[list[int]]:
    """The pairs of classes that are taken for one another most often, with how often."""
    off = matrix.clone()
    off.fill_diagonal_(0)
    classes = len(matrix)
    counts, places = off.flatten().sort(descending=True, stable=True)
    return [
        [place // classes, place % classes, count]
        for count, place in zip(counts[:PAIRS].tolist(), places[:PAIRS].tolist(), strict=True)
        if count
    ]


def _exported(network: nn.Module, info: ModelInfo) -> tuple[int, int, list[BatchTime]]:
    """Bytes of the packed file and of its numbers in float32, and how long it takes, by torch and by OpenVINO where that can."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        sizes = export_packed(network, info, path)
        packed = path.stat().st_size
        models = _by_engine(path)
    times = [
        BatchTime(
            engine=model.engine, sums=model.sums, batch=batch,
            milliseconds=batch_milliseconds(model, batch, REPEATS, seconds=LATENCY_SECONDS),
        )
        for model in models for batch in BATCHES
    ]  # fmt: skip
    return packed, sum(size.float32 for size in sizes), times


def _by_engine(path: Path) -> list[LoadedModel]:
    """A model file as torch computes it, and as OpenVINO does where it can: with as many threads as when timed."""
    models = [load_model(path, engine="torch")]
    with one_thread(), suppress(UserError):
        models.append(load_model(path, engine="openvino"))
    return models
