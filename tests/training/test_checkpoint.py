import io
import os
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from support.forked import CONTEXT, begun

from rebnn_search.config import UserError
from rebnn_search.training import CheckpointDirectory
from rebnn_search.training.checkpoint import MAGIC, read_checkpoint


def test_the_newest_is_read_and_two_are_kept(tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path / "c")
    assert directory.latest() is None
    for step in (1, 2, 10):
        directory.save(step, {"value": torch.tensor(float(step)), "names": ["a"], "n": step})
    assert [file.name for file in sorted(directory.path.iterdir())] == ["00000002.pt", "00000010.pt"]
    found = directory.latest()
    assert found is not None
    assert (found[0], float(found[1]["value"]), found[1]["names"], found[1]["n"]) == (10, 10.0, ["a"], 10)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
        lambda content: b"",
        lambda content: b"PK" + content[2:],
    ],
    ids=["half", "one byte short", "one bit flipped", "empty", "other file"],
)
def test_a_damaged_newest_falls_back_with_a_warning(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    directory = CheckpointDirectory(tmp_path)
    directory.save(1, {"n": 1})
    newest = directory.save(2, {"n": 2})
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UserWarning, match=r"00000002\.pt is .*; falling back to the one before"):
        assert directory.latest() == (1, {"n": 1})


def test_damaged_ones_do_not_take_the_place_of_those_that_follow(tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path)
    for step in (20, 25):
        file = directory.save(step, {"n": step})
        file.write_bytes(file.read_bytes()[:-3])
    again = CheckpointDirectory(tmp_path)
    with pytest.warns(UserWarning, match="falling back|there is none before"):
        assert again.latest() is None
    for step in (1, 2, 3):
        again.save(step, {"n": step})
        assert CheckpointDirectory(tmp_path).latest() == (step, {"n": step})
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["00000002.pt", "00000003.pt"]


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors are saved as those of a GPU that no machine has."""
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:63")
        yield


def test_what_a_gpu_wrote_is_read_where_it_is_missing(tmp_path: Path, on_a_gpu: None) -> None:
    for step in (7, 8):
        CheckpointDirectory(tmp_path).save(step, {"x": torch.full((3,), float(step))})
    with pytest.raises(RuntimeError, match="cuda"):
        torch.load(io.BytesIO((tmp_path / "00000008.pt").read_bytes()[len(MAGIC) + 65 :]), weights_only=True)
    directory = CheckpointDirectory(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = directory.latest()
    assert found is not None and found[0] == 8
    assert found[1]["x"].device.type == "cpu" and found[1]["x"].tolist() == [8.0] * 3
    directory.save(9, {})
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["00000008.pt", "00000009.pt"]


def test_a_whole_one_that_cannot_be_loaded_is_kept_and_told(tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path)
    directory.save(1, {"n": 1})
    newest = directory.save(2, {"path": Path("x")})  # nothing plain
    with pytest.raises(UserError, match=r"00000002\.pt .*though its checksum matches"):
        directory.latest()
    directory.save(3, {"n": 3})
    assert newest.exists()


def test_one_that_memory_has_no_room_for_is_no_damaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    directory = CheckpointDirectory(tmp_path)
    directory.save(1, {"n": 1})
    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(MemoryError, match="can't allocate memory"):
        directory.latest()


def test_of_the_only_one_there_is_none_before(tmp_path: Path) -> None:
    (tmp_path / "00000001.pt").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"00000001\.pt is .*; there is none before"):
        assert CheckpointDirectory(tmp_path).latest() is None


def test_loading_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return os.mkdir, (str(tmp_path / "ran"),)

    file = tmp_path / "00000001.pt"
    directory = CheckpointDirectory(tmp_path)
    directory.save(1, {"n": 1})
    import hashlib
    import io

    buffer = io.BytesIO()
    torch.save({"evil": Evil()}, buffer)
    file.write_bytes(MAGIC + hashlib.sha256(buffer.getvalue()).hexdigest().encode() + b"\n" + buffer.getvalue())
    with pytest.raises(ValueError, match="holds more than plain tensors"):
        read_checkpoint(file)
    assert not (tmp_path / "ran").exists()


def save_on_and_on(folder: Path, saved: Connection) -> None:
    directory = CheckpointDirectory(folder)
    for step in range(1, 10**6):
        directory.save(step, {"step": step, "x": torch.full((200_000,), float(step))})
        saved.send(step)


def test_a_kill_at_any_moment_leaves_a_sound_checkpoint(tmp_path: Path) -> None:
    for kills in range(3):
        folder = tmp_path / str(kills)  # a writer that is killed late is far ahead of the next one
        ours, theirs = CONTEXT.Pipe(duplex=False)
        process = begun(save_on_and_on, folder, theirs)
        theirs.close()
        for _ in range(6 + 3 * kills):
            last = ours.recv()
        process.kill()
        process.join()
        found = CheckpointDirectory(folder).latest()
        assert found is not None
        step, state = found
        assert step >= last
        assert state["step"] == step
        assert (state["x"] == step).all()
        CheckpointDirectory(folder).save(step + 1, state)
        assert not list(folder.glob("*.partial"))
