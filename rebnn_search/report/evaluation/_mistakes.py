"""The samples that a network is most wrong about, to be looked at."""

from __future__ import annotations

import base64

import torch
from torch import Tensor
from torch.nn import functional as F

from rebnn_search.export import ModelInfo
from rebnn_search.report.record import Mistake
from rebnn_search.training.data import Data
from rebnn_search.training.data.tables import Preprocessing

MOST = 12
SIDE = 64
"""Pixels: larger pictures are scaled down."""
COLUMNS = 8
"""Of a table's row that are shown."""


def worst(data: Data, info: ModelInfo, indices: Tensor, probabilities: Tensor, labels: Tensor) -> list[Mistake]:
    """The samples taken for another class whose own class was given the least probability, worst first.

    Args:
        data: Of the samples.
        info: Of the network.
        indices: (n,) in the validation split.
        probabilities: (n, classes).
        labels: (n,).
    """
    own = probabilities.gather(1, labels[:, None])[:, 0]
    said, taken = probabilities.max(1)
    wrong = (taken != labels).nonzero()[:, 0]
    picked = wrong[own[wrong].argsort(stable=True)][:MOST]
    if not len(picked):
        return []
    raw, _ = next(iter(data.read("validation", [indices[picked]], torch.device("cpu"))))
    found = []
    for place, sample in zip(picked.tolist(), raw, strict=True):
        is_row = info.image_size == 1
        shape, pixels = ([], "") if is_row else _picture(sample, info)
        found.append(
            Mistake(
                index=int(indices[place]), label=int(labels[place]), predicted=int(taken[place]),
                probability=float(said[place]), own=float(own[place]), shape=shape, pixels=pixels,
                row=_row(sample.flatten(), info.table) if is_row else {},
            )
        )  # fmt: skip
    return found


def _picture(sample: Tensor, info: ModelInfo) -> tuple[list[int], str]:
    picture = sample.float()
    if info.white is not None:
        picture = picture / info.white
    else:  # real numbers of any range
        low, high = picture.min(), picture.max()
        picture = (picture - low) / (high - low).clamp_min(1e-12)
    if len(picture) not in (1, 3):
        picture = picture.mean(0, keepdim=True)
    if picture.shape[-1] > SIDE:
        picture = F.interpolate(picture[None], size=(SIDE, SIDE), mode="area")[0]
    array = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    return list(array.shape), base64.b64encode(array.numpy().tobytes()).decode("ascii")


def _row(features: Tensor, table: Preprocessing | None) -> dict[str, str]:
    """The first columns of a row, from its features."""
    if table is None:
        return {f"feature {index}": f"{value:.4g}" for index, value in enumerate(features[:COLUMNS].tolist())}
    found, place = {}, 0
    for column in table.columns[:COLUMNS]:
        own = features[place : place + column.width]
        place += column.width
        if column.kind == "category":
            hot = int(own.argmax())
            known = hot < len(column.frequent) and bool(own[hot] > 0)
            found[column.name] = (column.frequent[hot] or "(missing)") if known else "(another)"
        elif column.kind == "date":
            parts = zip(column.parts, own.tolist(), strict=False)
            found[column.name] = ", ".join(f"{part} {value:g}" for part, value in parts)
        elif column.marked and bool(own[1] > 0):
            found[column.name] = "(missing)"
        else:
            found[column.name] = f"{float(own[0]):.6g}"
    return found
