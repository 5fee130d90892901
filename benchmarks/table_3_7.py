"""What a finished search of Table 3.7's rows comes to: table, runs, figures, and whether less oscillation goes with more accuracy.

    python benchmarks/table_3_7.py results/table_3_7_cifar10_subset-1 --out benchmarks/results/table_3_7_cifar10_subset
    python benchmarks/table_3_7.py results/table_3_7_cifar10_settings-1 --settings --rate 0.002 --rate 0.004

The first writes ``table.md`` (mean and 95 % interval on the validation split, as the report has them, and on the test split; with
what it was measured), ``runs.csv`` (a row for each finished trial), ``curves.csv.gz`` (for each report), ``oscillation.csv`` (flips
and sequential oscillation by layer and epoch), ``oscillation.md`` (their rank correlation with accuracy) and the report's figures.
The test split is read once for each finished trial: trials in ``runs.csv`` are not read again.

The second prints the best settings that a search found for each row, as lines for the ``fixed`` of the table's search file.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from scipy.stats import rankdata

from rebnn_search.base.cores import usable_cores
from rebnn_search.base.errors import UserError, exit_on_user_error
from rebnn_search.base.files import write_atomically
from rebnn_search.base.metrics import FLIP_RATIO, SEQUENTIAL_OSCILLATION, VAL_LOSS, VAL_TOP1, VAL_TOP5, final, oscillation_name
from rebnn_search.doctor.machine import cpu_model
from rebnn_search.report import TrackedSearch
from rebnn_search.report import table as paper_table
from rebnn_search.report.figures import FIGURES, style
from rebnn_search.report.strategies import REACTNET, REBNN, RECU, ZERO, Method, label_of, methods
from rebnn_search.report.tracked import TrackedTrial
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import RUNS
from rebnn_search.study.curves import SECONDS, TRIAL, curves_table, write_curves
from rebnn_search.study.estimate import estimate
from rebnn_search.study.ranking import Ordering
from rebnn_search.study.record import read_study
from rebnn_search.tracking import check_uri
from rebnn_search.training import Trainer, TrainingFolder, load_recipe
from rebnn_search.training.recipe import PATH_OPTIONS
from rebnn_search.training.report_log import TrackedReport, read_reports

FIGURE_NAMES = ("latent_weights", "oscillation", "training_loss")
"""Figures 3.29, 3.30 (a) and 3.30 (b)."""
CLAIMED = (REACTNET, RECU, ZERO, REBNN)
"""Rows whose oscillation is written by layer and epoch."""
RATIOS = ("flip_ratio", "sequential_oscillation_ratio")
RESAMPLES = 2000
FEWEST_ROWS = 5
"""Of fewer there is no interval worth the name."""
TESTED = ("loss", "top1", "top5")
TRIAL_COLUMNS = (
    "trial", "run", "strategy", "seed", "val_loss", "val_top1", "val_top5", *(f"test_{name}" for name in TESTED), *RATIOS, "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One finished trial.

    Attributes:
        flips, oscillation: Share of the binary weights that flipped in a step, and at two steps running: means over stage two.
        tested: ``loss``, ``top1`` and ``top5`` on the test split.
        seconds: Of training and validation.
    """

    trial: TrackedTrial
    label: str
    flips: float
    oscillation: float
    tested: Mapping[str, float]
    seconds: float

    @property
    def top1(self) -> float:
        """Validation Top-1 at the end, in percent."""
        return self.trial.metrics[final(VAL_TOP1)]


def finished_runs(search: TrackedSearch, folder: SearchFolder, known: Mapping[str, Mapping[str, float]]) -> list[Run]:
    """Every trial that came to its end, by number.

    Args:
        search: As tracking has it.
        folder: The same as disk has it.
        known: Results on the test split of trials that were read before, by the id of their run.

    Raises:
        UserError: If a trial's checkpoint is gone.
    """
    spent = curves_table(str(folder.path.parent), folder.name).groupby(TRIAL)[SECONDS].max()
    runs = []
    for trial in search.complete:
        reports = read_reports(folder.report_file(trial.number))
        flips, oscillation = (mean_of(reports, name) for name in (FLIP_RATIO, SEQUENTIAL_OSCILLATION))
        tested = known.get(trial.run_id) or read_test(folder, trial.number)
        runs.append(Run(trial, label_of(search, trial), flips, oscillation, tested, float(spent[trial.number])))
    return runs


