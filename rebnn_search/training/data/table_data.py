"""Opened tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from rebnn_search.training.data.base import Data, Split
from rebnn_search.training.data.resident import ResidentData, Samples
from rebnn_search.training.data.tables import Fitted


class TableData(ResidentData):
    """A table's rows as images of one pixel, whose channels are the features; arguments as of `ResidentData`.

    Args:
        fitted: How its columns became features.
    """

    def __init__(
        self, fitted: Fitted, splits: Mapping[Split, Samples], classes: Sequence[str], mean: Tensor, std: Tensor, repeat: int
    ) -> None:
        super().__init__(splits, classes, mean, std, None, repeat)
        self.fitted = fitted

    def statistics(self) -> dict[str, object]:
        """See `Data.statistics`; and how the columns became features."""
        return {**super().statistics(), "table": self.fitted.preprocessing.model_dump(mode="json")}

    def joined(self) -> Data:
        """Put the validation rows after the training rows; what was fitted to these stays."""
        whole = super().joined()
        assert isinstance(whole, ResidentData)
        splits: dict[Split, Samples] = {name: whole.samples(name) for name in self._splits}
        return TableData(self.fitted, splits, self.classes, self.mean.flatten(), self.std.flatten(), self._repeat)
