"""``python -m rebnn_search.auto DATA --time 30m``: from data to a trained model."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from rebnn_search.auto.presets import ASKED, DEFAULT, PRESETS
from rebnn_search.base.command import python_command
from rebnn_search.base.duration import parse_duration
from rebnn_search.base.errors import UserError
from rebnn_search.base.screen import is_screen
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.base.signals import stop_on_signals
from rebnn_search.tracking import check_uri, default_uri

if TYPE_CHECKING:
    from rebnn_search.execution.budget import Budget
    from rebnn_search.execution.events import SearchObserver
    from rebnn_search.study.search import Search


def parser(prog: str = "python -m rebnn_search.auto") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog=prog, description="Look at data, search a recipe for them, and train and export a model.")
    p.add_argument(
        "data",
        metavar="DATA",
        help="folder of class folders with images, an .npz file (X, y), or a table: .csv, .csv.gz, .tsv, .parquet",
    )
    p.add_argument("--label", metavar="COLUMN", help="column of a table's labels (default: label, class, target or y)")
    p.add_argument(
        "--group", metavar="COLUMN|REGEX",
        help="what stays together, so that none is trained on and tested on: a table's column (patient), or of pictures an "
        r"expression that finds it in their paths ('(patient\d+)')",
    )  # fmt: skip
    p.add_argument("--skip-damaged", action="store_true", help="leave pictures out that cannot be decoded, and say which")
    p.add_argument("--time", metavar="TIME", default="30m", help="for everything: 90s, 30m, 2h (default: %(default)s)")
    meaning = "; ".join(f"{name}: {preset.summary}" for name, preset in PRESETS.items())
    p.add_argument(
        "--preset", choices=PRESETS, default=DEFAULT, help=f"how the time is used: {meaning} (default: %(default)s)"
    )  # fmt: skip
    p.add_argument("--out", metavar="DIR", help="where everything goes (default: auto-DATA, with a number if that is taken)")
    p.add_argument(
        "--seeds", type=int, metavar="K",
        help=f"last trainings, time permitting (default: {', '.join(f'{name} {preset.seeds}' for name, preset in PRESETS.items())})",
    )  # fmt: skip
    p.add_argument(
        "--balance", choices=ASKED, default=ASKED[0],
        help="whether classes count alike, however large: auto, where the largest has over three times the samples of the smallest",
    )  # fmt: skip
    p.add_argument("--tracking-uri", metavar="URI", help="MLflow tracking (default: sqlite:///mlflow.db in this directory)")
    p.add_argument("--quiet", action="store_true", help="only the result")
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0, or 130 if it was interrupted."""
    begun = time.monotonic()
    args = (parser(prog) if prog else parser()).parse_args(argv)
    seconds = parse_duration(args.time, "--time")
    if args.seeds is not None and args.seeds < 1:
        raise UserError(f"--seeds {args.seeds}: must be at least 1")
    uri = check_uri(args.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri())
    tracked = ["--tracking-uri", hide_secrets(args.tracking_uri)] if args.tracking_uri else []
    out = Path(args.out) if args.out else _made_for(Path(args.data))
    # What is above needs milliseconds, torch and Ray seconds.
    from rebnn_search.auto.result import SPACE_FILE, Interrupted
    from rebnn_search.auto.run import run_auto
    from rebnn_search.auto.source import Source

    console = Console(highlight=False)

    def say(line: str) -> None:
        if not args.quiet:
            console.print(line, soft_wrap=True, markup=False)

    def observe(search: Search, budget: Budget) -> AbstractContextManager[SearchObserver]:
        from rebnn_search.execution.events import SearchObserver
        from rebnn_search.terminal import LiveProgress, PlainProgress  # with Ray, which a training alone needs not
        from rebnn_search.terminal.state import SearchState

        state = SearchState.of(search, budget)
        if args.quiet:
            return SearchObserver()
        display = LiveProgress if is_screen(console) else PlainProgress
        return display(console, state, tells_data=False)  # all is told of them before the search

    def begin(stop: Callable[[], None]) -> None:
        stop_on_signals(stop)

    try:
        result = run_auto(
            Source(Path(args.data), args.label, args.group, args.skip_damaged), out, seconds=seconds, seeds=args.seeds,
            tracking_uri=uri, begun=begun, say=say, observe=observe, on_start=begin, preset=args.preset, balance=args.balance,
        )  # fmt: skip
    except (Interrupted, KeyboardInterrupt):
        _say_what_is_there(out, tracked)
        return 130
    finally:
        if not args.out:
            with suppress(OSError):  # it holds something, unless a mistake was found before anything was kept
                out.rmdir()
    spread = "" if result.half_width is None else f" ± {result.half_width:.2f}"
    trained = f"n = {result.seeds} seed{'s' if result.seeds > 1 else ''}" if result.seeds else result.network
    size = Path(result.model).stat().st_size
    predict = shlex.join([*python_command(), "-m", "rebnn_search.predict", result.model, result.example])
    refit = shlex.join(
        [*python_command(), "-m", "rebnn_search.run", str(out / SPACE_FILE), "--time-budget", args.time, *tracked]
    )
    for line in (
        f"test accuracy: {result.test_top1:.2f}{spread} % ({trained}); guessing the largest class: {result.majority:.2f} %",
        *([f"balanced accuracy of the model: {result.test_balanced:.2f} %"] if result.balance.balanced else []),
        f"model: {result.model} ({size:,} bytes), after {result.seconds:.0f} s and {result.trials} trials",
        f"classify with it: {predict}",
        f"search on by hand: {refit}",
    ):
        console.print(line, soft_wrap=True, markup=False)
    return 0


def _say_what_is_there(out: Path, tracked: Sequence[str]) -> None:
    """Say what an interruption left, and how to go on with it."""
    from rebnn_search.auto.result import MODEL_FILE, NAME, SPACE_FILE
    from rebnn_search.storage.folder import SearchFolder

    storage = out / "results"
    search = SearchFolder(storage / NAME)
    if (out / MODEL_FILE).exists():
        said = f"the model is there: {out / MODEL_FILE}; what is said of it was cut short"
    elif search.result_file.exists():
        words = [*python_command(), "-m", "rebnn_search.refit", NAME, "--storage", str(storage), *tracked]
        said = f"the search had ended; train its best by hand with\n  {shlex.join(words)}"
    elif search.path.exists():
        words = [*python_command(), "-m", "rebnn_search.run", str(out / SPACE_FILE), "--storage", str(storage), *tracked]
        said = f"continue by hand with\n  {shlex.join([*words, '--resume', '--name', NAME])}"
    else:
        left = f"; remove {out} to begin again" if out.exists() and any(out.iterdir()) else ""
        said = f"there was no model yet, and nothing was kept to go on with{left}"
    print(f"\nstopped; {said}", file=sys.stderr)


def _made_for(data: Path) -> Path:
    """A new folder ``auto-DATA`` in the working directory, numbered if that is taken: made at once, for two may begin together.

    Raises:
        UserError: If none can be made.
    """
    stem = "auto-" + (
        re.sub(r"[^A-Za-z0-9._-]+", "-", data.absolute().name.removesuffix(".gz").rsplit(".", 1)[0]).strip("-.") or "data"
    )
    for number in count(1):
        path = Path(stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"{path}: cannot be made: {error.strerror}; say where with --out") from None
        return path
    raise AssertionError
