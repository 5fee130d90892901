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
    client = NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name="python3", record_timing=False, resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


def tidy(notebook: Any) -> None:
    """Leave out what another run would have differently: widgets' states, the interpreter's version."""
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}


if __name__ == "__main__":
    os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
    made = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        execute(made, Path(folder))
    tidy(made)
    nbformat.write(made, NOTEBOOK)
