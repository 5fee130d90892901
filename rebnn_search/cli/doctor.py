"""``rebnn-search doctor``: what is installed, what the machine has, what a search would use, and what is in its way."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from rebnn_search.doctor import Finding

STYLES = {"ok": "green", "note": "yellow", "fail": "bold red"}
NAME_WIDTH = 28


def parser(prog: str = "rebnn-search doctor") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog,
        description="Look at software, machine, storage, Ray and MLflow as a search would use them. Ends with 1 where something "
        "is in a search's way, else 0.",
    )
    p.add_argument(
        "--storage", metavar="DIR|URI", default="results", help="where searches would be kept (default: %(default)s)"
    )
    p.add_argument("--ledger", metavar="URL", help="database of the Optuna study, if there is to be one")
    p.add_argument("--tracking-uri", metavar="URI", help="MLflow tracking (default: sqlite:///mlflow.db in this directory)")
    p.add_argument(
        "--address", default="local", metavar="local|auto|HOST:PORT", help="start Ray here (default) or ask a cluster"
    )
    p.add_argument("--no-start", action="store_true", help="try neither Ray nor MLflow, which takes some ten seconds")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0, 1 if something is in a search's way."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    # What is above needs milliseconds, torch seconds.
    from rebnn_search.doctor import Level, Places, examine

    console = Console(highlight=False)
    places = Places(args.storage, args.ledger, args.tracking_uri, args.address)
    findings: list[Finding] = []
    for finding in examine(places, start=not args.no_start):
        if not args.json:
            _print(console, finding, heading=not findings or findings[-1].area != finding.area)
        findings.append(finding)
    fails = sum(finding.level == Level.FAIL for finding in findings)
    if args.json:
        print(json.dumps({"ok": not fails, "findings": [finding.dump() for finding in findings]}))
    else:
        print(f"\n{fails} in a search's way" if fails else "\nnothing is in a search's way")
    return 1 if fails else 0


def _print(console: Console, finding: Finding, *, heading: bool) -> None:
    if heading:
        console.print(Text(finding.area, style="bold"))
    mark = Text(f"  {finding.level:4}  ", style=STYLES[finding.level])
    console.print(Text.assemble(mark, f"{finding.name:{NAME_WIDTH}}  {finding.value}"), soft_wrap=True)
    if finding.advice:
        console.print(Text(f"{'':10}{finding.advice}", style=STYLES[finding.level]), soft_wrap=True)
