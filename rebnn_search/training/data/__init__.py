"""Datasets by name, opened as splits of normalised batches."""

from rebnn_search.training.data._augment import AUGMENTATIONS, Augmentation
from rebnn_search.training.data._base import DATASETS, Data, Dataset, Split
from rebnn_search.training.data._digits import Digits
from rebnn_search.training.data._resident import ResidentData, Samples

__all__ = ["AUGMENTATIONS", "DATASETS", "Augmentation", "Data", "Dataset", "Digits", "ResidentData", "Samples", "Split"]
