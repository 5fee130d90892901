"""Draws a search's tables, figures and page into a directory, and logs them to its parent run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

from rebnn_search.base.files import write_atomically
from rebnn_search.config import Notice, UserError
from rebnn_search.execution.run_description import with_figures
from rebnn_search.report import table as paper_table
from rebnn_search.report.evaluation import evaluate
from rebnn_search.report.figures import FIGURES, style
from rebnn_search.report.page import render
from rebnn_search.report.record import EVALUATION_FILE, Evaluation
from rebnn_search.report.tracked import REPORT_FOLDER, TrackedSearch
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.object_store import send_files
from rebnn_search.tracking import NOTE_TAG, SEARCH_TAG
from rebnn_search.training.custom_parts import described

FIGURE_FORMATS = ("png", "svg", "pdf")
PAGE = "report.html"
DESCRIBED = ("front", "training_loss", "intermediate_values")
"""Figures on the parent run's page."""


def write_report(
    search: TrackedSearch, out: Path, formats: Sequence[str] = ("png",), folder: SearchFolder | None = None
) -> list[Path]:
    """Write everything that the search has the runs for.

    Args:
        search: The tracked search.
        out: Directory, made if it is not there.
        formats: Of the figures, of `FIGURE_FORMATS`.
        folder: The search's own, from which the chosen network is evaluated; None where it is not at hand: then the page says what
            the last report found, if it is of the same trial.

    Returns:
        The files: ``table_3_7.md``, ``.tex``, ``.csv``, ``figures/NAME.FORMAT``, ``report.html`` and, where the chosen network could
        be evaluated, ``evaluation.json``.
    """
    (out / "figures").mkdir(parents=True, exist_ok=True)
    found = None if folder is None else evaluate(search, folder)
    if isinstance(found, Evaluation):
        search.evaluation = found
    elif found is not None:
        search.not_evaluated = found
    with style():
        drawn = FIGURES.draw(search)
        for figure in FIGURES:
            if figure.name not in drawn:
                _remove(out, figure.name)
        written = []
        for name, drawing in list(drawn.items()):
            files = [out / "figures" / f"{name}.{form}" for form in formats]
            try:
                for file in files:
                    drawing.savefig(file)
                    drawing.set_layout_engine("none")  # laid out once: it takes as long as drawing
            except OSError:
                raise
            except Exception as error:  # matplotlib finds out here what it cannot set; one picture is worth no report
                warnings.warn(f"the figure {name} is left out: {described(error)}", Notice, stacklevel=2)
                del drawn[name]
                _remove(out, name)
            else:
                written += files
        page = render(search, drawn)
    rows = paper_table.table(search)
    texts = {
        "table_3_7.md": paper_table.markdown(rows) + "\n" + "\n".join(f"- {note}" for note in paper_table.notes(search)) + "\n",
        "table_3_7.tex": paper_table.latex(rows, paper_table.notes(search)),
        "table_3_7.csv": paper_table.as_csv(rows),
        PAGE: page,
    }
    if search.evaluation is None:
        (out / EVALUATION_FILE).unlink(missing_ok=True)  # of an earlier report
    else:
        texts[EVALUATION_FILE] = search.evaluation.dump() + "\n"
    for name, text in texts.items():
        write_atomically(out / name, text)
        written.append(out / name)
    return written


def _remove(out: Path, name: str) -> None:
    """Remove a figure of an earlier report, which this one has not."""
    for form in FIGURE_FORMATS:
        (out / "figures" / f"{name}.{form}").unlink(missing_ok=True)


def folder_of(search: TrackedSearch, storage: Path) -> SearchFolder | None:
    """The folder of a tracked search in a directory of searches; None if it is not there, or another search of its name."""
    folder = SearchFolder(storage / search.name)
    if not folder.search_file.is_file():
        return None
    try:
        if (found := folder.search_id) is not None:
            return folder if found == search.parent.data.tags[SEARCH_TAG] else None
        # Of a version that kept the identity in the ledger alone.
        result = json.loads(folder.result_file.read_text(encoding="utf-8"))
        return folder if result["parent_run_id"] == search.parent.info.run_id else None
    except (UserError, OSError, ValueError, KeyError, TypeError):  # what is damaged there is not this report's to say
        return None


def report_search(uri: str, folder: SearchFolder) -> Path:
    """Write a search's report into its folder, log it to its parent run, and send it to its object store if it has one.

    Returns:
        The page.
    """
    search = TrackedSearch(uri, folder.name, folder.search_id)
    out = folder.path / "report"
    write_report(search, out, folder=folder)
    log_report(search, out)
    if folder.remote is not None:
        send_files(folder.remote, out, "report")
    return (out / PAGE).absolute()


def log_report(search: TrackedSearch, out: Path) -> None:
    """Give the parent run what was written."""
    run_id = search.parent.info.run_id
    search.client.log_artifacts(run_id, str(out), REPORT_FOLDER)
    shown = [name for name in DESCRIBED if (out / "figures" / f"{name}.png").exists()]
    note = search.parent.data.tags.get(NOTE_TAG, "")
    search.client.set_tag(run_id, NOTE_TAG, with_figures(note, run_id, shown))
