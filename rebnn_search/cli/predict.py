"""``python -m rebnn_search.predict MODEL IMAGES...``: classify image files with a model file."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rebnn_search.cli._allow import add_allow, allow_parts
from rebnn_search.config import Notice, UserError, printable, printable_json


def parser(prog: str = "python -m rebnn_search.predict") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog=prog, description="Classify images with an exported model.")
    p.add_argument("model", metavar="MODEL", help="a file that rebnn_search.export wrote, of any format")
    p.add_argument(
        "images",
        metavar="IMAGES",
        nargs="+",
        help="image files; .npy and .npz hold many images or a table's features, .csv, .csv.gz, .tsv and .parquet rows",
    )
    p.add_argument("--top", type=int, default=1, metavar="K", help="name the K likeliest classes (default: %(default)s)")
    p.add_argument(
        "--engine", metavar="ENGINE",
        help="what computes: torch, openvino or auto, the faster (default: what the file's format says)",
    )  # fmt: skip
    p.add_argument("--skip-damaged", action="store_true", help="leave image files out that cannot be decoded, and say which")
    add_allow(p)
    p.add_argument("--json", action="store_true", help="print one JSON list instead of a line for each image")
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    if args.top < 1:
        raise UserError(f"--top {args.top}: at least one class is named")
    allow_parts(args.allow)
    damaged: list[Path] | None = [] if args.skip_damaged else None
    found = _predictions(args.model, [Path(image) for image in args.images], args.top, damaged, args.engine)
    if args.json:
        print(printable_json(list(found)))
    else:
        for prediction in found:
            words = [f"{printable(likely['class'])}\t{likely['probability']:.4f}" for likely in prediction["top"]]
            print("\t".join([printable(prediction["path"]), *words]))
    return 0


def _predictions(
    model_file: str, files: list[Path], top: int, damaged: list[Path] | None, engine: str | None
) -> Iterator[dict[str, Any]]:
    """A prediction for each image, in order."""
    from rebnn_search.export import load_model
    from rebnn_search.training.data.images import DamagedImageError, left_out

    model = load_model(model_file, engine)
    sound = False
    try:
        for name, row in model.predict_files(files, damaged):
            sound = True
            order = (-row).argsort(kind="stable")[:top]
            likely = [{"class": model.classes[label], "probability": float(row[label])} for label in order]
            yield {"path": name, **likely[0], "top": likely}
    except DamagedImageError as error:
        raise UserError(f"{error}; --skip-damaged leaves such files out") from None
    if damaged and not sound:
        raise UserError(left_out(damaged, len(files)))
    if damaged:
        warnings.warn(left_out(damaged, len(files)), Notice, stacklevel=2)
