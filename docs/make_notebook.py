"""Run docs/notebook.ipynb and write it back with its outputs, without what differs from run to run for no reason."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("notebook.ipynb")
TIMEOUT = 300


def execute(notebook: Any, folder: Path) -> Any:
    """Run a notebook's cells in a folder. Returns the notebook with its outputs.

    Raises:
        CellExecutionError: If a cell does.
    """
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook, timeout=TIMEOUT, startup_timeout=TIMEOUT, kernel_name="python3", record_timing=False, resources=where
    )
    return client.execute()


WITHOUT_WIDGETS = "import sys; sys.modules['ipywidgets'] = None"
"""What is run first for the documents: a page that shows them has no widgets, and shows progress as it ended."""


def tidy(notebook: Any) -> None:
    """Leave out what another run would have differently, and what was run first."""
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    del notebook.cells[0]
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
        if cell.cell_type == "code":
            cell.execution_count -= 1
            # A busy machine makes trials wait, and says so.
            cell.outputs = [output for output in cell.outputs if not output.get("text", "").startswith("waiting: ")]
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = cell.execution_count


if __name__ == "__main__":
    os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
    made = nbformat.read(NOTEBOOK, as_version=4)
    made.cells.insert(0, nbformat.v4.new_code_cell(WITHOUT_WIDGETS))
    with tempfile.TemporaryDirectory() as folder:
        execute(made, Path(folder))
    tidy(made)
    nbformat.write(made, NOTEBOOK)
