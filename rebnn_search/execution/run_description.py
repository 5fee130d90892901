"""The description on the parent run's page, in Markdown, within what MLflow takes."""

from __future__ import annotations

from pathlib import Path

from rebnn_search.study.result import Result
from rebnn_search.study.table import chosen, markdown

ROWS = 12
LONGEST = 7500
"""Characters: MLflow takes 8,000 in a tag."""


def run_description(result: Result, experiment_id: str) -> str:
    """The description: what was chosen, its parameters and recipe, the top of the leaderboard with links to the runs."""
    runs = {row.number: f"#/experiments/{experiment_id}/runs/{row.run_id}" for row in result.rows if row.run_id}
    parts = []
    best = result.best_row
    if result.best is not None and best is not None:
        parts.append(f"**Best: {chosen(result.best)}**")
        parts.append(", ".join(f"`{name}` = {value}" for name, value in best.params.items()))
    elif result.none_feasible:
        parts.append(f"**{result.none_chosen()}**")
    shown, hidden = markdown(result, most=ROWS, runs=runs), max(0, len(result.groups) - ROWS)
    parts.append("### Leaderboard\n\n" + shown + (f"\n{hidden} more in the artifact `leaderboard.md`.\n" if hidden else ""))
    if result.best is not None:
        recipe = Path(result.best.recipe).read_text(encoding="utf-8")
        parts.append(f"### Best recipe\n\n```yaml\n{recipe}```")
    parts.append("The artifacts hold the resolved search (`search.yaml`), the best recipe and network, and the report.")
    text = ""
    for part in parts:
        if len(text) + len(part) + 2 <= LONGEST:
            text += part + "\n\n"
    return text


def with_figures(text: str, run_id: str, names: list[str]) -> str:
    """The description with figures of the report, after the leaderboard, as far as there is room."""
    head, mark, rest = text.partition("### Best recipe")
    pictures = "".join(f"![{name}](get-artifact?path=report%2Ffigures%2F{name}.png&run_uuid={run_id})\n" for name in names)
    made = f"{head}{pictures}\n{mark}{rest}"
    return made if "get-artifact" not in text and len(made) <= LONGEST + 400 else text
