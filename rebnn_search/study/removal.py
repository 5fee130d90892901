"""Removes a search, whole or not at all: its folder or its place in an object store, its study in a database, its runs in MLflow.

A removal that is cut off leaves no search that looks whole: the folder is renamed aside first, and the same command goes on from
there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import RDBStorage

from rebnn_search.base.layout import SEARCH_FILE
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.storage.driver import local_driver, remote_driver
from rebnn_search.storage.fetch import explained
from rebnn_search.storage.find import open_storage
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lease import Lease, LeaseLost
from rebnn_search.storage.lock import DriverLock
from rebnn_search.storage.object_store import ObjectStore
from rebnn_search.study.attributes import RUNS, SEARCH_ID
from rebnn_search.study.optuna_log import optuna_muted
from rebnn_search.study.overview import ASIDE, size_of
from rebnn_search.study.record import check_ledger, read_study
from rebnn_search.tracking import check_uri, default_uri
from rebnn_search.tracking.removal import count_runs, remove_runs

URI_VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class Removal:
    """What there is of a search to remove.

    Attributes:
        folder: Its folder, which need not be there: in an object store alone, or aside already.
        aside: What earlier removals that were cut off have put aside.
        size: Bytes, here and in the object store.
        trials: Trials that have a folder.
        ledger: Database of its study, with the password; None for the journal in its folder.
        search_id: Its identity; None where it cannot be known.
        runs: Its runs in MLflow; None where these are kept.
        tracking_uri: Where those are.
    """

    folder: SearchFolder
    aside: list[Path]
    size: int
    trials: int
    ledger: str | None
    search_id: str | None
    runs: int | None = None
    tracking_uri: str | None = None

    @property
    def name(self) -> str:
        """The search's name."""
        return self.folder.name

    def dump(self) -> dict[str, object]:
        """The object that ``--json`` prints."""
        return {
            "name": self.name, "storage": hide_secrets(self.folder.address), "size": self.size, "trials": self.trials,
            "ledger": self.ledger and hide_secrets(self.ledger), "runs": self.runs,
            "tracking_uri": self.tracking_uri and hide_secrets(self.tracking_uri),
        }  # fmt: skip


def plan_removal(
    storage: str, name: str, ledger: str | None = None, *, tracking: bool = False, tracking_uri: str | None = None
) -> Removal:
    """Find what there is to remove of a search. Changes nothing.

    Args:
        storage: A directory, or the URI of an object store.
        name: The search's name.
        ledger: Database of its study; needed where its URL has a password.
        tracking: Whether its runs are to go too.
        tracking_uri: Where these are; by default ``MLFLOW_TRACKING_URI``, else where the search says, else ``mlflow.db`` in the
            working directory.

    Raises:
        UserError: If there is no such search, it is being driven, or ledger or tracking cannot be used.
    """
    place = open_storage(storage)
    folder = place.folder(name)
    aside = sorted((place.local / ASIDE).glob(f"{name}@*"))
    stored = 0
    if folder.remote is not None:
        with explained(folder.remote):
            store = ObjectStore(folder.remote)
            stored, driver = sum(store.sizes().values()), remote_driver(store)
        _refuse_driven(name, driver)
    if not (folder.search_file.exists() or aside or stored):
        raise place.missing(name)
    _refuse_driven(name, local_driver(folder))
    source = folder if folder.search_file.exists() or not aside else SearchFolder(aside[-1])
    url = _ledger_of(source, name, ledger)
    search_id = _identity_of(source, name, url)
    if tracking and search_id is None:
        raise UserError(
            f"{name}: which runs are its own cannot be known, as its record is gone or damaged: leave --tracking out"
        )
    uri = _tracking_of(source, name, url, tracking_uri) if tracking else None
    return Removal(
        folder=folder,
        aside=aside,
        size=stored + sum(size_of(path) for path in (folder.path, *aside)),
        trials=sum(1 for path in (folder.path, *aside) for _ in SearchFolder(path).trials.glob("*")),
        ledger=url,
        search_id=search_id,
        runs=None if uri is None else count_runs(uri, search_id or ""),
        tracking_uri=uri,
    )


def _refuse_driven(name: str, driver: str | None) -> None:
    if driver is not None:
        raise UserError(f"{name} is being driven by {driver}: wait for it, or stop it first")


