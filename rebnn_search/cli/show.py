"""``rebnn-search show NAME``: one search as it stands, without touching it."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rebnn_search.base.command import allow_words, python_command, storage_words
from rebnn_search.base.layout import REFIT
from rebnn_search.cli import run
from rebnn_search.cli._text import count_text, size_text
from rebnn_search.cli.ls import local_time
from rebnn_search.tracking import default_uri

if TYPE_CHECKING:
    from rebnn_search.storage.folder import SearchFolder
    from rebnn_search.study.overview import Overview
    from rebnn_search.study.result import Result
    from rebnn_search.study.search import Search

RUN_WORDS = (["-m", "rebnn_search.run"], ["-m", "rebnn_search", "run"])
"""How a command that runs a search begins, after Python's own name."""
SCRIPT = "rebnn-search"


def parser(prog: str = "rebnn-search show") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog,
        description="Show a search, running or not: what it searches, its leaderboard, where its files and its view in MLflow are, "
        "and the commands that go on with it. Changes nothing.",
    )
    p.add_argument("name", metavar="NAME", help="name of the search, as in results/NAME")
    p.add_argument("--storage", metavar="DIR|URI", default="results", help="where the search is kept (default: %(default)s)")
    p.add_argument("--ledger", metavar="URL", help="database of its Optuna study, needed where its URL has a password")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    # What is above needs milliseconds, Optuna and torch seconds.
    from rebnn_search.storage.find import named_search
    from rebnn_search.study.overview import overview
    from rebnn_search.study.stored import StoredRecord, stored_result, stored_search

    folder = named_search(args.storage, args.name)
    search = stored_search(folder)
    known = folder.ledger
    record = StoredRecord(folder, search, args.ledger or (None if known is None or "***" in known else known))
    result = stored_result(folder, search, record)
    seen = overview(folder)
    files = dict(_files(folder))
    commands = _commands(args, folder, search, record.runs)
    if args.json:
        shown = {**seen.dump(), "search": search.dump(), "runs": record.runs, "result": result.dump(), "files": files,
                 "commands": commands}  # fmt: skip
        print(json.dumps(shown))
        return 0
    _print(Console(highlight=False), seen, search, result, files, commands, record.runs)
    return 0


def _print(
    console: Console, seen: Overview, search: Search, result: Result, files: Mapping[str, str], commands: Mapping[str, str],
    runs: Sequence[Mapping[str, Any]],
) -> None:  # fmt: skip
    from rebnn_search.study.table import chosen
    from rebnn_search.terminal.board import line, print_leaderboard

    for text in _head(seen, search, runs):
        line(console, text)
    line(console, "")
    if result.rows:
        print_leaderboard(console, result)
        line(console, "")
    if result.best is not None:
        line(console, f"chosen: {chosen(result.best)}")
    if result.cost is not None:
        line(console, f"cost: {result.cost.text()}")
    for title, rows in (("files", files), ("MLflow", _tracking(result)), ("go on with", commands)):
        line(console, f"{title}:")
        width = max(map(len, rows), default=0)
        for name, text in rows.items():
            line(console, f"  {name:{width}}  {text}")


def _head(seen: Overview, search: Search, runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    spec = search.spec
    yield f"{seen.name}: {seen.state}, of {seen.source}, {size_text(seen.size)}"
    if seen.driver is not None:
        yield f"driven by {seen.driver}"
    if seen.note is not None:
        yield seen.note
    if seen.complete is not None:
        ended = f"{seen.complete} trained to their end, {seen.pruned} pruned, {seen.failed} failed"
        yield f"{seen.target} trials: {ended}, {seen.unfinished} unfinished"
    yield f"{spec.objective.direction} {spec.objective.metric}; sampler {spec.sampler.name}, pruner {spec.pruner.name}" + (
        f", {spec.seeds} seeds a configuration" if spec.seeds > 1 else ""
    )
    width = max(map(len, search.space))
    for name, parameter in search.space.parameters.items():
        said = ", ".join(f"{key}: {value}" for key, value in parameter.model_dump(by_alias=True, exclude_defaults=True).items())
        yield f"  {name:{width}}  {said}"
    if runs:
        where = ", ".join(dict.fromkeys(str(run.get("host", "?")) for run in runs))
        yield f"begun {local_time(seen.started or runs[0].get('started'))}, {count_text(len(runs), 'run')} on {where}"


def _files(folder: SearchFolder) -> Iterator[tuple[str, str]]:
    """What there is of a search's files, by what they are."""
    if folder.remote is not None:
        yield "store", folder.address
    yield "folder", str(folder.path)
    places: Iterable[tuple[str, Path]] = (
        ("best recipe", folder.best_recipe), ("best network", folder.model), ("result", folder.result_file),
        ("report", folder.path / "report" / "report.html"), ("last trainings", folder.path / REFIT), ("log", folder.log),
    )  # fmt: skip
    yield from ((name, str(path)) for name, path in places if path.exists())


def _tracking(result: Result) -> dict[str, str]:
    found = {"tracking": result.tracking_uri, "view": result.view, "compare": result.compare, "run": result.parent_run_id}
    return {name: text for name, text in found.items() if text}


def _commands(
    args: argparse.Namespace, folder: SearchFolder, search: Search, runs: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    allowed = allow_words(search.own_parts)
    where = storage_words(args.storage)
    tracked = _tracked_words(runs)
    commands = {"resume": _resume_command(args, folder, allowed, str(runs[-1].get("command", "")) if runs else "")}
    if folder.finished:
        commands["refit"] = shlex.join([SCRIPT, "refit", folder.name, *where, *allowed])
    return {
        **commands,
        "report": shlex.join([SCRIPT, "report", folder.name, *where, *tracked, *allowed]),
        "MLflow": shlex.join([SCRIPT, "ui", folder.name, *where, *tracked]),
    }


def _tracked_words(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The option by which the search's tracking is found, where that is not the one in this directory and holds no password."""
    uri = str(runs[-1].get("tracking_uri", "")) if runs else ""
    return [] if uri in ("", default_uri()) or "***" in uri else ["--tracking-uri", uri]


def _resume_command(args: argparse.Namespace, folder: SearchFolder, allowed: list[str], command: str) -> str:
    """The command that goes on with a search: the last one that ran it, as far as that was a command of this program's."""
    words = _run_words(command)
    if words is not None:
        known, _ = run.parser().parse_known_args(words)
        if known.space is not None:
            return run.resume_command(known, folder.name)
    source, _ = folder.read_search()
    resume = [*python_command(), *RUN_WORDS[0], source, "--resume", "--name", folder.name]
    return shlex.join([*resume, *storage_words(args.storage), *allowed])


def _run_words(command: str) -> list[str] | None:
    """The arguments of a recorded command that ran a search; None of another program's."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    for begin in RUN_WORDS:
        if words[1 : 1 + len(begin)] == begin:
            return words[1 + len(begin) :]
    for place, word in enumerate(words[:2]):
        if Path(word).name == SCRIPT and words[place + 1 : place + 2] == ["run"]:
            return words[place + 2 :]
    return None
