"""Makes model files that lie: a sound file's header and tensors changed, and sealed again with the checksum that fits."""

from __future__ import annotations

import copy
import functools
import hashlib
import io
import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor

from rebnn_search.config import exit_on_user_error
from rebnn_search.predict import main

SOUND = Path(__file__).parent / "sound"
KEY = "rebnn_search"
LAYER = "layers.0.linear"
WEIGHT = f"{LAYER}.weight"
MISSING = Ellipsis
NESTED_DEEP: Any = None
for _ in range(400):
    NESTED_DEEP = [NESTED_DEEP]
NUMBER = {"kind": "number", "name": "age", "decimal": ".", "fill": 0.0, "marked": False}
ROOM = 2**30
"""Bytes that reading a file of some kilobytes may reserve; what is needed is far less, what a lie asks for far more."""


@dataclass
class Content:
    """What is in a model file.

    Attributes:
        header: The JSON, its checksum left out unless a lie is about it.
        tensors: By name.
        text: The header's text, in place of the JSON's.
    """

    header: Any
    tensors: dict[str, Any]
    text: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def put(self, place: str, value: Any) -> None:
        """Change or remove one thing in the header; a layer's name holds dots, so slashes part the keys."""
        *above, last = place.split("/")
        inside = self.header
        for key in above:
            inside = inside[key]
        if value is MISSING:
            inside.pop(last, None)
        else:
            inside[last] = value

    def sealed(self) -> str:
        if self.text is not None:
            return self.text
        if not isinstance(self.header, dict) or "sha256" in self.header:
            return json.dumps(self.header, sort_keys=True)
        return dumps({**self.header, "sha256": checksum(dumps(self.header), self.tensors)})

    def packed(self) -> bytes:
        return save(self.tensors, {KEY: self.sealed(), **self.metadata})

    def torch(self) -> bytes:
        buffer = io.BytesIO()
        torch.save({KEY: self.sealed(), "network": self.tensors}, buffer)
        return buffer.getvalue()


def dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def checksum(body: str, tensors: dict[str, Any]) -> str:
    """The checksum as docs and sound files have it; of what has none, any."""
    digest = hashlib.sha256(body.encode(errors="surrogatepass"))
    try:
        for name in sorted(tensors):
            tensor = tensors[name]
            digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    except (RuntimeError, TypeError, AttributeError, NotImplementedError):
        return "0" * 64
    return digest.hexdigest()


def sound_packed() -> Content:
    """What is in the packed sound file of a table's network."""
    return copy.deepcopy(_sound_packed())


def sound_torch() -> Content:
    """What is in the torch one."""
    return copy.deepcopy(_sound_torch())


@functools.cache
def _sound_packed() -> Content:
    with safe_open(SOUND / "table.safetensors", "pt") as file:
        header = json.loads(file.metadata()[KEY])
    del header["sha256"]
    return Content(header, load((SOUND / "table.safetensors").read_bytes()))


@functools.cache
def _sound_torch() -> Content:
    found = torch.load(SOUND / "table.pt", weights_only=True)
    header = json.loads(found[KEY])
    del header["sha256"]
    return Content(header, found["network"])


