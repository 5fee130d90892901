"""What a trial minimises: the labels' cross-entropy, a teacher's, or a share of each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rebnn_search.training.data import Data
from rebnn_search.training.precision import Computing
from rebnn_search.training.recipe import Loss


def distribution_loss(logits: Tensor, teacher_logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of a student's logits (N, classes) with a teacher's softmax, summed over the samples with weights (N,).

    −Σ_n w_n Σ_k softmax(teacher)_nk · log softmax(student)_nk (Shen and Savvides, "MEAL V2", 2020; the loss of the published
    runs, where w is 1).
    """
    return weighted_sum(logits, teacher_logits.softmax(dim=1), weights)


def weighted_sum(logits: Tensor, targets: Tensor, weights: Tensor | None, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of logits (N, classes) with labels (N,) or probabilities (N, classes), summed with weights (N,) or without."""
    if weights is None:
        return F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="sum")
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none") @ weights


def balanced_weights(data: Data) -> Tensor:
    """The weight (classes,) float32 of a sample of each class with which all classes weigh alike: n / (K · n_k).

    Of n training samples n_k are of class k, of K; samples count by their weights, where they have some. Over the training
    samples the mean is 1.
    """
    labels, given = data.labels("train"), data.weights("train")
    counts = torch.bincount(labels, None if given is None else given.double(), minlength=data.num_classes).double()
    found = counts.sum() / (data.num_classes * counts)
    return torch.where(counts > 0, found, 1.0).float()


class BatchLoss:
    """The loss of a batch.

    Args:
        loss: What the recipe wants.
        data: What the teacher must fit.
        computing: How the teacher computes.

    Raises:
        UserError: If the teacher is missing or does not fit the data.
    """

    def __init__(self, loss: Loss, data: Data, computing: Computing) -> None:
        self._smoothing = loss.label_smoothing
        self._label_share = 1.0 if loss.teacher is None else loss.label_share
        self._computing = computing
        self.class_weights = balanced_weights(data).to(computing.device) if loss.class_weight else None
        """(classes,), where they differ."""
        self._teacher: nn.Module | None = None
        if loss.teacher is not None:
            teacher = loss.teacher.build().open(data)
            self._teacher = computing.compiled(computing.placed(teacher))

    def __call__(self, logits: Tensor, images: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the loss summed over the samples, a float32 scalar: (1 − label_share)·teacher's + label_share·labels'.

        Args:
            logits: (N, classes) of the student.
            images: (N, C, H, W), as the student saw them.
            labels: (N,) int64.
            weights: (N,) float32 that multiply the samples' losses, or None.
        """
        logits = logits.float()
        if self.class_weights is not None:
            weights = self.class_weights[labels] if weights is None else weights * self.class_weights[labels]
        total = logits.new_zeros(())
        if self._label_share > 0:
            labels_loss = weighted_sum(logits, labels, weights, self._smoothing)
            total = labels_loss if self._teacher is None else self._label_share * labels_loss
        if self._teacher is not None:
            with torch.no_grad(), self._computing.context():
                wanted = self._teacher(images)
            total = total + (1 - self._label_share) * distribution_loss(logits, wanted.float(), weights)
        return total
