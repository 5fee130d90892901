"""``python -m rebnn_search.run SPACE.yaml``: run a search, resume it, enlarge it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from rebnn_search.base.command import allow_words, python_command, storage_words
from rebnn_search.base.duration import parse_duration
from rebnn_search.base.errors import UserError
from rebnn_search.base.screen import is_screen
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.base.signals import signals_given_back, stop_on_signals
from rebnn_search.cli._allow import add_allow, allow_parts, import_from_here
from rebnn_search.cli.spaces import print_spaces
from rebnn_search.tracking import check_uri, default_uri

if TYPE_CHECKING:
    from rebnn_search.execution.budget import Budget
    from rebnn_search.execution.events import SearchObserver
    from rebnn_search.execution.session import Session
    from rebnn_search.storage.folder import SearchFolder


def parser(prog: str = "python -m rebnn_search.run") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog=prog, description="Search the hyperparameters of a ReBNN recipe. Ends with a leaderboard.")
    p.add_argument(
        "space", metavar="SPACE.yaml", nargs="?",
        help="the search file, or the name of one that comes with the program, as gamma; left out, these are listed",
    )  # fmt: skip
    p.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides",
        help="change a value of the search file (trials=10) or of its recipe (epochs=2); may be repeated",
    )  # fmt: skip
    p.add_argument("--trials", type=int, metavar="N", help="how many trials in all, finished ones included")
    p.add_argument(
        "--time-budget",
        metavar="TIME",
        help="end after so long (90s, 30m, 2h) with the trials there are; counts anew on --resume",
    )
    p.add_argument("--name", help="name of the search; by default the file's and the next free number")
    p.add_argument(
        "--storage", metavar="DIR|URI", default="results",
        help="where searches are kept: a directory (default: %(default)s) or an object store (s3://..., gs://..., abfss://...)",
    )  # fmt: skip
    p.add_argument("--ledger", metavar="URL", help="database of the Optuna study (default: a journal in the search's folder)")
    p.add_argument("--tracking-uri", metavar="URI", help="MLflow tracking (default: sqlite:///mlflow.db in this directory)")
    p.add_argument(
        "--address", default="local", metavar="local|auto|HOST:PORT", help="start Ray here (default) or join a cluster"
    )
    p.add_argument(
        "--resume", action="store_true", help="continue the named, or else the newest unfinished, search of the file"
    )
    p.add_argument(
        "--resume-or-start", action="store_true", help="--resume, or a new search if there is none: for jobs that are restarted"
    )
    p.add_argument(
        "--trained", metavar="DIR",
        help="take up what python -m rebnn_search.train has trained of this search's recipes, in DIR/NNNN: see rebnn-search recipes",
    )  # fmt: skip
    p.add_argument("--dry-run", action="store_true", help="print the resolved search and its first configurations, run nothing")
    p.add_argument("--no-report", action="store_true", help="draw no figures and write no report.html at the end")
    add_allow(p)
    p.add_argument(
        "--observer", metavar="MODULE:NAME", action="append", default=[],
        help="notify this class of yours, a rebnn_search.SearchObserver, of the search's events; may be repeated",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print one JSON object instead of progress and leaderboard")
    p.add_argument("--quiet", action="store_true", help="no progress, only the result")
    p.add_argument("--no-color", action="store_true", help="no colours")
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command.

    Returns:
        0; 1 if no trial keeps to the constraints, 130 if the search was interrupted, 2 if no search file is named.
    """
    begun = time.monotonic()
    args = (parser(prog) if prog else parser()).parse_args(argv)
    if args.space is None:
        print_spaces(sys.stderr)
        return 2
    seconds = None if args.time_budget is None else parse_duration(args.time_budget, "--time-budget")
    if args.trials is not None and args.trials < 1:
        raise UserError(f"--trials {args.trials}: a search needs at least one trial")
    uri = check_uri(args.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri())

    # Everything above needs milliseconds; torch, Ray and Optuna need seconds.
    from rebnn_search.execution.budget import Budget
    from rebnn_search.execution.observers import make_observers
    from rebnn_search.execution.opening import open_search

    allow_parts(args.allow)
    import_from_here(args.observer)
    observers = make_observers(args.observer)
    session = open_search(
        args.space, overrides=args.overrides, trials=args.trials, name=args.name, storage=args.storage, ledger=args.ledger,
        tracking_uri=uri, address=args.address, resume=args.resume, or_start=args.resume_or_start,
        trained=args.trained,
    )  # fmt: skip
    console = Console(no_color=args.no_color or None, highlight=False, markup=False)
    if session.unfinished and not session.resumed and args.name is None and not (args.json or args.quiet):
        console.print(f"unfinished: {', '.join(session.unfinished)}; --resume continues the newest. Starting a new one.")
    if not args.json and not args.quiet:
        search = session.search
        if search.spec.warm_start is not None:
            count = len(search.fixed) - len(search.spec.fixed)
            console.print(f"warm_start: the best of {search.spec.warm_start.search} come first ({count} configurations)")
        for key, reason in search.chosen.items():
            mark = "# " if args.dry_run else ""  # what follows is YAML
            console.print(f"{mark}{key}: {getattr(search.spec, key).name} ({reason})", soft_wrap=True)
    if args.dry_run:
        from rebnn_search.terminal.preview import print_preview

        if args.json:
            print(json.dumps(session.search.dump()))
        else:
            print_preview(console, session.search, session.folder.name, resumed=session.resumed)
        return 0
    return _run(args, console, session, observers, None if seconds is None else Budget(seconds, begun))