def mean_of(reports: Iterable[TrackedReport], name: str) -> float:
    """A metric's mean over a training's reports."""
    return float(np.mean([report.metrics[name] for report in reports]))


def read_test(folder: SearchFolder, number: int) -> dict[str, float]:
    """Read the test split with a trial's last checkpoint.

    Raises:
        UserError: If there is none.
    """
    training = TrainingFolder(folder.trial(number))
    state = training.newest_state()
    if state is None:
        raise UserError(f"{training.path}: holds no checkpoint: the test split cannot be read with it")
    trainer = Trainer(load_recipe(training.recipe_file))
    try:
        trainer.load_state_dict(state)
        return trainer.evaluate("test")
    finally:
        trainer.close()


def known_tests(file: Path) -> dict[str, dict[str, float]]:
    """What `runs_csv` wrote of the test split, by the id of the trials' runs."""
    if not file.exists():
        return {}
    with file.open(encoding="utf-8", newline="") as text:
        return {row["run"]: {name: float(row[f"test_{name}"]) for name in TESTED} for row in csv.DictReader(text)}


def runs_csv(runs: Sequence[Run], space: Sequence[str]) -> str:
    """The runs, each number in a column of its own and unrounded."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*TRIAL_COLUMNS, *space])
    for run in runs:
        metrics = run.trial.metrics
        writer.writerow(
            [
                run.trial.number, run.trial.run_id, run.label, run.trial.seed,
                *(metrics[final(name)] for name in (VAL_LOSS, VAL_TOP1, VAL_TOP5)), *(run.tested[name] for name in TESTED),
                run.flips, run.oscillation, run.seconds, *(run.trial.params.get(name, "") for name in space),
            ]
        )  # fmt: skip
    return file.getvalue()


def by_layer(folder: SearchFolder, found: Sequence[Method]) -> str:
    """Flips and sequential oscillation of the claimed rows as CSV: mean, least and most over seeds by layer, from 1, and epoch."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["strategy", "layer", "epoch", "n", *(f"{ratio}_{part}" for ratio in RATIOS for part in ("mean", "min", "max"))]
    )
    for method in found:
        if method.label not in CLAIMED:
            continue
        trials = [by_epoch(read_reports(folder.report_file(trial.number))) for trial in method.trials]
        for layer, epoch in sorted(set.intersection(*(set(trial) for trial in trials))):
            values = np.array([trial[layer, epoch] for trial in trials])  # (seeds, ratios)
            numbers = [float(part) for column in values.T for part in (column.mean(), column.min(), column.max())]
            writer.writerow([method.label, layer, epoch, len(trials), *numbers])
    return file.getvalue()


def by_epoch(reports: Sequence[TrackedReport]) -> dict[tuple[int, int], list[float]]:
    """`RATIOS` by layer, from 1, and epoch: means over the reports of an epoch."""
    collected: dict[tuple[int, int], list[list[float]]] = {}
    for report in reports:
        epoch, layer = int(np.ceil(report.epoch - 1e-6)), 0
        while (names := [oscillation_name(f"layer_{layer:02d}/{ratio}") for ratio in RATIOS])[0] in report.metrics:
            layer += 1
            collected.setdefault((layer, epoch), []).append([report.metrics[name] for name in names])
    return {place: np.mean(rows, axis=0).tolist() for place, rows in collected.items()}


def rank_correlation(groups: Sequence[Sequence[tuple[float, float]]], seed: int = 0) -> tuple[float, float, float]:
    """Spearman's ρ over all pairs, and its 95 % percentile interval over resampled groups.

    Trials of a row share a method and are no independent evidence for a relation between methods: whole rows are drawn. Resamples in
    which one of the two does not vary have no ρ and are left out.

    Args:
        groups: Pairs (x, y) by row.
        seed: Of the resampling.
    """
    arrays = [np.array(group, dtype=float) for group in groups]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([arrays[index] for index in rng.integers(len(arrays), size=len(arrays))])
        if (np.ptp(drawn, axis=0) > 0).all():
            found.append(_rho(drawn))
    low, high = np.quantile(found, [0.025, 0.975]) if found else (np.nan, np.nan)
    return _rho(np.concatenate(arrays)), float(low), float(high)