def _ledger_of(folder: SearchFolder, name: str, given: str | None) -> str | None:
    """The database of a search's study, to be used."""
    try:
        known = folder.ledger
    except UserError:  # search.yaml is damaged, or gone: what the user says is so
        known = None if given is None else hide_secrets(given)
    if known is None and given is not None:
        raise UserError(f"{name}: the ledger of this search is its journal: leave --ledger out")
    if known is not None and given is None and "***" in known:
        raise UserError(f"{name}: the ledger of this search is in {known}: pass --ledger with the password")
    if given is not None and hide_secrets(given) != known:
        raise UserError(f"{name}: the ledger of this search is in {known}, not in {hide_secrets(given)}")
    url = given or known
    if url is not None:
        check_ledger(url, write=False)
    return url


def _identity_of(folder: SearchFolder, name: str, url: str | None) -> str | None:
    try:
        if folder.search_id is not None or folder.name != name:
            return folder.search_id
        found = read_study(folder, url).user_attrs.get(SEARCH_ID)  # begun by a version that kept it there alone
    except UserError:
        return None
    return None if found is None else str(found)


def _tracking_of(folder: SearchFolder, name: str, url: str | None, given: str | None) -> str:
    """Where a search's runs are, checked: as its result says, or, of one without, as its last run noted."""
    try:
        known = str(json.loads(folder.result_file.read_text(encoding="utf-8"))["tracking_uri"])
    except (OSError, ValueError, KeyError, TypeError):
        known = ""
        with suppress(UserError, KeyError, IndexError):
            known = str(read_study(folder, url).user_attrs[RUNS][-1]["tracking_uri"]) if folder.name == name else ""
    if "***" in known and given is None and URI_VARIABLE not in os.environ:
        raise UserError(f"{folder.name}: its runs are in {known}: pass --tracking-uri with the password")
    return check_uri(given or ("" if "***" in known else known) or os.environ.get(URI_VARIABLE) or default_uri(), write=False)


def remove_search(removal: Removal) -> None:
    """Remove what `plan_removal` found.

    Raises:
        UserError: If a driver has begun meanwhile, or something cannot be removed; what is not gone by then stays, or is put back.
    """
    folder = removal.folder
    store = None if folder.remote is None else ObjectStore(folder.remote)
    with _explained(folder), nullcontext() if store is None else _leased(store, folder.name) as lease:
        aside = _put_aside(folder)
        try:
            if removal.tracking_uri is not None and removal.search_id is not None:
                remove_runs(removal.tracking_uri, removal.search_id)
            if removal.ledger is not None:
                _remove_study(removal.name, removal.ledger, removal.search_id)
            if lease is not None:
                lease.renew()  # that may have taken longer than a lease lasts
        except BaseException:
            if aside is not None and not folder.path.exists():
                aside.rename(folder.path)
            raise
        if store is not None:
            store.delete(SEARCH_FILE)  # first: without it there is no search
            store.delete_all()
        for path in (*removal.aside, *([] if aside is None else [aside])):
            shutil.rmtree(path)
    with suppress(OSError):  # another removal is under way
        (folder.path.parent / ASIDE).rmdir()


def _put_aside(folder: SearchFolder) -> Path | None:
    """Rename a search's folder, so that from one moment to the next there is no such search here. Returns where it is then."""
    if not folder.path.exists():
        return None
    with DriverLock(folder):
        parent = folder.path.parent / ASIDE
        parent.mkdir(exist_ok=True)
        aside = next(path for n in range(1, 10**6) if not (path := parent / f"{folder.name}@{n}").exists())
        return folder.path.rename(aside)


@contextmanager
def _explained(folder: SearchFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = hide_secrets(str(error).splitlines()[0])
        raise UserError(f"{folder.name}: cannot be removed: {reason}; the same command goes on with what is left") from None


@contextmanager
def _leased(store: ObjectStore, name: str) -> Iterator[Lease]:
    lease = Lease(store, name)
    try:
        lease.take()
        yield lease
    except LeaseLost as error:
        raise UserError(f"{name} is being driven by {error}, which was faster") from None
    finally:
        lease.release()


def _remove_study(name: str, url: str, search_id: str | None) -> None:
    """Delete a search's study from a database, unless another search's has its name."""
    try:
        with optuna_muted():
            storage = RDBStorage(url)
            study = next((study for study in storage.get_all_studies() if study.study_name == name), None)
            if study is not None and study.user_attrs.get(SEARCH_ID) in (search_id, None):
                optuna.delete_study(study_name=name, storage=storage)
    except Exception as error:  # SQLAlchemy, the database's driver and Optuna each raise their own
        reason = hide_secrets(" ".join([type(error).__name__, *str(error).splitlines()[:1]]))
        raise UserError(f"--ledger {hide_secrets(url)}: cannot be used: {reason}") from error
