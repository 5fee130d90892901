"""Datasets by name, opened as splits of normalised batches."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.training.data._arrays import Arrays, from_arrays
from rebnn_search.training.data._cifar import Cifar10, Cifar100
from rebnn_search.training.data._csv import Csv
from rebnn_search.training.data._digits import Digits
from rebnn_search.training.data._folder import ImageFolder, ImageNet
from rebnn_search.training.data.augmentations import AUGMENTATIONS, Augmentation
from rebnn_search.training.data.base import DATASETS, Data, Dataset, Split
from rebnn_search.training.data.resident import ResidentData, Samples

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "Arrays",
    "Augmentation",
    "Cifar10",
    "Cifar100",
    "Csv",
    "Data",
    "Dataset",
    "Digits",
    "ImageFolder",
    "ImageNet",
    "ResidentData",
    "Samples",
    "Split",
    "from_arrays",
]

import_modules(__name__)