def _run(args: argparse.Namespace, console: Console, session: Session, own: list[SearchObserver], budget: Budget | None) -> int:
    from rebnn_search.execution.events import SearchObserver
    from rebnn_search.execution.observers import Observers
    from rebnn_search.terminal import LiveProgress, PlainProgress, print_result
    from rebnn_search.terminal.state import SearchState

    folder, uri = session.folder, session.tracking_uri
    state = SearchState.of(session.search, budget)
    if args.json or args.quiet:
        progress = SearchObserver()
    else:
        progress = LiveProgress(console, state) if is_screen(console) else PlainProgress(console, state)
        console.print(f"search {folder.name}, log in {folder.log}", soft_wrap=True)
    with Observers(progress, own) as observers, signals_given_back():
        try:
            result = session.run(observers, budget=budget, on_start=stop_on_signals)
        except KeyboardInterrupt:
            again = (
                f"continue it with {resume_command(args, folder.name)}" if folder.search_file.exists() else "nothing was kept"
            )
            print(f"\n{folder.name}: stopped; {hide_secrets(again)}", file=sys.stderr)
            raise
    report = None if result.interrupted or args.no_report else _report(args, folder, uri)
    if args.json:
        print(json.dumps(result.dump()))
    else:
        ui = shlex.join([*python_command(), "-m", "mlflow", "ui", "--backend-store-uri", uri])
        print_result(console, result, hide_secrets(ui), hide_secrets(resume_command(args, folder.name)), report)
    if result.interrupted:
        return 130
    return 1 if result.best is None else 0


def _report(args: argparse.Namespace, folder: SearchFolder, uri: str) -> str | None:
    """Draw the report and log it to the parent run. Returns its path, None where it could not be made: the search is done anyway."""
    from rebnn_search.base.log_redirect import redirect_output
    from rebnn_search.report import report_search

    try:
        with redirect_output(folder.log):
            return str(report_search(uri, folder))
    except (Exception, KeyboardInterrupt) as error:  # a picture is worth no search
        why = "it was stopped" if isinstance(error, KeyboardInterrupt) else hide_secrets(str(error))
        where = storage_words(args.storage)
        tracked = ["--tracking-uri", args.tracking_uri] if args.tracking_uri else []
        words = [*python_command(), "-m", "rebnn_search.report", folder.name, *where, *tracked, *allow_words(args.allow)]
        print(f"no report: {why}; {hide_secrets(shlex.join(words))} tries again", file=sys.stderr)
        return None


def resume_command(args: argparse.Namespace, name: str) -> str:
    """The command that continues a search."""
    words = [*python_command(), "-m", "rebnn_search.run", args.space, "--resume", "--name", name]
    for override in args.overrides:
        words += ["--set", override]
    words += allow_words(args.allow)
    for name in args.observer:
        words += ["--observer", name]
    defaults = parser().parse_args([args.space])
    for option in ("trials", "time_budget", "storage", "tracking_uri", "ledger", "address", "trained"):
        if getattr(args, option) != getattr(defaults, option):
            words += [f"--{option.replace('_', '-')}", str(getattr(args, option))]
    words += ["--no-report"] if args.no_report else []
    return shlex.join(words)
