"""What was found where a recipe's data are read: a line for the user, and what tells whether two machines found the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from rebnn_search.base.errors import UserError
from rebnn_search.training.data.base import SPLITS, Data


class OtherDataError(UserError):
    """A training would go on with other data than it began with: with other splits, it might be tested on what it was trained on.

    Whoever has them must decide, for nothing is lost yet.
    """


@dataclass(frozen=True)
class DataFacts:
    """Data as they were opened.

    Attributes:
        text: Classes and the sizes of the splits, in words.
        digest: Of the classes, the images' shape and every split's labels in their order; not of the samples themselves.
        left_out: What was left out, in words; None where nothing was.
    """

    text: str
    digest: str
    left_out: str | None = None

    def check(self, known: Mapping[str, str] | None) -> None:
        """See that a training that goes on is given the data that it began with.

        Args:
            known: ``text`` and ``digest`` of those; None of a checkpoint that does not hold them, as of earlier versions.

        Raises:
            OtherDataError: If they are others.
        """
        if known is None or known["digest"] == self.digest:
            return
        now = self.text if self.text != known["text"] else "as many samples, with other labels or in another order"
        raise OtherDataError(
            f"the data are not those that this training began with: {known['text']} then, {now} now; bring those back, or begin anew"
        )


def facts_of(data: Data) -> DataFacts:
    """What is to be told of opened data."""
    digest = hashlib.sha256(repr((data.classes, data.channels, data.image_size)).encode())
    for split in SPLITS:
        digest.update(split.encode() + data.labels(split).numpy().tobytes())
    return DataFacts(describe_classes(data), digest.hexdigest()[:16], data.left_out)


def describe_classes(data: Data) -> str:
    """Numbers and balance, in words."""
    counts = torch.bincount(data.labels("train"), minlength=data.num_classes)
    train, validation, test = (len(data.labels(split)) for split in SPLITS)
    sizes = f"{train:,} to train on, {validation:,} to validate on, {test:,} to test"
    most, least = int(counts.argmax()), int(counts.argmin())
    shares = [f"{100 * int(counts[k]) / int(counts.sum()):.1f} %" for k in (most, least)]
    if counts[most] == counts[least]:
        return f"{data.num_classes} classes, {sizes}; each class {shares[0]}"
    largest, smallest = (f"{data.classes[k]!r} {share}" for k, share in zip((most, least), shares, strict=True))
    return f"{data.num_classes} classes, {sizes}; largest {largest}, smallest {smallest}"