def _rho(pairs: np.ndarray) -> float:
    if (np.ptp(pairs, axis=0) == 0).any():
        return float("nan")
    x, y = rankdata(pairs, axis=0).T
    return float(np.corrcoef(x, y)[0, 1])


def correlations(runs: Sequence[Run]) -> str:
    """The rank correlations of oscillation and accuracy as a Markdown table with what they are."""
    measures: Mapping[str, Callable[[Run], float]] = {
        "sequential oscillation": lambda run: run.oscillation, "sign flips": lambda run: run.flips,
    }  # fmt: skip
    of_rebnn = [run for run in runs if run.trial.params.get("weights", "rebnn") == "rebnn"]
    lines = ["| of | trials | rows | with validation Top-1 | Spearman's ρ | 95 % interval |", "|---|---:|---:|---|---:|---|"]
    for what, chosen in (("all rows", list(runs)), ("rows with ReBNN's weights", of_rebnn)):
        rows: dict[str, list[Run]] = {}
        for run in chosen:
            rows.setdefault(run.label, []).append(run)
        if len(rows) < FEWEST_ROWS:
            continue
        for name, measure in measures.items():
            rho, low, high = rank_correlation([[(measure(run), run.top1) for run in group] for group in rows.values()])
            lines.append(f"| {what} | {len(chosen)} | {len(rows)} | {name} | {rho:+.2f} | {low:+.2f} to {high:+.2f} |")
    note = (
        f"Each trial's ratio is its mean over stage two and all binary layers. Intervals: percentiles of {RESAMPLES:,} bootstrap "
        "resamples of whole rows. The claim that less oscillation goes with more accuracy would be a ρ below 0; an interval that "
        "holds 0 says nothing either way. A correlation between methods is no cause."
    )
    return "\n".join([*lines, "", note]) + "\n"


def table_page(search: TrackedSearch, runs: Sequence[Run], command: str) -> str:
    """The table, the test split's, and how it was measured."""
    lines = [
        f"# {search.name}",
        "",
        paper_table.markdown(paper_table.table(search)),
        *(f"- {n}" for n in paper_table.notes(search)),
        "",
    ]
    by_run = {run.trial.run_id: run for run in runs}
    lines += ["| strategy | n | test Top-1 (%) | test loss | settings |", "|---|---:|---:|---:|---|"]
    for method in methods(search):
        tested = [by_run[trial.run_id].tested for trial in method.trials]
        top1, loss = (estimate([one[name] for one in tested]) for name in ("top1", "loss"))
        assert top1 is not None and loss is not None
        settings = ", ".join(f"{name} {value}" for name, value in method.trials[0].params.items() if name not in ROW_NAMES)
        lines.append(
            f"| {method.label} | {top1.n} | {top1.text('.2f')} | {loss.text('.4f')} | {settings} |".replace("|G|", "\\|G\\|")
        )
    lines += ["", "The test split was read once with each finished trial's last checkpoint, and chose nothing.", ""]
    return "\n".join(lines + [f"- {fact}" for fact in conditions(search, runs, command)]) + "\n"


ROW_NAMES = ("weights", "gamma.strategy", "gamma.value")
"""Parameters that a row's label tells."""


def conditions(search: TrackedSearch, runs: Sequence[Run], command: str) -> list[str]:
    """With what the table was measured."""
    history = [{key: str(value) for key, value in entry.items()} for entry in search.history]
    ended = [trial.end for trial in search.trials if trial.end is not None]
    hours = (max(ended) - min(trial.start for trial in search.trials)) / 3.6e6
    recipe = search.search.base
    data = {key: value for key, value in recipe["data"].items() if key not in PATH_OPTIONS}
    versions: object = search.history[-1]["versions"] if search.history else {}
    return [
        f"data: {data}; network: {recipe['network']}; batch {recipe['batch_size']}; stage one {recipe.get('stage_one')}; "
        f"{recipe['epochs']} epochs in stage two",
        f"hardware: {cpu_model()}, {usable_cores():g} cores, as of the machine that wrote this; searched on "
        f"{', '.join(sorted({entry['host'] for entry in history}))}; per trial {search.search.spec.resources.model_dump()}",
        f"versions: {', '.join(f'{name} {one}' for name, one in versions.items()) if isinstance(versions, dict) else versions}",
        f"commits: {', '.join(dict.fromkeys(entry['commit'] for entry in history))}",
        *(f"searched by: `{entry['command']}` ({entry['started']})" for entry in history),
        f"written by: `{command}`",
        f"time: {sum(run.seconds for run in runs) / 3600:.2f} h in the finished trials, {hours:.2f} h from the first trial's start "
        "to the last one's end, pauses between sittings included",
    ]


