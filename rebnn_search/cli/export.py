"""``python -m rebnn_search.export RUN_OR_CHECKPOINT --format packed|onnx|torch``: a trained network as a model file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rebnn_search.base.discovery import part_names
from rebnn_search.base.errors import UserError
from rebnn_search.cli._allow import add_allow, allow_parts

_FORMATS = Path(__file__).parents[1] / "export" / "formats"


def parser(prog: str = "python -m rebnn_search.export") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog=prog, description="Write a trained network as a model file.")
    p.add_argument(
        "source", metavar="RUN_OR_CHECKPOINT",
        help="a checkpoint, the folder of a trial, of a training (--out of rebnn_search.train) or of a whole search, "
        "a model file, or the id of an MLflow run",
    )  # fmt: skip
    p.add_argument("--format", metavar="FORMAT", required=True, help=f"what to write: {', '.join(part_names(_FORMATS))}")
    p.add_argument("--out", metavar="FILE", help="the file (default: packed.safetensors or the like, in the source's folder)")
    p.add_argument("--recipe", metavar="FILE", help="the recipe of a checkpoint that lies apart from its own")
    p.add_argument("--tracking-uri", metavar="URI", help="MLflow tracking (default: sqlite:///mlflow.db in this directory)")
    add_allow(p)
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    # What is above needs milliseconds, torch seconds.
    from rebnn_search.export import FORMATS, find_trained
    from rebnn_search.export.sizes import size_table

    try:
        form = FORMATS.get_class(args.format)()
    except ValueError as error:
        raise UserError(f"--format: {error}") from None
    allow_parts(args.allow)
    trained = find_trained(args.source, recipe=args.recipe, tracking_uri=args.tracking_uri)
    out = trained.folder / form.file if args.out is None else Path(args.out)
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}")
    console = Console(highlight=False)
    if rows := form.write(trained.network, trained.info, out):
        console.print(size_table(rows))
    console.print(f"{out}: {out.stat().st_size:,} bytes", soft_wrap=True, markup=False)
    return 0
