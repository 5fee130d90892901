"""A search's trials as one table: a row for each report, with the configuration that made it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from rebnn_search.base.files import write_atomically
from rebnn_search.base.metrics import FLIP_RATIO, TRAIN_LOSS, VAL_LOSS, VAL_TOP1, VAL_TOP5
from rebnn_search.config import UserError
from rebnn_search.storage.find import named_search
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import PARAMS, REASON
from rebnn_search.study.cost import seconds_spent
from rebnn_search.study.ended import ended_trials
from rebnn_search.study.search import Search
from rebnn_search.study.space import Parameter, Space, Value
from rebnn_search.study.stored import stored_search
from rebnn_search.training.report_log import read_reports

if TYPE_CHECKING:
    import pandas as pd

TRIAL, CONFIGURATION, SEED, STATE, REASON_COLUMN = "trial", "configuration", "seed", "state", "reason"
STEP, EPOCH, SECONDS = "step", "epoch", "seconds"
METRICS = (TRAIN_LOSS, VAL_LOSS, VAL_TOP1, VAL_TOP5, FLIP_RATIO)
"""Columns of the reports' values, under the names that the reports have them by."""
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?|-?inf")
SUFFIXES = (".csv", ".csv.gz", ".parquet")
"""What a table's file can be, by the end of its name."""


def curves_table(storage: str, name: str, ledger: str | None = None) -> pd.DataFrame:
    """The reports of a search's finished trials; the search may still run. Nothing is changed.

    Args:
        storage: A directory, or the URI of an object store, whose working copy on this machine is then brought up to date.
        name: The search's name.
        ledger: Database of the Optuna study, of a search that was begun with one.

    Returns:
        A row for each report, by trial and step; a trial that ended before its first has one row without. ``trial``;
        ``configuration`` and ``seed`` where configurations have several seeds; ``state`` and ``reason``; each parameter by its
        dotted name, missing where its condition does not hold; ``step``; ``epoch``; ``seconds`` of training and validation up to
        the report, the time until a worker took the trial up included (where the search was stopped meanwhile, the trial's
        median between two reports stands for that gap); `METRICS`, losses in nats, accuracies in percent.

    Raises:
        UserError: If there is no such search, its record cannot be read, or no trial of it has ended.
    """
    import pandas as pd  # half a second

    folder = named_search(storage, name)
    search = stored_search(folder)
    trials, runs = ended_trials(folder, ledger)
    rows = [row for trial in trials for row in _rows(search, folder, trial, runs)]
    if not rows:
        raise UserError(f"{name}: no trial of this search has ended yet")
    table = pd.DataFrame(rows)
    for column in (TRIAL, CONFIGURATION, SEED, STEP):
        if column in table and column not in search.space:
            table[column] = table[column].astype("Int64")
    for column, parameter in search.space.parameters.items():
        whole = parameter.kind in ("int", "log_int")
        table[column] = table[column].astype("Int64" if whole else "float64" if parameter.kind != "choice" else "object")
    return table


def write_curves(table: pd.DataFrame, path: Path) -> None:
    """Write a table as ``.csv``, ``.csv.gz`` or ``.parquet``, by the file's name; there is the whole file or none.

    Raises:
        UserError: If the name ends in none of these, or the file cannot be written.
    """
    check_suffix(path)
    content = BytesIO()
    if path.name.endswith(".parquet"):
        table.to_parquet(content, index=False)
    else:
        how: Any = {"method": "gzip", "mtime": 1} if path.name.endswith(".gz") else None
        table.to_csv(content, index=False, lineterminator="\n", compression=how)
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written: {error.strerror or error}") from None


def check_suffix(path: Path) -> None:
    """See that a file's name says what it is to be.

    Raises:
        UserError: If it does not.
    """
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"--out {path}: the name must end in one of {', '.join(SUFFIXES)}")


