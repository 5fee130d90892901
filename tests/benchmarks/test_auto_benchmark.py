"""The benchmark of `rebnn_search.auto`: what it writes, and that it goes on where it was."""

import importlib
import io
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rebnn_search.auto._look import look_at
from rebnn_search.auto.source import Source

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("auto", "auto_data"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("auto")


def test_each_data_set_can_be_looked_at_and_is_another_by_another_seed(benchmark: Any, tmp_path: Path) -> None:
    archive = tmp_path / "images.tar"
    with tarfile.open(archive, "w") as tar:
        for split in ("train", "test"):
            for index in range(12):
                buffer = io.BytesIO()
                Image.fromarray(np.full((8, 8, 3), 20 * index, dtype=np.uint8)).save(buffer, "PNG")
                info = tarfile.TarInfo(f"{split}/{'ab'[index % 2]}/{index}.png")
                info.size = buffer.tell()
                buffer.seek(0)
                tar.addfile(info, buffer)
    found = benchmark.sources(archive)
    assert list(found) == ["wine", "loans", "sensors", "shops", "pictures"]
    classes = {"wine": 3, "loans": 2, "sensors": 5, "shops": 3, "pictures": 2}
    for name, source in found.items():
        (tmp_path / name).mkdir()
        path = source.write(tmp_path / name, 0)
        look = look_at(Source(path, source.options[1] if source.options else None))
        assert look.open(**({"image_size": 8} if look.images else {})).num_classes == classes[name]
        assert look.images is (name == "pictures")
        if not look.images:
            (tmp_path / f"{name}1").mkdir()
            again, other = (
                source.write(tmp_path / f"{name}1", 0).read_text(),
                source.write(tmp_path / f"{name}1", 1).read_text(),
            )
            assert path.read_text() == again != other
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 12


def test_what_is_done_is_not_done_again(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, str, int]] = []

    def run(name: str, source: Any, preset: str, repeat: int, limit: str) -> dict[str, Any]:
        asked.append((name, preset, repeat))
        row = {"data": name, "preset": preset, "repeat": repeat, "time": limit, "seconds": 50.0 + repeat}
        if len(asked) == 2:
            return {**row, "error": ["it failed"]}
        others = {"logistic regression": 80.0 + repeat, "gradient boosting": None if repeat else 90.0}
        return {
            **row,
            "top1": 85.0 + 2 * repeat,
            "balanced": 84.0,
            "others": others,
            "distilled": None,
            "bytes": 5000,
            "latency_ms": 0.5,
        }

    monkeypatch.setattr(benchmark, "run", run)
    out = tmp_path / "r.jsonl"
    words = ["--time", "1m", "--repeats", "2", "--data", "wine", "--presets", "fast", "balanced", "--out", str(out)]
    benchmark.main(words)
    assert asked == [("wine", "fast", 0), ("wine", "balanced", 0), ("wine", "fast", 1), ("wine", "balanced", 1)]
    with out.open("a", encoding="utf-8") as file:
        file.write('{"data": "wine", "pres')  # killed while it wrote
    benchmark.main(words)
    assert asked[4:] == [("wine", "balanced", 0)]  # what failed is tried again
    capsys.readouterr()
    benchmark.main(["--out", str(out), "--table"])
    printed = capsys.readouterr().out
    assert (
        "| wine | fast | 1m | 2 | 86.00 ± 1.41 | 84.00 ± 0.00 | 80.50 ± 0.71 | 90.00 (n = 1) | - | 5.00 ± 0.00 | 0.50 ± 0.00 | 51 |"
        in printed
    )
    assert len(asked) == 5
    assert len(out.read_text().splitlines()) == 6  # the cut one, and each row on a line of its own
