"""What a user types wrongly, over every command: one clear message, exit code 2, and nothing left behind. All in this process."""

import errno
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest
from support.commands import stop_ray

from rebnn_search.config import exit_on_user_error
from rebnn_search.training.custom_parts import ALLOWED

RECIPE = """data: {name: digits}
network: {name: digits_resnet, width: 4}
optimizer: {name: adam, lr: 1e-2}
epochs: 1
batch_size: 256
reports_per_epoch: 2
"""
SPACE = """recipe: tiny.yaml
space:
  optimizer.lr: {log_uniform: [1e-4, 1e-1]}
pruner: none
trials: 1
"""
OWN = """
import torch
from torch import nn

number = 3


def three(in_channels): return 3
def boom(in_channels): raise KeyError("boom")
def nameless(a, /, in_channels): return nn.Flatten()
def typed(in_channels: "Nowhere"): return nn.Flatten()
def flat(**options): return nn.Flatten()
def layers(in_channels, classes, inner):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(inner, classes))
def logits(in_channels, num_classes): return layers(in_channels, num_classes + 2, 64)
def shapes(in_channels, num_classes): return layers(in_channels, num_classes, 99)
def data_boom(): raise KeyError("boom")
def data_three(): return 3
def data_ragged(): return [[1, 2], [3]], [0, 1]
def data_taken(validation=3): return 3
"""

COMMANDS = {
    "run": "rebnn_search.run",
    "train": "rebnn_search.train",
    "refit": "rebnn_search.refit.__main__",
    "auto": "rebnn_search.auto.__main__",
    "report": "rebnn_search.report.__main__",
    "export": "rebnn_search.export.__main__",
    "predict": "rebnn_search.predict",
}
MOST_LINES = 6


def bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join(['*' + old] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines)


def merge_bomb() -> str:
    lines = ["a: &a {x: 1}"]
    lines += [f"{new}: &{new} {{<<: [{', '.join(['*' + old] * 9)}]}}" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines)


FILES: dict[str, str | bytes] = {
    "tiny.yaml": RECIPE,
    "s.yaml": SPACE,
    "nul.yaml": b"recipe: tiny.yaml\ntrials: 1\x00\n",
    "bell.yaml": b"recipe: tiny.yaml\n\n\x07trials: 1\n",
    "deep.yaml": "recipe: tiny.yaml\nspace: " + "[" * 2000 + "]" * 2000,
    "deep_mappings.yaml": "recipe: tiny.yaml\nspace: " + "{a: " * 2000 + "1" + "}" * 2000,
    "deep_blocks.yaml": "".join(" " * depth + "a:\n" for depth in range(200)),
    "bomb.yaml": bomb(),
    "merge_bomb.yaml": merge_bomb(),
    "itself.yaml": "a: &a\n  <<: *a\n  b: 1\n",
    "twice.yaml": "recipe: tiny.yaml\ntrials: 1\ntrials: 2\n",
    "latin.yaml": "recipe: tiny.yaml\n# café\n".encode("latin-1"),
    "utf16.yaml": SPACE.encode("utf-16"),
    "huge.yaml": SPACE + "#" + "x" * 1_000_000,
    "list.yaml": "- 1\n",
    "two.yaml": "a: 1\n---\nb: 2\n",
    "tab.yaml": "recipe: tiny.yaml\n\ttrials: 1\n",
    "date.yaml": SPACE.replace("trials: 1", "trials: 2024-99-99"),
    "digits.yaml": SPACE.replace("trials: 1", "trials: " + "9" * 5000),
    "int.yaml": "trials: !!int word\n",
    "tag.yaml": "recipe: !!python/object/apply:os.system ['true']\n",
    "key.yaml": "? {a: 1}\n: 2\n",
    "merge.yaml": "recipe: tiny.yaml\nspace: {<<: 3}\n",
    "damaged.db": b"SQLite format 3\x00" + bytes(range(256)) * 20,
    "text.db": "this is no database\n" * 100,
    "empty.db": b"",
    "own.py": OWN,
    "broken.py": "def f(:\n",
    "raises.py": "raise RuntimeError('at import')\n",
    "exits.py": "import sys\nsys.exit(3)\n",
    "model.safetensors": b"\xff" * 100,
    "rows.csv": "a,b,label\n1,2,x\n3,4,y\n",
    "words.txt": "hello",
}


