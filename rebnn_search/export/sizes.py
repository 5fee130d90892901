"""What packing saves, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table
from torch import Tensor

REST = "norms, shifts, slopes"


@dataclass(frozen=True)
class LayerSize:
    """One row of the table of sizes.

    Attributes:
        name: Of the layer; `REST` stands for all tensors of less than two dimensions.
        shape: Of its weights.
        float32: Bytes in float32, a binary layer's scaling factors folded into its weights.
        packed: Bytes in the packed file, scaling factors included.
        binary: Whether its weights are one bit each.
    """

    name: str
    shape: tuple[int, ...]
    float32: int
    packed: int
    binary: bool

    @property
    def ratio(self) -> float:
        """How many times smaller it is packed."""
        return self.float32 / self.packed


def layer_sizes(tensors: Mapping[str, Tensor], packed: Mapping[str, Mapping[str, Tensor]]) -> list[LayerSize]:
    """The rows of a folded state, given the packed parts of its binary layers by the names of their weights."""
    rows, rest = [], 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        layer = name.removesuffix(".weight")
        if name in packed:
            small = sum(part.numel() * part.element_size() for part in packed[name].values())
            rows.append(LayerSize(layer, tuple(tensor.shape), size, small, True))
        elif tensor.dim() >= 2 and name.endswith("weight"):
            rows.append(LayerSize(layer, tuple(tensor.shape), size, size, False))
        else:
            rest += size
    return [*rows, LayerSize(REST, (), rest, rest, False)] if rest else rows


def size_table(rows: Sequence[LayerSize]) -> Table:
    """The rows, the total of the binary layers and that of all."""
    table = Table(box=None, padding=(0, 1))
    for name in ("layer", "shape", "float32 bytes", "packed bytes", "ratio"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    binary = [row for row in rows if row.binary]
    for row in [*rows, _total("all binary layers", binary), _total("total", rows)]:
        if row.packed:
            shape = "×".join(map(str, row.shape))
            table.add_row(escape(row.name), shape, f"{row.float32:,}", f"{row.packed:,}", f"{row.ratio:.1f}")
    return table


def _total(name: str, rows: Sequence[LayerSize]) -> LayerSize:
    return LayerSize(name, (), sum(row.float32 for row in rows), sum(row.packed for row in rows), False)