def read_curves(path: Path) -> pd.DataFrame:
    """Read what `write_curves` wrote: numbers are the same to the bit, missing values are missing again.

    Raises:
        UserError: If there is no such file, or it is no table of curves.
    """
    import pandas as pd

    try:
        if path.name.endswith(".parquet"):
            table = pd.read_parquet(path)
        else:
            # As text first: not every version of pandas reads the number that was written.
            text = pd.read_csv(path, keep_default_na=False, dtype=str)
            table = pd.DataFrame({name: _parsed(name, text[name].tolist()) for name in text})
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read as a table: {(str(error).splitlines() or ['it is damaged'])[0]}") from None
    missing = [name for name in (TRIAL, STATE, STEP, EPOCH, SECONDS, *METRICS) if name not in table]
    if missing:
        raise UserError(f"{path}: is no table of curves: it has no column {missing[0]}")
    return table


def _parsed(name: str, cells: list[str]) -> Any:
    """A column of text as what it was."""
    import pandas as pd

    filled = [cell for cell in cells if cell]
    if name in (STATE, REASON_COLUMN) or not all(map(NUMBER.fullmatch, filled)):
        truths = {"True": True, "False": False} if set(filled) <= {"True", "False"} else {}
        return pd.Series([truths.get(cell, cell) if cell else None for cell in cells], dtype="object")
    if filled and not any(set(".e") & set(cell) for cell in filled):
        return pd.array([int(cell) if cell else None for cell in cells], dtype="Int64")
    return [float(cell) if cell else float("nan") for cell in cells]


def params_of(row: Mapping[str, Any], space: Space) -> dict[str, Value]:
    """The configuration in a table's row, each value of its parameter's own type.

    Raises:
        UserError: If the row has a value that the space does not.
    """
    return {name: _value(name, parameter, row[name]) for name, parameter in space.parameters.items() if has_value(row[name])}


def has_value(cell: Any) -> bool:
    """Whether a cell holds anything."""
    import pandas as pd

    return bool(pd.notna(cell))


def _value(name: str, parameter: Parameter, found: Any) -> Value:
    value = found.item() if hasattr(found, "item") else found
    if parameter.kind == "choice":
        for choice in parameter.choice or []:
            alike = isinstance(choice, bool) == isinstance(value, bool) and choice == value
            if alike or str(cell(parameter, choice)) == str(value):
                chosen: Value = choice
                return chosen
    elif parameter.contains(value):
        return parameter.canonical(value)
    raise UserError(f"{name} = {value!r}: the space has {parameter.allowed()}")


def cell(parameter: Parameter, value: Value) -> Value:
    """A parameter's value in the table: choices of several types as JSON, since a column has one."""
    choices = parameter.choice or []
    mixed = parameter.kind == "choice" and (None in choices or len({type(choice) for choice in choices}) > 1)
    return json.dumps(value) if mixed else value


def _rows(search: Search, folder: SearchFolder, trial: FrozenTrial, runs: Sequence[float]) -> list[dict[str, Any]]:
    params = trial.user_attrs[PARAMS]
    seeds = {CONFIGURATION: search.configuration_of(trial.number), SEED: search.seed_of(trial.number)}
    common = {
        TRIAL: trial.number, **(seeds if search.spec.seeds > 1 else {}), STATE: trial.state.name,
        REASON_COLUMN: trial.user_attrs.get(REASON),
        **{name: cell(p, params[name]) if name in params else None for name, p in search.space.parameters.items()},
    }  # fmt: skip
    reports = read_reports(folder.report_file(trial.number))
    if not reports:
        return [{**common, STEP: None, EPOCH: None, SECONDS: None, **dict.fromkeys(METRICS)}]
    spent = seconds_spent(trial, reports, runs)
    return [
        {**common, STEP: r.step, EPOCH: r.epoch, SECONDS: s, **{name: r.metrics.get(name) for name in METRICS}}
        for r, s in zip(reports, spent, strict=True)
    ]
