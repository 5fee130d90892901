"""Time of a network's logits by engine: torch, onnxruntime, and OpenVINO on bits, in int8, in float32 and with real weights.

    python benchmarks/inference.py [--network resnet18 ...] [--batch 1 32] [--threads 1 2] [--rounds 9] [--json]

Each contender runs in its own process; the processes stay, and take turns, so that whatever else the machine does meets all of them
alike. A ratio is that of a contender's time to torch's in the same round; the median of the rounds is shown. Needs
``pip install 'rebnn-search[export,openvino]'``.

The networks have random weights: what time they take does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from _inference_worker import CONTENDERS, work
from torch import nn

from rebnn_search.export import FORMATS, ModelInfo
from rebnn_search.method import NETWORKS

SPAWN = multiprocessing.get_context("spawn")
NETWORKS_HERE: dict[str, tuple[str, dict[str, Any], int, int, int]] = {
    "resnet18": ("resnet18", {"stem": "cifar"}, 3, 32, 10), "resnet20": ("resnet20", {}, 3, 32, 10),
    "digits_resnet": ("digits_resnet", {}, 1, 8, 10), "mlp": ("mlp", {}, 64, 1, 10),
    "resnet34": ("resnet34", {"stem": "imagenet"}, 3, 224, 1000),
}  # fmt: skip
"""Network, options, channels, side of the images and classes by name."""
PACKAGES = ("torch", "onnxruntime", "openvino")


def made(name: str, weights: str) -> tuple[nn.Module, ModelInfo]:
    """A network with random weights whose statistics are those of its own values, and what it says of itself."""
    network_name, options, channels, side, classes = NETWORKS_HERE[name]
    torch.manual_seed(0)
    network = NETWORKS[network_name](in_channels=channels, num_classes=classes, image_size=side, weights=weights, **options)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(4, channels, side, side))
    info = ModelInfo(
        recipe={"network": {"name": network_name, **options}}, classes=[f"class {i}" for i in range(classes)], channels=channels,
        image_size=side, mean=[0.0] * channels, std=[1.0] * channels,
    )  # fmt: skip
    return network.eval(), info


class Worker:
    """One contender in a process of its own, for all networks."""

    def __init__(self, contender: str, threads: int) -> None:
        self.contender = contender
        self._line, other = SPAWN.Pipe()
        self._process = SPAWN.Process(target=work, args=(other, contender, threads), daemon=True)
        self._process.start()
        other.close()

    def turn(self, folder: Path, batch: int, seconds: float) -> tuple[float, list[str]]:
        """Let it compute batches of a network for so many seconds, at least once.

        Returns:
            The milliseconds of one, the median, and OpenVINO's kernels for real layers.
        """
        self._line.send((folder, batch, seconds))
        milliseconds, kernels = self._answer()
        return float(milliseconds), list(kernels)

    def end(self) -> None:
        """Let its process end."""
        self._line.close()
        self._process.join()

    def _answer(self) -> Any:
        try:
            return self._line.recv()
        except EOFError:
            raise SystemExit(f"error: the contender {self.contender!r} ended with code {self._process.exitcode}") from None


def written(name: str, folder: Path) -> dict[str, int]:
    """Write a network in every format, and with real weights; return the files' sizes."""
    folder.mkdir()
    network, info = made(name, "rebnn")
    sizes = {}
    for form in ("packed", "openvino", "torch", "onnx"):
        FORMATS[form]().write(network, info, folder / form)
        sizes[form] = (folder / form).stat().st_size
    FORMATS["torch"]().write(*made(name, "real"), folder / "real")
    return sizes


def measured(workers: list[Worker], folder: Path, batch: int, args: argparse.Namespace) -> dict[str, Any]:
    """The milliseconds of each contender in each round, and the kernels of each."""
    times: dict[str, list[float]] = {worker.contender: [] for worker in workers}
    kernels: dict[str, list[str]] = {}
    for index in range(args.rounds + 1):
        for worker in workers if index % 2 else reversed(workers):
            milliseconds, kernels[worker.contender] = worker.turn(folder, batch, args.seconds)
            if index:  # the first turn warms up
                times[worker.contender].append(milliseconds)
    return {"batch": batch, "ms": times, "kernels": kernels}


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", nargs="+", choices=NETWORKS_HERE, default=["resnet18", "resnet20", "digits_resnet", "mlp"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    parser.add_argument("--only", action="append", choices=CONTENDERS, help="measure this contender; may be repeated")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found: dict[str, Any] = {"load": os.getloadavg(), "networks": {}}
    with tempfile.TemporaryDirectory() as place:
        for name in args.network:
            found["networks"][name] = {"bytes": written(name, Path(place) / name), "rows": []}
        for threads in args.threads:
            workers = [Worker(contender, threads) for contender in args.only or CONTENDERS]
            for name in args.network:
                for batch in args.batch:
                    row = measured(workers, Path(place) / name, batch, args)
                    found["networks"][name]["rows"].append({"threads": threads, **row})
            for worker in workers:
                worker.end()
    print(json.dumps(found) if args.json else table(found, args))
    return 0


def table(found: dict[str, Any], args: argparse.Namespace) -> str:
    """The result as Markdown."""
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    lines = [
        f"{args.rounds} rounds of {args.seconds:g} s a contender, {os.cpu_count()} cores, {platform.machine()}, {versions}, Python"
        f" {platform.python_version()}; load average {found['load'][0]:.1f} at the start."
    ]
    for name, network in found["networks"].items():
        sizes = ", ".join(f"{form} {size:,}" for form, size in network["bytes"].items())
        kinds = {kind for row in network["rows"] for kind in row["kernels"].get("openvino int8", [])}
        lines += ["", f"`{name}`, bytes: {sizes}; int8 by {', '.join(sorted(kinds))}", "", "| | " + " | ".join(
            f"batch {row['batch']}, {row['threads']} thread{'s' * (row['threads'] > 1)}" for row in network["rows"]
        ) + " |", "|---|" + "---|" * len(network["rows"])]  # fmt: skip
        for contender in network["rows"][0]["ms"]:
            cells = [cell(row["ms"], contender) for row in network["rows"]]
            lines.append(f"| {contender} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(times: dict[str, list[float]], contender: str) -> str:
    """Milliseconds, median [least, greatest], and how many times faster than torch, the median of the rounds' ratios."""
    own = times[contender]
    said = f"{statistics.median(own):.3g} [{min(own):.3g}, {max(own):.3g}]"
    if contender == "torch" or "torch" not in times:
        return said
    return f"{said}, {statistics.median(a / b for a, b in zip(times['torch'], own, strict=True)):.2f}×"


if __name__ == "__main__":
    sys.exit(main())