def settings_lines(search: TrackedSearch, rates: Sequence[float]) -> list[str]:
    """The best settings found for each row, as items of a search file's ``fixed``; one for each learning rate, if such are given."""
    ordering = Ordering(search.search.spec.objective.direction)
    rows: dict[tuple[str, float | None], list[TrackedTrial]] = {}
    for trial in search.complete:
        rate = trial.params["optimizer.lr"]
        if not rates or rate in rates:
            rows.setdefault((label_of(search, trial), rate if rates else None), []).append(trial)
    order = [method.label for method in methods(search)]
    lines = []
    for (label, _), trials in sorted(rows.items(), key=lambda row: (row[0][1] or 0.0, order.index(row[0][0]))):
        best = min(trials, key=lambda trial: ordering.sort_key(trial.metrics[final(search.objective)]))
        params = yaml.safe_dump(dict(best.params), default_flow_style=True, sort_keys=False, width=1000).strip()
        value = best.metrics[final(search.objective)]
        lines.append(f"  - {params}   # {label}: {search.objective} {value:.4g}, best of {len(trials)}")
    return lines


def write_results(search: TrackedSearch, folder: SearchFolder, out: Path, command: str) -> list[Path]:
    """Write everything. Returns the files."""
    out.mkdir(parents=True, exist_ok=True)
    runs = finished_runs(search, folder, known_tests(out / "runs.csv"))
    if not runs:
        raise UserError(f"{folder.path}: no trial of this search was trained to its end yet")
    texts = {
        "runs.csv": runs_csv(runs, list(search.search.space)),  # first: the test split is then not read again
        "table.md": table_page(search, runs, command),
        "oscillation.csv": by_layer(folder, methods(search)),
        "oscillation.md": correlations(runs),
    }
    for name, text in texts.items():
        write_atomically(out / name, text)
    write_curves(curves_table(str(folder.path.parent), folder.name), out / "curves.csv.gz")
    written = [*(out / name for name in texts), out / "curves.csv.gz"]
    with style():
        for figure in FIGURES:
            if figure.name in FIGURE_NAMES and (drawn := figure.draw(search)) is not None:
                drawn.savefig(out / f"{figure.name}.png", format="png")
                written.append(out / f"{figure.name}.png")
    return written


def tracked(folder: SearchFolder, uri: str | None) -> TrackedSearch:
    """The search as tracking has it: at the given place, or where it was last tracked.

    Raises:
        UserError: If there is no such search.
    """
    if not folder.search_file.is_file():
        raise UserError(f"{folder.path}: is no search's folder")
    recorded = [str(run["tracking_uri"]) for run in read_study(folder, None).user_attrs.get(RUNS, [])]
    if uri is None and not recorded:
        raise UserError(f"{folder.path}: does not say where it was tracked: add --tracking-uri")
    return TrackedSearch(check_uri(uri or recorded[-1], write=False), folder.name)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description="Write the results of a search of Table 3.7's rows.")
    p.add_argument("folder", type=Path, metavar="FOLDER", help="the search's, as results/table_3_7_cifar10_subset-1")
    p.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default: benchmarks/results/ and the search's name)"
    )
    p.add_argument("--tracking-uri", metavar="URI", help="MLflow tracking (default: where the search was tracked last)")
    p.add_argument("--settings", action="store_true", help="print the best settings of each row instead")
    p.add_argument(
        "--rate",
        type=float,
        action="append",
        default=[],
        metavar="LR",
        help="with --settings: the best for this learning rate; may be repeated",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0."""
    args = parser().parse_args(argv)
    folder = SearchFolder(args.folder.absolute())
    search = tracked(folder, args.tracking_uri)
    if args.settings:
        print("\n".join(settings_lines(search, args.rate)))
        return 0
    out = args.out or Path(__file__).parent / "results" / folder.name
    words = sys.argv[1:] if argv is None else argv
    for file in write_results(search, folder, out, " ".join(["python benchmarks/table_3_7.py", *words])):
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(exit_on_user_error(main))