HEADER_PLACES = (
    "version", "sha256", "model", "binary", f"binary/{LAYER}", "model/recipe", "model/recipe/network", "model/recipe/network/name",
    "model/recipe/network/width", "model/recipe/network/depth", "model/recipe/data", "model/recipe/data/name",
    "model/recipe/data/label", "model/recipe/data/features", "model/classes", "model/channels", "model/image_size", "model/mean",
    "model/std", "model/white", "model/crop_pct", "model/table", "model/temperature",
    "model/unknown",
)  # fmt: skip
VALUES: dict[str, Any] = {
    "missing": MISSING, "null": None, "true": True, "text": "text", "empty text": "", "zero": 0, "negative": -1, "one": 1,
    "float": 2.5, "huge": 10**12, "endless": 10**400, "nan": float("nan"), "inf": float("inf"), "empty list": [],
    "empty mapping": {}, "list of null": [None], "list of one": [1], "list of texts": ["a", "b", "c"],
    "list of nan": [float("nan")] * 3,
    "list of inf": [float("inf")] * 3, "list of zeros": [0.0] * 3, "list of negatives": [-1.0] * 3, "short": [1.0, 2.0],
    "long": [1.0] * 4, "nested": {"a": {"b": [{}]}}, "nested deep": NESTED_DEEP, "zero shape": [8, 0], "negative shape": [8, -8],
    "huge shape": [2**40, 2**40, 2**40], "turned shape": [64], "cut shape": [8], "own code": {"name": "os:system"},
}  # fmt: skip
TRUE = {
    *((place, kind) for place in ("model/recipe/data", "model/recipe/data/name", "model/recipe/data/label", "model/white",
                                  "model/recipe/data/features", "model/unknown") for kind in ("missing",)),
    *(("model/white", kind) for kind in ("null", "one", "float", "huge")),
    *(("model/recipe/data/name", kind) for kind in ("text", "empty text")),
    *(("model/recipe/data/label", kind) for kind in ("null", "text", "empty text")),
    *(("model/recipe/data/features", kind) for kind in ("null", "empty list", "list of texts")),
    *(("model/recipe/data", kind) for kind in ("empty mapping", "nested")),
    ("model/recipe/data", "own code"),
    ("model/recipe/network/depth", "one"), ("model/image_size", "one"), ("version", "one"),
    ("model/classes", "list of texts"), ("model/mean", "list of zeros"), ("sha256", "missing"),
    ("model/temperature", "missing"), ("model/temperature", "one"), ("model/temperature", "float"),
    ("model/table", "missing"), ("model/table", "null"), ("model/crop_pct", "missing"), ("model/crop_pct", "one"),
    ("model/mean", "huge shape"), ("model/std", "huge shape"), ("model/mean", "list of negatives"),
}  # fmt: skip
"""What is another truth, or none of a file's business."""


def header_lies(place: str) -> Iterator[tuple[str, Callable[[Content], None]]]:
    """A place of the header with each value that is a lie there."""
    for kind, value in VALUES.items():
        if (place, kind) not in TRUE:
            yield kind, lambda content, value=value: content.put(place, copy.deepcopy(value))


def _set(place: str, value: Any) -> Callable[[Content], None]:
    return lambda content: content.put(place, value)


def _text(make: Callable[[str], str]) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        content.text = make(content.sealed())

    return change


HEADER_CHANGES: dict[str, Callable[[Content], None]] = {
    "classes of numbers": _set("model/classes", [1, 2, 3]),
    "classes too few": _set("model/classes", ["a", "b"]),
    "classes too many": _set("model/classes", [str(i) for i in range(10**5)]),
    "classes half a surrogate": _text(lambda text: text.replace('"ant"', r'"\ud800"')),
    "std tiny": _set("model/std", [5e-324, 0.0, 1.0]),
    "crop of a speck": _set("model/crop_pct", 1e-9),
    "a table of other width": _set("model/table", {"columns": [NUMBER]}),
    "a table of no columns": _set("model/table", {"columns": []}),
    "a table of one column thrice": _set("model/table", {"columns": [NUMBER] * 3}),
    "a table of an unknown kind": _set("model/table", {"columns": [{**NUMBER, "kind": "\x1b[2J"}] * 3}),
    "a table filled with text": _set("model/table", {"columns": [{**NUMBER, "fill": "\x1b[2J"}]}),
    "std of texts": _set("model/std", ["1", "1", "1"]),
    "std of lists": _set("model/std", [[1.0], [1.0], [1.0]]),
    "channels with their statistics": lambda content: content.header["model"].update(
        channels=10**5, mean=[0.0] * 10**5, std=[1.0] * 10**5
    ),
    "width huge": _set("model/recipe/network", {"name": "mlp", "width": 10**8, "depth": 1}),
    "width overflows": _set("model/recipe/network", {"name": "mlp", "width": 10**30, "depth": 1}),
    "depth huge": _set("model/recipe/network", {"name": "mlp", "width": 1, "depth": 10**9}),
    "another network": _set("model/recipe/network", {"name": "resnet34"}),
    "an unknown network": _set("model/recipe/network", "\x1b[31mmlp"),
    "an unknown option": _set("model/recipe/network", {"name": "mlp", "\x1b]0;owned\x07": 1}),
    "many unknown keys": lambda content: content.header["model"].update({f"k{i}" * 200: i for i in range(1000)}),
    "a layer that is not there": _set("binary", {"\x1b[2Jlayer": [8, 8]}),
    "a real layer called binary": _set("binary", {LAYER: [8, 8], "stem.0": [8, 3]}),
    "shape turned": _set(f"binary/{LAYER}", [4, 16]),
    "shape of floats": _set(f"binary/{LAYER}", [8.0, 8.0]),
    "shape of trues": _set(f"binary/{LAYER}", [True, True]),
    "shape of many": _set(f"binary/{LAYER}", [1] * 10**5),
    "no JSON": _text(lambda text: text[:-1]),
    "empty text": _text(lambda text: ""),
    "a list": _text(lambda text: f"[{text}]"),
    "brackets": _text(lambda text: "[" * 100_000 + "]" * 100_000),
    "mappings": _text(lambda text: '{"a":' * 100_000 + "1" + "}" * 100_000),
    "a key twice": _text(lambda text: text.replace('"version": 1', '"version": 1, "version": 1')),
    "a number of digits": _text(lambda text: text.replace('"version": 1', f'"version": 1{"0" * 5000}')),
    "a number too large": _text(lambda text: text.replace('"white": null', '"white": 1e999')),
    "a long text": _text(lambda text: text[:-1] + " " * (2**25 + 1) + "}"),
    "no digest": _text(lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "sha256"})),
    "digest not of hex": _set("sha256", "x" * 64),
    "digest of another": _set("sha256", "0" * 64),
}  # fmt: skip


