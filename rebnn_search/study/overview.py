"""The searches of a storage at a glance: read, never touched, and without torch where the storage is a directory."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rebnn_search.base.layout import SEARCH_FILE, STORAGE
from rebnn_search.base.metrics import VAL_LOSS
from rebnn_search.config import UserError
from rebnn_search.storage.begun import has_begun
from rebnn_search.storage.driver import local_driver, remote_driver
from rebnn_search.storage.folder import NAME, SearchFolder, check_storage
from rebnn_search.study.attributes import PARAMS, RUNS
from rebnn_search.study.ranking import Ordering, Standing, best_of

if TYPE_CHECKING:
    from rebnn_search.storage.object_store import ObjectStore

RUNNING, FINISHED, INTERRUPTED, NOT_BEGUN, DAMAGED = "running", "finished", "interrupted", "not begun", "damaged"
"""States of a search."""

ASIDE = ".removed"
"""Folder in a storage for what `rebnn_search.study.removal` is removing: ``NAME@1``, ..."""


@dataclass(frozen=True)
class Overview:
    """One search at a glance.

    Attributes:
        name: Its name.
        state: `RUNNING` while a driver has it; `FINISHED` once it ran to its end; `INTERRUPTED`; `NOT_BEGUN` before its first trial;
            `DAMAGED` where its files cannot be read.
        target: Trials in all; None where it is not known, as the counts.
        complete, pruned, failed: Trials that ended so.
        unfinished: Trials that were begun and have not ended.
        objective: Name of the metric that its trials are judged by.
        direction: ``minimize`` or ``maximize``; None of several objectives before the first trial.
        best: The objective, of several the first, of the best configuration so far, the mean over its seeds; None before one was
            trained to its end within the constraints.
        started: When it was first run, in ISO 8601; None where it is not known.
        size: Bytes of its files.
        source: Name of its search file.
        driver: Who drives it, in words; None where nobody does.
        note: What is not known, and why; None where all is.
    """

    name: str
    state: str
    size: int
    target: int | None = None
    complete: int | None = None
    pruned: int | None = None
    failed: int | None = None
    unfinished: int | None = None
    objective: str | None = None
    direction: str | None = None
    best: float | None = None
    started: str | None = None
    source: str | None = None
    driver: str | None = None
    note: str | None = None

    def dump(self) -> dict[str, object]:
        """The object that ``--json`` prints."""
        return asdict(self)


def overviews(storage: str) -> list[Overview]:
    """Every search of a storage, the one begun first at the top.

    Args:
        storage: A directory, or the URI of an object store, which is read and not copied.

    Raises:
        UserError: If it cannot be read.
    """
    check_storage(storage)
    found = list(_stored(storage) if "://" in storage else _local(Path(storage)))
    return sorted(found, key=lambda one: (one.started or "", one.name))


def _local(storage: Path) -> Iterator[Overview]:
    if not storage.exists() and storage != Path(STORAGE):  # which is made by the first search
        raise UserError(f"--storage {storage}: there is no such directory")
    if storage.exists() and not storage.is_dir():
        raise UserError(f"--storage {storage}: is a file, not a directory")
    for file in sorted(storage.glob(f"*/{SEARCH_FILE}")):
        yield overview(SearchFolder(file.parent))


def overview(folder: SearchFolder) -> Overview:
    """One search in a directory. What is damaged of it is said in its note."""
    driver = local_driver(folder)
    known = Overview(folder.name, DAMAGED, size_of(folder.path), driver=driver)
    try:
        return _described(known, folder, driver, begun=has_begun(folder))
    except UserError as error:
        return replace(known, note=str(error))


def _stored(uri: str) -> Iterator[Overview]:
    from rebnn_search.storage.fetch import explained
    from rebnn_search.storage.object_store import ObjectStore, place_in

    with explained(uri):
        for name in ObjectStore(uri).names():
            if not NAME.fullmatch(name):
                continue
            store = ObjectStore(place_in(uri, name))
            if (search := store.read(SEARCH_FILE)) is not None:
                yield _stored_overview(store, name, search)


def _stored_overview(store: ObjectStore, name: str, search: bytes) -> Overview:
    """One search in an object store: its few files that tell are read into a folder that is gone afterwards."""
    from rebnn_search.storage.fetch import read_journal

    driver = remote_driver(store)
    known = Overview(name, DAMAGED, sum(store.sizes().values()), driver=driver)
    with TemporaryDirectory() as temporary:
        folder = SearchFolder(Path(temporary) / name)
        folder.path.mkdir()
        folder.search_file.write_bytes(search)
        try:
            folder.journal.write_bytes(read_journal(store))
            if (result := store.read(folder.result_file.name)) is not None:
                folder.result_file.write_bytes(result)
            return _described(known, folder, driver, begun=has_begun(folder) or folder.ledger is not None)
        except UserError as error:
            return replace(known, note=str(error))


def _described(known: Overview, folder: SearchFolder, driver: str | None, *, begun: bool) -> Overview:
    source, data = folder.read_search()
    try:
        seeds, target, objective = int(data.get("seeds", 1)), int(data["trials"]), _objective(data)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder.search_file}: is damaged ({type(error).__name__}: {error}); restore it from a copy") from None
    state = FINISHED if folder.finished else INTERRUPTED if begun else NOT_BEGUN
    known = replace(
        known, state=RUNNING if driver is not None else state, source=source, target=target,
        objective=str(objective.get("metric", VAL_LOSS)), direction=objective.get("direction", "minimize"),
    )  # fmt: skip
    if folder.finished:
        try:
            return _of_result(known, json.loads(folder.result_file.read_text(encoding="utf-8")), _first_run(folder))
        except (OSError, ValueError, KeyError, TypeError) as error:
            return replace(known, note=f"{folder.result_file}: is damaged ({type(error).__name__}: {error})")
    if state == NOT_BEGUN and driver is None:
        return replace(known, complete=0, pruned=0, failed=0, unfinished=0)
    ledger = folder.ledger
    if ledger is not None and "***" in ledger:
        return replace(
            known, note=f"its ledger is in {ledger}, which needs a password: rebnn-search show --ledger URL reads it"
        )
    try:
        return _of_study(known, folder, ledger, seeds)
    except UserError as error:
        return replace(known, note=str(error))


def _objective(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a search is judged by, of several objectives the first."""
    if not data.get("objectives"):
        return dict(data.get("objective") or {})
    first = data["objectives"][0]
    name = str(first["name"] if isinstance(first, dict) else first)
    return {"metric": name, "direction": None}  # the ledger and the result know it


