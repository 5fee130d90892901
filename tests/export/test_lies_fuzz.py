"""Any change of a header under its right checksum, and any flipped byte, is an error or the whole truth: never a wrong answer."""

from __future__ import annotations

import copy
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from model_lies import SOUND, bounded, sound_packed

from rebnn_search.config import UserError, printable
from rebnn_search.export import load_model

ROWS = np.eye(3)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
    | st.sampled_from(["mlp", "resnet20", "csv", "\x1b[2J", "os:system", "layers.0.linear"])
)  # fmt: skip
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
KEYS = (
    st.text(max_size=4)
    | st.sampled_from(["version", "white", "width", "depth", "norm", "name", "features", "layers.0.linear", "x"])
    | st.text(max_size=4)
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*above, key))


HEADER = sound_packed().header
PLACES = list(places(HEADER))[1:]
CHANGE = st.tuples(st.sampled_from(PLACES), JSON, KEYS, st.sampled_from(["put", "add", "drop"]))


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(PLACES), JSON, KEYS, st.sampled_from(["put", "add", "drop"])), min_size=1, max_size=3
    )
)
@example(changes=[(("model", "std", 0), 1e-320, "", "put")])
@example(changes=[(("model", "mean", 1), 1e39, "", "put")])
def test_a_changed_header_is_refused_or_true(changes: list[tuple[tuple[Any, ...], Any, str, str]]) -> None:
    content = sound_packed()
    for place, value, key, how in changes:
        inside: Any = content.header
        try:
            for step in place[:-1]:
                inside = inside[step]
            if how == "put":
                inside[place[-1]] = copy.deepcopy(value)
            elif how == "add":
                inside[place[-1]][key] = copy.deepcopy(value)
            else:
                del inside[place[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        path.write_bytes(content.packed())
        with bounded():
            try:
                model = load_model(path)
            except UserError as error:
                assert str(error).startswith(f"{path}: ")
                assert len(str(error)) < 2000
                assert str(error) == printable(str(error), keep="\n")
                return
    # What was believed is what the file says, and its tensors are all of those that were trained.
    said = json.loads(json.dumps(content.header["model"]))
    assert {key: getattr(model.info, key) for key in said} == said
    expected = load_model(SOUND / "table.safetensors")
    assert model.network is not None and expected.network is not None
    for name, tensor in expected.network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], tensor)
    try:
        assert np.isfinite(model.predict_proba(ROWS)).all()
    except UserError as error:
        assert "no finite numbers" in str(error) or "too far from those" in str(error)


@pytest.mark.parametrize("name", sorted(file.name for file in SOUND.iterdir() if file.suffix != ".json"))
def test_a_flipped_byte_is_refused_or_says_nothing(name: str, tmp_path: Path) -> None:
    """Beside the bytes that a zip or JSON does not use, each flip is caught by the checksum or before it."""
    content = (SOUND / name).read_bytes()
    expected = load_model(SOUND / name)
    raw = np.random.default_rng(0).standard_normal(
        (2, expected.info.channels, expected.info.image_size, expected.info.image_size)
    )
    logits = expected.logits(raw)
    draw = random.Random(name)
    path, unnoticed = tmp_path / "m", 0
    with bounded():
        for _ in range(150):
            changed = bytearray(content)
            for _ in range(draw.choice((1, 1, 1, 2, 8))):
                changed[draw.randrange(len(content))] ^= draw.randrange(1, 256)
            if draw.random() < 0.2:
                begin = draw.randrange(len(content))
                del changed[begin : begin + draw.randrange(1, 64)]
            path.write_bytes(changed)
            try:
                model = load_model(path)
            except UserError as error:
                assert str(error).startswith(f"{path}: ")
                assert str(error) == printable(str(error), keep="\n")
                continue
            unnoticed += 1
            assert model.info == expected.info
            assert torch.equal(model.logits(raw), logits)
    assert unnoticed < (100 if name.endswith(".pt") else 5)  # a torch file of small tensors is mostly padding
