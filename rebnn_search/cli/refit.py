"""``python -m rebnn_search.refit NAME``: train a search's best recipe once more, on all that is not the test split."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence

from rich.console import Console

from rebnn_search.base.command import python_command
from rebnn_search.base.errors import UserError
from rebnn_search.base.signals import signals_given_back, stop_on_signals
from rebnn_search.cli._allow import add_allow, allow_parts
from rebnn_search.tracking import check_uri


def parser(prog: str = "python -m rebnn_search.refit") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog,
        description="Train the best recipe of a finished search on training and validation split together, over several seeds, one "
        "after another. Interrupted, the same command goes on.",
    )
    p.add_argument("name", metavar="NAME", help="name of the search, as in results/NAME")
    p.add_argument(
        "--seeds", type=int, default=3, metavar="K", help="trainings: the recipe's seed, +1, ... (default: %(default)s)"
    )
    p.add_argument(
        "--pick", metavar="WHICH",
        help="with several objectives a point of the Pareto front, in place of the first one's best: a trial's number, an "
        "objective, or knee, the compromise",
    )  # fmt: skip
    p.add_argument("--epochs", type=int, metavar="N", help="epochs of each (default: the recipe's)")
    p.add_argument("--storage", metavar="DIR|URI", default="results", help="where the search is kept (default: %(default)s)")
    p.add_argument("--tracking-uri", metavar="URI", help="MLflow tracking (default: the search's)")
    p.add_argument("--register", metavar="MODEL", help="make the median seed's model a version of MODEL in MLflow's registry")
    add_allow(p)
    p.add_argument("--json", action="store_true", help="print one JSON object")
    p.add_argument("--quiet", action="store_true", help="no progress, only the result")
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0, 1 if every seed diverged, 130 if it was interrupted."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    for option in ("seeds", "epochs"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise UserError(f"--{option} {value}: must be at least 1")
    # What is above needs milliseconds, torch and Ray seconds.
    from rebnn_search.refit import Stopped, finished_search, refit_search
    from rebnn_search.refit.progress import Progress, print_refit

    allow_parts(args.allow)
    search = finished_search(args.storage, args.name, args.pick)
    known = None if "***" in search.tracking_uri else search.tracking_uri
    uri = check_uri(args.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or known or "")
    console = Console(highlight=False, stderr=args.json)
    progress = Progress(console, quiet=args.json or args.quiet)

    try:
        with signals_given_back():
            stop_on_signals(progress.stop)
            outcome = refit_search(
                search, seeds=args.seeds, epochs=args.epochs, tracking_uri=uri, observer=progress, registered=args.register
            )
    except (Stopped, KeyboardInterrupt):
        words = [*python_command(), "-m", "rebnn_search.refit", *(sys.argv[1:] if argv is None else argv)]
        console.print(f"stopped; continue with\n  {shlex.join(words)}", soft_wrap=True, markup=False)
        return 130
    if args.json:
        print(json.dumps(outcome.dump()))
    else:
        print_refit(console, outcome)
    return 0 if outcome.median is not None else 1