@pytest.fixture(autouse=True)
def no_ray_here() -> None:
    """What other tests left running in this process would be found by ``--address auto``."""
    if "ray" in sys.modules:
        stop_ray()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("mistakes")
    for name, content in FILES.items():
        (made / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (made / "folder").mkdir()
    (made / "folder.yaml").mkdir()
    os.mkfifo(made / "pipe.yaml")
    for name, statement in (
        ("foreign.db", "create table people (name text)"),
        ("alike.db", "create table experiments (name text)"),
        ("newer.db", "create table alembic_version (version_num text)"),
    ):
        with closing(sqlite3.connect(made / name)) as database:
            database.execute(statement)
            database.commit()
    return made


def told(command: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit code and message of a command's body."""
    with pytest.raises(SystemExit) as ended:
        exit_on_user_error(command)
    code = ended.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err.splitlines()


def own(name: str, kind: str = "network") -> list[str]:
    return ["--allow", name, "--set", f"{kind}={{name: '{name}'}}"]


def file(name: str, *words: str) -> tuple[str, list[str], Sequence[str]]:
    return "run", [name, "--dry-run"], words


def setting(text: str, *words: str) -> tuple[str, list[str], Sequence[str]]:
    return "run", ["s.yaml", "--dry-run", "--set", text], words


def running(*rest: str) -> Callable[..., tuple[str, list[str], Sequence[str]]]:
    return lambda *words: ("run", ["s.yaml", *rest], words)


NO_TIME = "expected a time such as 90s, 30m, 2h or 1h30m"
NO_NAME = "use letters, digits"
BAD: list[tuple[str, list[str], Sequence[str]]] = [
    # Files.
    file("nul.yaml", "nul.yaml:2: not valid YAML: holds the control character U+0000"),
    file("bell.yaml", "bell.yaml:3:", "U+0007"),
    file("deep.yaml", "deep.yaml:2: nested more than 50 deep"),
    file("deep_mappings.yaml", "deep_mappings.yaml:2: nested more than 50 deep"),
    file("deep_blocks.yaml", "deep_blocks.yaml:50: nested more than 50 deep"),
    file("itself.yaml", "itself.yaml:1: nested more than 50 deep"),
    file("twice.yaml", "twice.yaml:3: key 'trials' stands twice"),
    file("latin.yaml", "latin.yaml:2: is not UTF-8 text (byte 0xe9)"),
    file("utf16.yaml", "utf16.yaml:1: is not UTF-8 text"),
    file("huge.yaml", "huge.yaml: is larger than 1,000,000 bytes"),
    file("list.yaml", "must be a mapping"),
    file("two.yaml", "two.yaml:2: not valid YAML"),
    file("tab.yaml", "tab.yaml:2: not valid YAML"),
    file("date.yaml", "date.yaml:5: '2024-99-99' is no valid timestamp"),
    file("digits.yaml", "digits.yaml:5:", "(5,000 characters)", "is no valid int"),
    file("int.yaml", "int.yaml:1: 'word' is no valid int"),
    file("tag.yaml", "tag.yaml:1: the tag"),
    file("key.yaml", "key.yaml:1: a key must be a word"),
    file("merge.yaml", "merge.yaml:2: only mappings can be merged"),
    file("folder.yaml", "is a folder"),
    file("pipe.yaml", "is no regular file"),
    file("nowhere.yaml", "nowhere.yaml: no such file"),
    file("", "is a folder"),
    file("a\0b.yaml", "cannot be read", "null byte"),
    file("x" * 5000, "cannot be read", os.strerror(errno.ENAMETOOLONG)),
    ("train", ["nul.yaml"], ["U+0000"]),
    # --set.
    setting("trials", "expected KEY=VALUE"),
    setting("=1", "expected KEY=VALUE"),
    setting("network..width=1", "expected KEY=VALUE"),
    setting(".".join(["network"] * 2000) + "=1", "expected KEY=VALUE"),
    setting("network.width=" + "[" * 2000, "nested more than 50 deep"),
    setting("network=&a [*a]", "nested more than 50 deep"),
    setting("trials=\0", "U+0000"),
    setting("trials=many", "trials = 'many'"),
    setting("trials=100000000000", "less than or equal to 1000000"),
    setting("epochs=99999999999999999999", "less than or equal to 1000000"),
    setting("epochs=.inf", "epochs = inf"),
    setting("seed=99999999999999999999999", "seed"),
    setting("batch_size=99999999", "less than or equal to 1000000"),
    setting("sampler={name: qmc, qmc_type: foo}", "qmc_type"),
    setting("sampler=brute_force", "optimizer.lr has no step"),
    setting("space={epochs: {int: [1, 99999999999999999999999]}}", "must be within"),
    setting("space={'': {choice: [1]}}", "makes no valid recipe"),
    setting("resources={gpus_per_worker: .inf}", "finite"),
    setting("resources={gpus_per_worker: .nan}", "finite"),
    setting("resources={gpus_per_worker: 1.5}", "whole number, or a share"),
    setting("resources={cpus_per_worker: 99999999999999999999}", "less than or equal to 10000"),
    setting("set={a.b: 1}", "unknown key"),
    setting("recipe=nowhere.yaml", "no such file"),
    setting("recipe=s.yaml", "this is a search file"),
    # Times.
    *(running(f"--time-budget={time}")(NO_TIME, "--time-budget") for time in
      ("inf", "nan", "-5m", "0s", "1e30", "9" * 400 + "h", "5", "", "99999999h", ".5h", "١٠s", "1w", "5  m", "1.5.2h")),
    *(("auto", ["folder", f"--time={time}"], [NO_TIME]) for time in ("inf", "nan", "0m", "1e999s")),
    # Names, places.
    *(running("--dry-run", f"--name={name}")(NO_NAME) for name in ("../x", "a/b", "a b", "x" * 101, "-x", "é", "a\0b")),
    running("--trials=0")("--trials 0: a search needs at least one trial"),
    running("--storage=tiny.yaml")("--storage tiny.yaml: is a file"),
    running("--storage=")("--storage '': names nothing"),
    running("--storage=s3://")("names no bucket"),
    running("--storage=" + "x" * 300)(os.strerror(errno.ENAMETOOLONG)),
    running("--storage=a\0b")("names nothing"),
    # Databases.
    *(running(f"--ledger={url}")(*words) for url, *words in (
        ("sqlite:///damaged.db", "--ledger", "damaged.db cannot be used"), ("sqlite:///text.db", "file is not a database"),
        ("sqlite:///foreign.db", "is no database of Optuna: it holds people"),
        ("sqlite:////nowhere/x.db", "no directory /nowhere"),
        ("sqlite:///folder", "is a directory"), ("sqlite://", "in memory"), ("sqlite:///", "in memory"),
        ("foo", "expected a database's URL"),
        ("", "expected a database's URL"), ("sqlite:////dev/null", "no regular file"),
        ("sqlite:////proc/x.db", "cannot be written"),
        ("redis://x", "cannot be used"), ("mssql://u:secret@127.0.0.1:1/x", "--ledger mssql://u:***@"))),
    *((command, [*argv, f"--tracking-uri={url}"], words)
      for command, argv in (("run", ["s.yaml"]), ("report", ["s-1"]), ("export", ["0" * 32, "--format=packed"]))
      for url, *words in (
        ("sqlite:///damaged.db", "damaged.db cannot be used"), ("sqlite:///text.db", "file is not a database"),
        ("sqlite:///foreign.db", "is no database of MLflow: it holds people"),
        ("sqlite:///newer.db", "is no database of MLflow"),
        ("sqlite:///alike.db", "is no database of MLflow"), ("sqlite:////dev/null", "/dev/null"))),
    running("--tracking-uri=sqlite:////proc/x.db")("cannot be written"),
    running("--tracking-uri=http://127.0.0.1:1")("cannot be reached"),
    running("--tracking-uri=http://[")("is no address"),
    running("--tracking-uri=mssql://u:secret@127.0.0.1:1/x")("--tracking-uri mssql://u:***@127.0.0.1:1/x: cannot be used"),
    running("--tracking-uri=file:///tmp/x")("expected sqlite:///PATH"),
    ("report", ["s-1"], ["there is no database", "mlflow.db"]),
    ("report", ["s-1", "--tracking-uri=sqlite:///empty.db"], ["there is nothing in"]),
    # Clusters and machines.
    *(running(f"--address={address}")(*words) for address, *words in (
        ("127.0.0.1:1", "no Ray cluster answers there"), ("nowhere.invalid:6379", "no Ray cluster answers there"),
        ("ray://127.0.0.1:10001", "remote clients"), ("locl", "expected local, auto, or HOST:PORT"), ("", "expected local"),
        ("127.0.0.1:99999", "expected local"), ("auto", "no Ray cluster runs on this machine"))),
    running("--set=resources.cpus_per_worker=9999")("a trial asks for 9999 CPUs; this machine has"),
    running("--set=resources.workers_per_trial=9999")("a trial asks for 9999 workers with 1 CPU each; this machine has"),
    running("--set=resources={workers_per_trial: 99, gpus_per_worker: 1}")("99 workers with 1 CPU and 1 GPU each"),
    # One's own code.
    *(("train", ["tiny.yaml", *own(name)], words) for name, *words in (
        ("os:system", "network.command: required key is missing"), ("builtins:type", "does not say which arguments"),
        ("os", "expected MODULE:NAME"),
        (":", "expected MODULE:NAME"), ("own:a,b", "expected MODULE:NAME"), ("..own:three", "expected MODULE:NAME"),
        ("own:number", "is a int"), ("own:nowhere", "cannot be imported"), ("nowhere:x", "No module named"),
        ("broken:f", "SyntaxError", "broken.py"), ("raises:f", "RuntimeError: at import", "raises.py:1"),
        ("exits:f", "SystemExit: 3"),
        ("own:nameless", "cannot be given by name"), ("own:typed", "'Nowhere' is not defined"),
        ("own:three", "must return a torch.nn.Module, not a int"), ("own:boom", "KeyError: 'boom'", "own.py:9"),
        ("own:flat", "none of its layers can be made binary"), ("own:logits", "logits of shape (2, 10), not to shape (2, 12)"),
        ("own:shapes", "fails for images of shape (2, 1, 8, 8)"))),
    *(("train", ["tiny.yaml", *own(name, "data")], words) for name, *words in (
        ("own:data_boom", "KeyError: 'boom'"), ("own:data_three", "must return (X, y)"),
        ("own:data_ragged", "cannot be used as data"),
        ("own:data_taken", "validation is one of the split's own"), ("os:system", "data.command: required key is missing"))),
    # Sizes.
    ("train", ["tiny.yaml", "--set", "network.width=100000000"], ["parameters: training it takes", "GB at the least", "memory has"]),
    ("train", ["tiny.yaml", "--set", "network.depth=100000000"], ["depth within 1 and 1000"]),
    ("train", ["tiny.yaml", "--set", "network={name: mlp, depth: 100000000}"], ["depth within 1 and 1000"]),
    ("train", ["tiny.yaml", "--set", "network.width=99999999999999999999"], ["too large for any machine"]),
    # The other commands.
    ("train", ["tiny.yaml", "--device=meta"], ["device 'meta': cannot be used here"]),
    ("train", ["tiny.yaml", "--device=toaster"], ["device 'toaster': cannot be used here"]),
    ("train", ["tiny.yaml", "--set", 'data={name: csv, path: "a\\0b", label: x}'], ["holds a NUL"]),
    ("run", ["tiny.yaml"], ["tiny.yaml:2: network: this is a recipe", "rebnn_search.train tiny.yaml"]),
    ("train", ["s.yaml"], ["s.yaml:2: space: this is a search file", "rebnn_search.run s.yaml", "tiny.yaml"]),
    ("train", ["tiny.yaml", "--resume"], ["--resume needs --out"]),
    ("train", ["tiny.yaml", "--out="], ["--out: names nothing"]),
    ("train", ["tiny.yaml", "--out=tiny.yaml"], ["--out tiny.yaml"]),
    ("refit", ["nowhere"], ["nowhere: no such search in results"]),
    ("refit", ["../x"], [NO_NAME]),
    ("refit", ["a\0b"], [NO_NAME]),
    ("refit", ["s-1", "--seeds=0"], ["--seeds 0: must be at least 1"]),
    ("export", ["nowhere", "--format=packed"], ["no such file, folder or MLflow run"]),
    ("export", ["tiny.yaml", "--format=packed"], ["tiny.yaml"]),
    ("export", ["folder", "--format=packed"], ["folder"]),
    ("export", ["x" * 300, "--format=packed"], [os.strerror(errno.ENAMETOOLONG)]),
    ("predict", ["pipe.yaml", "x.png"], ["pipe.yaml: is no regular file"]),
    ("predict", ["/dev/zero", "x.png"], ["/dev/zero: is no regular file"]),
    ("predict", ["nowhere", "x.png"], ["nowhere: no such file"]),
    ("predict", ["model.safetensors", "x.png"], ["model.safetensors"]),
    ("predict", ["model.safetensors", "x.png", "--top=0"], ["--top 0"]),
    ("auto", ["nowhere"], ["no such file or folder"]),
    ("auto", ["words.txt"], ["words.txt: expected"]),
    ("auto", ["folder", "--seeds=0"], ["--seeds 0"]),
]  # fmt: skip


def label(case: tuple[str, list[str], Sequence[str]]) -> str:
    return ascii(" ".join([case[0], *case[1]]))[:60]


def files(folder: Path) -> set[Path]:
    """All but what Python makes of the modules it imports."""
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize("case", BAD, ids=map(label, BAD))
def test_a_mistake_is_one_message_and_leaves_nothing(
    case: tuple[str, list[str], Sequence[str]],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command, argv, words = case
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv(ALLOWED, "")
    monkeypatch.setenv("TMPDIR", str(folder))  # no cluster was started there
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    before = files(folder)
    main = import_module(COMMANDS[command]).main
    code, message = told(lambda: main(argv), capsys)
    assert code == 2, message
    assert message
    assert message[0].startswith("error: ")
    assert len(message) <= MOST_LINES
    assert max(map(len, message)) < 600
    for word in words:
        assert word in "\n".join(message)
    assert files(folder) == before


@pytest.mark.parametrize("name", ["bomb.yaml", "merge_bomb.yaml"])
def test_aliases_that_stand_for_millions_are_refused(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    main = import_module(COMMANDS["run"]).main
    code, message = told(lambda: main([name, "--dry-run"]), capsys)
    assert code == 2
    assert f"error: {name}:" in message[0]
    assert "stands for more than 50,000 values" in message[0]


def test_from_python_a_mistake_is_the_same_message(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import rebnn_search as rs
    from rebnn_search.config import UserError

    monkeypatch.chdir(folder)
    for arguments, words in (
        ({"space": "nul.yaml"}, r"U\+0000"),
        ({"space": "s.yaml", "ledger": "sqlite:///foreign.db"}, "is no database of Optuna"),
        ({"space": "s.yaml", "tracking_uri": "sqlite:///text.db"}, "file is not a database"),
        ({"space": "s.yaml", "address": "127.0.0.1:1"}, "no Ray cluster answers there"),
        ({"space": "s.yaml", "overrides": ["resources.cpus_per_worker=9999"]}, "this machine has"),
        ({"space": "s.yaml", "network": lambda: None}, "define it at the top level"),
    ):
        with pytest.raises(UserError, match=words):
            rs.search(**arguments)
    assert not (folder / "results").exists()


def test_memory_that_is_not_enough_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        raise MemoryError

    code, message = told(command, capsys)
    assert (code, message) == (2, ["error: the machine's memory is not enough for this"])
    assert sys.exc_info() == (None, None, None)
