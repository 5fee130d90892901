"""Files that the program's first version wrote load as they did: the same description, the same weights to the bit.

Two trained networks (two epochs of 8×8 digits, a table of three columns), each packed and as a torch file, the second as ONNX too.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rebnn_search.export import export_packed, load_model

FOLDER = Path(__file__).parent / "sound"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


def state_digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("file", sorted(file.name for file in FOLDER.iterdir() if file.suffix != ".json"))
def test_an_old_file_loads_to_the_bit(file: str) -> None:
    model, expected = load_model(FOLDER / file), EXPECTED[Path(file).stem]
    found = model.info.model_dump()
    assert {key: found[key] for key in expected["info"]} == expected["info"]
    if model.network is not None:
        assert state_digest(model.network) == expected["state"]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_formats_of_an_old_network_agree(name: str, tmp_path: Path) -> None:
    packed = load_model(FOLDER / f"{name}.safetensors")
    channels, size = packed.info.channels, packed.info.image_size
    generator = np.random.default_rng(0)
    mean, std = (np.reshape(part, (1, -1, 1, 1)) for part in (packed.info.mean, packed.info.std))
    raw = mean + std * generator.standard_normal((50, channels, size, size))
    logits = packed.logits(raw)
    assert torch.equal(load_model(FOLDER / f"{name}.pt").logits(raw), logits)
    export_packed(packed.network, packed.info, tmp_path / "again")  # type: ignore[arg-type]
    assert torch.equal(load_model(tmp_path / "again").logits(raw), logits)
    if (FOLDER / f"{name}.onnx").exists():  # rounding turns few signs
        near = (load_model(FOLDER / f"{name}.onnx").logits(raw) - logits).abs().amax(1) < 1e-4
        assert near.float().mean() > 0.5
