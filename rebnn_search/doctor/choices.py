"""What a search would choose where its files say ``auto`` or nothing."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from rebnn_search.base.cores import whole_cores
from rebnn_search.doctor.finding import Finding
from rebnn_search.study.spec import Resources
from rebnn_search.training.distributed import pick_device
from rebnn_search.training.precision import COMPILE_MACS, COMPILE_STEPS, WIDEST_CHANNELS_LAST, Computing
from rebnn_search.training.recipe import Precision
from rebnn_search.training.work import has_compiler, multiplies_bfloat16

AREA = "choices"


def examine_choices() -> Iterator[Finding]:
    """Ask the parts that choose."""
    resources = Resources()
    device = pick_device(None)
    computing = Computing(Precision(), device, COMPILE_STEPS)
    yield Finding(AREA, "device of rebnn-search train", str(device))
    others = "; a GPU each with --set resources.gpus_per_worker=1" if torch.cuda.is_available() else ""
    yield Finding(AREA, "device of a search's trials", f"the CPU{others}")
    at_once = max(1, int(whole_cores() // (resources.cpus_per_worker * resources.workers_per_trial)))
    yield Finding(AREA, "trials at a time", f"{at_once}, of {resources.cpus_per_worker} core each")
    yield Finding(AREA, "precision: auto", "bfloat16 in training, float32 else" if computing.autocast else "float32")
    products = "bfloat16 in long trainings" if device.type == "cpu" and multiplies_bfloat16() else "as all else"
    yield Finding(AREA, "products: auto", products)
    last = computing.memory_format is torch.channels_last
    memory = "channels last" if last else f"channels last up to {WIDEST_CHANNELS_LAST} channels, uncompiled"
    yield Finding(AREA, "memory format: auto", memory)
    long = f"from {COMPILE_MACS:.0e} multiply-accumulates forward" if has_compiler() else "no: there is no C++ compiler"
    yield Finding(AREA, "compile: auto", f"from {COMPILE_STEPS:,} training steps" if computing.compile else long)
