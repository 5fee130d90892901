"""What docs/export.md shows works as it shows it, and its numbers are those that come out."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from rebnn_search.export import ModelInfo, export_packed, export_torch
from rebnn_search.method import NETWORKS
from rebnn_search.training import Trainer

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
TORCH, API = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Trainer, made: Callable[[str, str], tuple[nn.Module, ModelInfo]]
) -> None:
    monkeypatch.chdir(tmp_path)
    export_torch(*made("resnet20", "rebnn"), tmp_path / "model.pt")
    exec(TORCH, {"torch": torch, "NETWORKS": NETWORKS})
    exec(API, {"trainer": trained, "images": torch.zeros(2, 1, 8, 8)})
    assert (tmp_path / "packed.safetensors").exists()


def test_the_sizes_are_right(tmp_path: Path) -> None:
    network = NETWORKS["resnet20"](in_channels=3, num_classes=10, image_size=32)
    info = ModelInfo(
        recipe={"network": {"name": "resnet20"}}, classes=[str(i) for i in range(10)], channels=3, image_size=32,
        mean=[0.1] * 3, std=[0.9] * 3,
    )  # fmt: skip
    rows = export_packed(network, info, tmp_path / "m")
    binary = [row for row in rows if row.binary]
    small, large = sum(row.packed for row in binary), sum(row.float32 for row in binary)
    row = next(line for line in PAGE.splitlines() if line.startswith("| `resnet20`"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:5] == [f"{large:,}", f"{small:,}", f"{large / small:.1f}", f"{sum(row.float32 for row in rows):,}"]
    # A whole recipe and real means are longer than these.
    assert (tmp_path / "m").stat().st_size == pytest.approx(int(cells[5].replace(",", "")), rel=0.02)