def tensor_lies(content: Content) -> Iterator[tuple[str, Callable[[Content], None]]]:
    """Each tensor missing, and of each wrong shape, type and value."""

    def changed(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Content], None]:
        def apply(content: Content) -> None:
            content.tensors[name] = change(content.tensors[name].clone())

        return apply

    for name, tensor in content.tensors.items():
        yield f"{name} missing", lambda content, name=name: content.tensors.pop(name)
        shapes: dict[str, Callable[[Tensor], Tensor]] = {
            "empty": lambda t: t.new_empty(0), "long": lambda t: torch.cat([t.reshape(-1), t.reshape(-1)[:1]]),
            "deeper": lambda t: t[None], "of no elements": lambda t: t.new_empty(0, *t.shape),
        }  # fmt: skip
        if tensor.dim():
            shapes["short"] = lambda t: t[:-1].clone()
            shapes["scalar"] = lambda t: t.reshape(-1)[0].clone()
        if tensor.dim() > 1:
            shapes["flat"] = lambda t: t.flatten()
        types = (torch.float64, torch.float16, torch.bool, torch.uint8, torch.int64, torch.int8, torch.float32)
        values: dict[str, Callable[[Tensor], Tensor]] = {
            f"of {dtype}": lambda t, dtype=dtype: t.to(dtype) for dtype in types if dtype != tensor.dtype
        }  # fmt: skip
        if tensor.is_floating_point():
            for value in ("nan", "inf", "-inf"):
                values[f"with {value}"] = lambda t, value=value: _with(t, float(value))
        if name.endswith(("running_var", ".scale")):
            values["negative"] = lambda t: _with(t, -1.0)
        for kind, change in (shapes | values).items():
            yield f"{name} {kind}", changed(name, change)
    yield "one tensor more", lambda content: content.tensors.update({"\x1b[31mmore": torch.zeros(1)})
    yield "many tensors more", lambda content: content.tensors.update({f"{i}": torch.zeros(1) for i in range(300)})
    yield "no tensors", lambda content: content.tensors.clear()


def _with(tensor: Tensor, value: float) -> Tensor:
    tensor.view(-1)[-1] = value
    return tensor


@contextmanager
def bounded(room: int = ROOM) -> Iterator[None]:
    """Let this process reserve little more memory than it has: who asks for more fails."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def refusal(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Call predict on a file, as its command does, and return what it says: one error that names the file, in bounded memory."""
    rows = path.with_name("rows.npy")
    if not rows.exists():
        np.save(rows, np.zeros((2, 3)))
    capsys.readouterr()
    with bounded(), pytest.raises(SystemExit) as left:
        exit_on_user_error(lambda: main([str(path), str(rows)]))
    said = capsys.readouterr()
    assert left.value.code == 2, said
    assert said.out == ""
    assert said.err.startswith(f"error: {path}: "), said.err
    assert all(line.isprintable() for line in said.err.splitlines()), said.err
    assert len(said.err) < 2000 and len(said.err.splitlines()) < 6, said.err
    return said.err