def _of_result(known: Overview, result: Mapping[str, Any], started: str | None) -> Overview:
    states = Counter(trial["state"] for trial in result["trials"])
    best, chosen = None, result["best"]
    if chosen is not None:
        name = str(result["objective"])
        column = name.replace("/", "_")  # as `rebnn_search.study.result.Result.dump` names it
        among = [t for t in result["trials"] if t["number"] in {*chosen.get("trials", ()), chosen["number"]}]
        best = fmean(trial[column] if column in trial else trial["values"][name] for trial in among)
    return replace(_counted(known, states), best=best, started=started, direction=str(result["direction"]))


def _of_study(known: Overview, folder: SearchFolder, ledger: str | None, seeds: int) -> Overview:
    from rebnn_search.study.record import read_study  # Optuna: half a second

    study = read_study(folder, ledger)
    trials = [trial for trial in study.get_trials(deepcopy=False) if PARAMS in trial.user_attrs]
    standings = {
        trial.number: Standing(
            trial.number, trial.number // seeds, "COMPLETE", trial.values[0],
            infeasible=any(excess > 0 for excess in trial.constraints.values()),
        )
        for trial in trials
        if trial.state.name == "COMPLETE"
    }  # fmt: skip
    direction = study.directions[0].name.lower()
    among = best_of(standings.values(), Ordering(direction), seeds)
    runs = study.user_attrs.get(RUNS) or [{}]
    best = fmean(standings[number].value or 0.0 for number in among) if among else None
    counted = _counted(known, Counter(trial.state.name for trial in trials))
    return replace(counted, best=best, started=runs[0].get("started"), direction=direction)


def _counted(known: Overview, states: Mapping[str, int]) -> Overview:
    ended = {state: states.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL")}
    return replace(
        known, complete=ended["COMPLETE"], pruned=ended["PRUNED"], failed=ended["FAIL"],
        unfinished=sum(states.values()) - sum(ended.values()),
    )  # fmt: skip


def _first_run(folder: SearchFolder) -> str | None:
    """When a search was first run: among the first lines of its journal."""
    try:
        with folder.journal.open(encoding="utf-8") as lines:
            for _, line in zip(range(HEAD), lines, strict=False):
                runs = json.loads(line).get("user_attr", {}).get(RUNS)
                if runs:
                    return str(runs[0]["started"])
    except (OSError, ValueError, AttributeError, KeyError, TypeError, IndexError):
        return None
    return None


HEAD = 20
"""Lines of a journal among which the first run is noted, before the first trial."""


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder, and in those in it."""
    return sum(_sizes(os.walk(folder)))


def _sizes(walked: Iterable[tuple[str, list[str], list[str]]]) -> Iterator[int]:
    for place, _, names in walked:
        for name in names:
            try:
                yield os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - thousands of files
            except OSError:  # removed meanwhile
                continue


def cut_off(storage: Path) -> list[str]:
    """The searches in a directory whose removal was cut off, by name."""
    return sorted({path.name.rpartition("@")[0] for path in (storage / ASIDE).glob("*@*")})
