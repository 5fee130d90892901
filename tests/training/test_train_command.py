"""``python -m rebnn_search.train``: what it prints, keeps and refuses, and that stopping it costs nothing."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from rich.console import Console
from support.forked import Forked, forked
from support.once import Once

from rebnn_search.cli.train import _say_how_to_resume, parser
from rebnn_search.config import UserError
from rebnn_search.train import main
from rebnn_search.training import CheckpointDirectory

DIGITS = str(Path(__file__).parents[2] / "trials" / "digits.yaml")
TINY = ["--set", "network.width=4", "--set", "epochs=2", "--set", "batch_size=256", "--set", "reports_per_epoch=2"]


def lines(folder: Path) -> list[dict[str, Any]]:
    file = folder / "reports.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def without_speed(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def kept(report: dict[str, Any]) -> dict[str, Any]:
        metrics = {k: v for k, v in report["metrics"].items() if k != "train/images_per_second"}
        return {**report, "metrics": metrics, "timestamp": 0}

    return [kept(report) for report in reports]


def test_json_is_one_object_on_stdout(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([DIGITS, *TINY, "--json", "--test", "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["reports"] == 4
    assert result["recipe"]["network"]["width"] == 4
    assert result["diverged"] is None
    assert set(result["test"]) == {"loss", "top1", "top5"}
    found = lines(tmp_path / "out")
    assert [(line["step"], line["epoch"]) for line in found] == [(1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0)]
    assert found[-1]["metrics"] == result["metrics"]
    # Finished: resuming it trains nothing and says the same.
    assert main([DIGITS, *TINY, "--json", "--out", str(tmp_path / "out"), "--resume"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["metrics"] == result["metrics"]
    assert again["test"] is None


def test_a_test_loss_that_is_no_number_is_null(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    generator, labels = np.random.default_rng(0), np.arange(60) % 3
    samples = (1e-3 * generator.normal(size=(60, 1, 4, 4))).astype(np.float32)
    far = np.full((6, 1, 4, 4), 3e38, dtype=np.float32)
    np.savez(tmp_path / "far.npz", X=samples, y=labels, X_test=far, y_test=labels[:6])
    data = f"data={{name: arrays, path: '{tmp_path / 'far.npz'}'}}"
    settings = (data, "network={name: mlp, width: 8}", "epochs=1", "batch_size=12", "reports_per_epoch=1")
    assert main([DIGITS, *(word for one in settings for word in ("--set", one)), "--json", "--test"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["test"]["loss"] is None and result["metrics"]["val/loss"] is not None


def test_a_pipe_gets_plain_lines_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert main([DIGITS, *TINY, "--set", "stage_one={epochs: 1, lr: 1e-2}"]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    spoken = [line for line in printed.splitlines() if "val loss" in line and "Top-1" in line]
    assert [line.split("  ")[0] for line in spoken[:3]] == ["stage one, epoch 1", "epoch 1", "epoch 2"]
    assert printed.splitlines()[-1].split()[0] == "2.00"
    assert "test:" not in printed
    assert printed.startswith("data: 10 classes, ")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_the_command_to_resume_is_printed_as_it_must_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    words = [DIGITS, "--out", "runs/[/old]", "--set", "data.features=[age, x]"]
    _say_how_to_resume(parser().parse_args(words), Console())
    printed = shlex.split(capsys.readouterr().out.splitlines()[1])
    assert printed[-6:] == [DIGITS, "--out", "runs/[/old]", "--resume", "--set", "data.features=[age, x]"]


def test_a_longer_training_s_table_stays_short() -> None:
    from rebnn_search.cli._training import TABLE_ROWS, epochs_table
    from rebnn_search.training import Report

    metrics = dict.fromkeys(
        ["train/loss", "val/loss", "val/top1", "val/top5", "oscillation/mean/flip_ratio", "train/images_per_second"], 1.0
    )
    for epochs in (0, 1, 20, 21, 256):
        table = epochs_table([Report(i, i / 4, i, metrics) for i in range(1, 4 * epochs + 1)])
        assert table.row_count <= TABLE_ROWS
        assert table.row_count >= min(epochs, TABLE_ROWS // 2)
        if epochs:
            assert list(table.columns[0].cells)[-1] == f"{epochs}.00"


def test_divergence_is_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    diverging = ["--set", "network={name: mlp, width: 4, norm: false}", "--set", "optimizer={name: sgd, lr: 1e30}"]
    assert main([DIGITS, *TINY, *diverging, "--json"]) == 1
    captured = capsys.readouterr()
    assert "diverged: " in captured.err
    assert "iteration" in json.loads(captured.out)["diverged"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.yaml"], "absent.yaml: no such file"),
        ([DIGITS, "--set", "optimizer.lr=-1"], r"lr must be finite and > 0, not -1"),
        ([DIGITS, "--set", "epoch=1"], r"did you mean 'epochs'"),
        ([DIGITS, "--set", "network.width=0"], "width must be at least 1 and depth within 1 and 1000, not 0 and 1"),
        ([DIGITS, "--device", "abacus"], r"device 'abacus': cannot be used here"),
        ([DIGITS, "--device", "cuda:99"], r"device 'cuda:99': cannot be used here"),
        ([DIGITS, "--resume"], "--resume needs --out"),
        ([DIGITS, "--out", "{tmp}/none", "--resume"], r"holds no training to go on with"),
        ([DIGITS, *TINY, "--out", "{tmp}/file"], r"file: cannot be written"),
    ],
)
def test_a_mistake_is_one_message(tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=message):
        main([word.replace("{tmp}", str(tmp_path)) for word in words])


def test_a_mistake_leaves_with_2_and_no_traceback() -> None:
    done = forked("train", DIGITS, "--set", "weights=real", cwd=Path.cwd())
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: --set weights=real: weights = 'real': no such weight binarizer; valid are ")
    assert len(done.stderr.splitlines()) == 1


def test_another_recipe_is_not_resumed_nor_a_training_overwritten(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main([DIGITS, *TINY, *out]) == 0
    before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    with pytest.raises(UserError, match="already holds a training: add --resume"):
        main([DIGITS, *TINY, *out])
    with pytest.raises(UserError, match=r"the recipe is no longer the one in .*: optimizer, seed changed"):
        main([DIGITS, *TINY, *out, "--resume", "--set", "seed=3", "--set", "optimizer.lr=1e-4"])
    assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()} == before


def test_a_training_that_ended_before_its_first_report_is_resumed(tmp_path: Path) -> None:
    (tmp_path / "out" / "checkpoints").mkdir(parents=True)
    out = ["--out", str(tmp_path / "out")]
    assert main([DIGITS, *TINY, *out]) == 0  # nothing of a training was there
    for file in (tmp_path / "out" / "checkpoints").iterdir():
        file.unlink()
    expected = without_speed(lines(tmp_path / "out"))
    assert main([DIGITS, *TINY, *out, "--resume"]) == 0
    assert without_speed(lines(tmp_path / "out")) == expected


def interrupt(folder: Path, number: int, words: list[str], after: str, times: int = 1) -> subprocess.CompletedProcess[str]:
    """Start the command, send it a signal when a line begins so, return how it ended."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    process = Forked("train", *words, "--out", str(folder), cwd=Path.cwd(), env=env, apart=True)
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith(after):
            break
    for _ in range(times):
        process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(words, process.returncode, "".join(seen) + out, err)


