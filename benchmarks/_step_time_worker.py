"""One contender of step_time.py: says when it is ready, then takes a turn of steps for every line it reads."""

from __future__ import annotations

import argparse
import collections
import collections.abc
import importlib.util
import json
import platform
import resource
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rebnn_search.method import BinaryConv2d
from rebnn_search.method.networks import NETWORKS
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.data import ResidentData, Samples

CLASSES, SIZE = 10, 32
Turn = Callable[[], float]
"""Takes a turn of steps, returns seconds a step."""


def published_network(folder: Path) -> nn.Module:
    """The published ResNet-18 with a stem for images of 32×32.

    Its two faults that stop it from being imported today are met here: it wants a registry of timm's, and
    ``collections.Iterable``, which Python has called ``collections.abc.Iterable`` alone since 3.10.
    """
    file = next((f for f in (folder / "rebnn.py", folder / "2_step2_rebnn" / "rebnn.py") if f.is_file()), None)
    if file is None:
        raise SystemExit(f"error: --official {folder}: holds neither rebnn.py nor 2_step2_rebnn/rebnn.py")
    registry = types.ModuleType("timm.models.registry")
    registry.register_model = lambda function: function  # type: ignore[attr-defined]
    sys.modules |= {
        "timm": types.ModuleType("timm"),
        "timm.models": types.ModuleType("timm.models"),
        registry.__name__: registry,
    }
    collections.Iterable = collections.abc.Iterable  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("published_rebnn", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: nn.Module = module.rebnn18(num_classes=CLASSES)
    network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    network.maxpool = nn.Identity()
    return network


def published(args: argparse.Namespace, compile_it: bool) -> Turn:
    """The published network in the loop of the published training, less what it prints."""
    network = published_network(args.official).to(args.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    running = torch.compile(network) if compile_it else network
    images = torch.randn(args.batch, 3, SIZE, SIZE, device=args.device)
    labels = torch.randint(CLASSES, (args.batch,), device=args.device)

    def step() -> None:
        loss = F.cross_entropy(running(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return repeated(step, args)


def trainer(args: argparse.Namespace, compile_it: bool, dtype: str = "float32", products: str = "float32") -> Turn:
    """Our trainer: one report a turn, whose speed is that of the training part."""
    count = args.batch * args.steps

    def samples(number: int) -> Samples:
        return Samples(torch.randint(256, (number, 3, SIZE, SIZE), dtype=torch.uint8), torch.randint(CLASSES, (number,)))

    few = samples(8)
    splits = {"train": samples(count), "validation": few, "test": few}
    names = [str(label) for label in range(CLASSES)]
    data = ResidentData(splits, names, torch.full((3,), 128.0), torch.full((3,), 64.0))  # type: ignore[arg-type]
    recipe = Recipe.model_validate(
        {
            "data": {"name": "digits"},  # stands for the data given below
            "network": network_options(args.network),
            "optimizer": {"name": "adam", "lr": 1e-3},
            "schedule": {"name": "constant"},
            "batch_size": args.batch,
            "epochs": 10**6,
            "reports_per_epoch": 1,
            "precision": {"dtype": dtype, "products": products, "compile": compile_it, "channels_last": compile_it},
        }
    )
    run = Trainer(recipe, device=args.device, data=data)
    return lambda: args.batch / run.next_report().metrics["train/images_per_second"]


def network_options(name: str) -> dict[str, Any]:
    """What a recipe says of a network for images of 32×32."""
    return {"name": name, "stem": "cifar"} if name != "resnet20" else {"name": name}


def convolutions(args: argparse.Namespace, dtype: torch.dtype = torch.float32) -> Turn:
    """The binary convolutions' arithmetic alone, forward and backward, in whichever memory format is faster."""
    shapes = convolution_shapes(args.network)
    layouts = torch.channels_last, torch.contiguous_format
    turns = [repeated(convolution_step(args, shapes, layout, dtype), args) for layout in layouts]
    for turn in turns:
        turn()
    return min(turns, key=lambda turn: turn())


def convolution_shapes(name: str) -> list[tuple[BinaryConv2d, tuple[int, ...], tuple[int, ...]]]:
    """The binary convolutions of a network for images of 32×32: layer, and the shapes of a sample and of what becomes of it."""
    options = network_options(name)
    network = NETWORKS[options.pop("name")](in_channels=3, image_size=SIZE, num_classes=CLASSES, **options).eval()
    found: list[tuple[BinaryConv2d, tuple[int, ...], tuple[int, ...]]] = []
    for layer in network.modules():
        if isinstance(layer, BinaryConv2d):
            layer.register_forward_hook(lambda layer, x, y: found.append((layer, x[0].shape[1:], y.shape[1:])))
    with torch.no_grad():
        network(torch.randn(1, 3, SIZE, SIZE))
    return found


def convolution_step(
    args: argparse.Namespace,
    shapes: list[tuple[BinaryConv2d, tuple[int, ...], tuple[int, ...]]],
    layout: torch.memory_format,
    dtype: torch.dtype,
) -> Callable[[], None]:
    """Forward and both gradients of every binary convolution."""

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape).to(args.device, dtype).to(memory_format=layout)

    every = [
        (
            drawn(args.batch, *before).requires_grad_(),
            drawn(*layer.weight.shape).requires_grad_(),
            drawn(args.batch, *after),
            layer.stride,
            layer.padding,
        )
        for layer, before, after in shapes
    ]

    def step() -> None:
        for x, w, g, stride, padding in every:
            torch.autograd.grad(F.conv2d(x, w, None, stride, padding), (x, w), g)

    return step


def repeated(step: Callable[[], None], args: argparse.Namespace) -> Turn:
    """Make a turn of a step."""

    def turn() -> float:
        begun = time.perf_counter()
        for _ in range(args.steps):
            step()
        if args.device.startswith("cuda"):
            torch.cuda.synchronize()
        return (time.perf_counter() - begun) / args.steps

    return turn


MAKERS: dict[str, Callable[[argparse.Namespace], Turn]] = {
    "published": lambda args: published(args, False),
    "published compiled": lambda args: published(args, True),
    "eager": lambda args: trainer(args, False),
    "compiled": lambda args: trainer(args, True),
    "convolutions": convolutions,
    "eager products bfloat16": lambda args: trainer(args, False, products="bfloat16"),
    "compiled products bfloat16": lambda args: trainer(args, True, products="bfloat16"),
    "eager bfloat16": lambda args: trainer(args, False, "bfloat16"),
    "compiled bfloat16": lambda args: trainer(args, True, "bfloat16"),
    "convolutions bfloat16": lambda args: convolutions(args, torch.bfloat16),
}


def peak_mib(device: str) -> float:
    """Most memory used so far: of the device, or of the process (Linux counts KiB, macOS bytes)."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def say(message: dict[str, Any]) -> None:
    """Answer the parent."""
    sys.__stdout__.write(json.dumps(message) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def main() -> None:
    """Serve turns until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contender", choices=MAKERS)
    parser.add_argument("--official", type=Path)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--network", required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    idle = peak_mib(args.device)
    turn = MAKERS[args.contender](args)
    name = torch.cuda.get_device_name() if args.device.startswith("cuda") else platform.processor() or platform.machine()
    say({"torch": torch.__version__, "device": name})
    for _ in sys.stdin:
        seconds = turn()
        say({"seconds": seconds, "peak_mib": peak_mib(args.device) - idle})


if __name__ == "__main__":
    main()
