"""Binary networks by name."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.method.networks._digits import DigitsResNet
from rebnn_search.method.networks._mlp import MLP
from rebnn_search.method.networks._resnet import ResNet18, ResNet20, ResNet34
from rebnn_search.method.networks.base import CONTEXT, NETWORKS, BinaryUnit

__all__ = ["CONTEXT", "MLP", "NETWORKS", "BinaryUnit", "DigitsResNet", "ResNet18", "ResNet20", "ResNet34"]

import_modules(__name__)