STAGED = [DIGITS, *TINY, "--set", "epochs=15", "--set", "stage_one={epochs: 10, lr: 1e-2}", "--set", "batch_size=64"]


@pytest.fixture(scope="module")
def whole(once: Once) -> list[dict[str, Any]]:
    """The reports of an uninterrupted training."""

    def train(folder: Path) -> None:
        assert main([*STAGED, "--out", str(folder / "out")]) == 0

    return without_speed(lines(once("trained_whole", train) / "out"))


@pytest.mark.parametrize(
    ("number", "after"), [(signal.SIGINT, "epoch 2 "), (signal.SIGKILL, "epoch 3 "), (signal.SIGTERM, "stage one, epoch 2")]
)
def test_stopped_and_resumed_is_uninterrupted(tmp_path: Path, number: int, after: str, whole: list[dict[str, Any]]) -> None:
    stopped = interrupt(tmp_path / "stopped", number, STAGED, after)
    assert "Traceback" not in stopped.stderr
    if number == signal.SIGKILL:
        assert stopped.returncode == -signal.SIGKILL
        resumed = [*STAGED, "--out", str(tmp_path / "stopped"), "--resume"]
    else:
        assert stopped.returncode == 130
        printed = shlex.split(stopped.stdout.partition("continue with\n")[2])
        resumed = printed[printed.index("rebnn_search.train") + 1 :]
        # A recipe path relative to the directory it was called in is right there alone; this one is absolute.
        assert resumed[0] == DIGITS
    there = sorted((tmp_path / "stopped" / "stage_one").glob("*/*.pt"))
    assert there
    if "stage one" in after:
        assert CheckpointDirectory(tmp_path / "stopped" / "checkpoints").latest() is None
        assert int(there[-1].stem) < 10
    assert len(lines(tmp_path / "stopped")) < len(whole)
    assert main(resumed) == 0
    assert without_speed(lines(tmp_path / "stopped")) == whole


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    words = [DIGITS, "--set", "epochs=400", "--set", "reports_per_epoch=1", "--set", "batch_size=8"]
    stopped = interrupt(tmp_path, signal.SIGINT, words, "epoch 1", times=2)
    assert stopped.returncode == 130
    assert "Traceback" not in stopped.stderr
    assert "continue with" in stopped.stdout


def test_a_signal_to_the_whole_group_leaves_the_readers_at_work(tmp_path: Path) -> None:
    """As a terminal's Ctrl-C is one: processes that read pictures are needed until the report at which the training stops."""
    for number in range(24):
        file = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 10 * number).save(file)
    recipe = tmp_path / "recipe.yaml"
    data = "{name: image_folder, root: pictures, image_size: 8, grayscale: true, resident: false, workers: 1}"
    recipe.write_text(
        f"data: {data}\nnetwork: {{name: mlp, width: 8}}\noptimizer: {{name: adam}}\nepochs: 5000\nbatch_size: 8\n",
        encoding="utf-8",
    )
    words = [sys.executable, "-u", "-m", "rebnn_search.train", str(recipe), "--out", str(tmp_path / "out")]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        words, text=True, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2"):
            break
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err and "continue with" in out


def test_a_second_process_does_not_train_in_the_folder_of_a_first(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main([DIGITS, *TINY, "--out", str(out)]) == 0
    before = (out / "reports.jsonl").read_bytes()
    with FileLock(out / ".lock"), pytest.raises(UserError, match=r"--out .*out: another process is training there"):
        main([DIGITS, *TINY, "--out", str(out), "--resume"])
    with pytest.raises(UserError, match="holds no training to go on with"):
        main([DIGITS, *TINY, "--out", str(tmp_path / "none"), "--resume"])
    assert (out / "reports.jsonl").read_bytes() == before and not (tmp_path / "none").exists()
