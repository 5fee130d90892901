"""Kill a search at random moments, resume it, and count what was lost. It must be nothing.

    python benchmarks/soak.py --kills 100 --seed 0 [--trials 40] [--kind objectives|promotion] [--json]

Each search runs one trial at a time and is killed with SIGKILL at a random moment after its start: the driver, a trial's worker, the
raylet, the GCS, or all of them at once; sometimes the journal's or the reports' end is then torn or a checkpoint cut short, as a
power cut could. The same command with --resume goes on until the search is finished; then it is compared, bit for bit, with the
same search left alone.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

RECIPE = """
data: {name: digits}
network: {name: digits_resnet, width: 4}
optimizer: {name: adam, lr: 1e-2}
epochs: 12
batch_size: 128
reports_per_epoch: 4
"""
SPACE = """
recipe: recipe.yaml
space:
  gamma.strategy: {choice: [flip_ratio, max_gradient, constant]}
  gamma.value: {choice: [0.0, 1e-4], when: {gamma.strategy: constant}}
  optimizer.lr: {log_uniform: [1e-4, 1e-1]}
fixed: [{gamma.strategy: flip_ratio}]
sampler: {name: tpe, n_startup_trials: 4}
pruner: {name: median, n_startup_trials: 3, n_warmup_steps: 4}
trials: %d
max_failures: 1000
resources: {max_concurrent: 1}
"""
TWO = (
    SPACE.replace("fixed:", "  network.width: {choice: [4, 6, 8]}\nfixed:")
    + """
objectives: [val/loss, bytes]
constraints: {bytes: <= 5 kB}
"""
)
"""Of two objectives: some widths are infeasible, and end at their first report."""
PROMOTED = (
    SPACE.replace("pruner: {name: median, n_startup_trials: 3, n_warmup_steps: 4}", "warm_start: {search: earlier, best: 3}")
    + """
pruner: {name: promotion, startup_trials: 6, every: 6, first_look: 2, second_look: 8, second_looks: 3, keep: 0.2}
"""
)
"""Trials wait and go on; the first are an earlier search's best."""
KINDS = {"plain": SPACE, "objectives": TWO, "promotion": PROMOTED}
EARLIER = "earlier"
INTERVAL = (1.0, 16.0)
"""Seconds between a start or a kill and the next kill: a start takes about ten."""
TARGETS = ("driver", "worker", "raylet", "gcs", "everything")
MARKS = {"worker": "RecipeTrial", "raylet": "raylet/raylet", "gcs": "gcs_server"}


class Search:
    """One search in a directory of its own, started and killed as often as it takes."""

    def __init__(self, folder: Path, space: str, earlier: Path | None = None) -> None:
        self.folder = folder
        if earlier is not None:
            shutil.copytree(earlier, folder / "results" / EARLIER)
        (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        (folder / "space.yaml").write_text(space, encoding="utf-8")
        self.storage = folder / "results" / "soak"

    def start(self) -> subprocess.Popen[str]:
        """Start the driver; resuming if there is something to resume."""
        command = [sys.executable, "-m", "rebnn_search.run", "space.yaml", "--name", "soak", "--quiet", "--no-report"]
        if (self.storage / "search.yaml").exists():
            command.append("--resume")
        elif self.storage.exists():
            self.storage.rename(self.storage.with_name("killed-before-it-began"))
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run_earlier(self, folder: Path) -> Path:
        """Run a short search of the same space, whose best are then tried first. Returns its folder, moved under another."""
        space = yaml.safe_load((self.folder / "space.yaml").read_text(encoding="utf-8"))
        space.update(warm_start=None, pruner="none", trials=6)
        (self.folder / "earlier.yaml").write_text(yaml.safe_dump(space), encoding="utf-8")
        command = [sys.executable, "-m", "rebnn_search.run", "earlier.yaml", "--name", EARLIER, "--quiet", "--no-report"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the earlier search did not finish:\n{done.stdout}{done.stderr}")
        for file in self.folder.glob("mlflow.db*"):
            file.unlink()  # its runs are not what is counted
        shutil.copytree(self.storage.with_name(EARLIER), folder / EARLIER)
        return folder / EARLIER

    def result(self) -> dict[str, Any]:
        """What the finished search says."""
        result: dict[str, Any] = json.loads((self.storage / "result.json").read_text(encoding="utf-8"))
        return result


def kill(process: subprocess.Popen[str], target: str, rng: random.Random) -> int:
    """Kill the target; returns how many processes were hit."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    if target == "driver":
        victims = [psutil.Process(process.pid)] if process.poll() is None else []
    elif target == "everything":
        victims = [*family, *([psutil.Process(process.pid)] if process.poll() is None else [])]
        rng.shuffle(victims)
    else:
        victims = [member for member in family if _is(member, MARKS[target])]
    for victim in victims:
        with suppress(psutil.Error):
            victim.send_signal(signal.SIGKILL)
    return len(victims)


def _is(process: psutil.Process, mark: str) -> bool:
    try:
        return mark in " ".join(process.cmdline())
    except psutil.Error:
        return False


def damage(search: Search, rng: random.Random) -> str | None:
    """After the driver is gone: tear the journal's end, the reports' end or a checkpoint as a power cut could."""
    kind = rng.choice([None, None, "journal", "reports", "checkpoint"])
    if kind == "journal" and (search.storage / "study.journal").exists():
        with (search.storage / "study.journal").open("ab") as file:
            file.write(b'{"op_code": 5, "worker_id": "torn')
        return kind
    if kind == "reports":
        for file in sorted(search.storage.glob("trials/*/reports.jsonl"))[-1:]:
            with file.open("ab") as stream:
                stream.write(b'{"step": 7, "epoch": 1.')
            return kind
    if kind == "checkpoint":
        # Only where there is one before it: the newest alone cannot be lost to a crash, for it is written whole.
        for folder in sorted(search.storage.glob("trials/*/checkpoints")):
            files = sorted(folder.glob("*.pt"))
            unfinished = not (search.storage / "result.json").exists()
            if len(files) > 1 and unfinished and folder == sorted(search.storage.glob("trials/*/checkpoints"))[-1]:
                files[-1].write_bytes(files[-1].read_bytes()[: rng.randrange(1, 5000)])
                return kind
    return None


def facts(result: dict[str, Any]) -> list[Any]:
    """What must be the same, to the bit, however often a search was killed."""
    trials = [
        (t["number"], t["state"], t["params"], t["epochs"], t["val_loss"], t["val_top1"], t["flip_ratio"],
         *(t.get(name) for name in ("values", "front", "infeasible")))
        for t in result["trials"]
    ]  # fmt: skip
    return [*trials, {**result["best"], "recipe": "", "model": ""}]


def audit(search: Search, expected: list[Any]) -> dict[str, int]:
    """Count what was lost, doubled or left over."""
    result = search.result()
    got = facts(result)
    with sqlite3.connect(search.folder / "mlflow.db") as database:
        runs = database.execute("select count(*) from runs").fetchone()[0]
        open_runs = database.execute("select count(*) from runs where status = 'RUNNING'").fetchone()[0]
        doubled = database.execute(
            "select count(*) from (select 1 from metrics group by run_uuid, key, step having count(*) > 1)"
        ).fetchone()[0]
        logged = dict(
            database.execute(
                "select cast(t.value as integer), count(distinct m.step) from metrics m join tags t using (run_uuid) "
                "where m.key = 'val/loss' and t.key = 'rebnn_search.trial' group by 1"
            ).fetchall()
        )
    steps = {t["number"]: round(t["epochs"] * 4) for t in result["trials"]}
    return {
        "trials that differ": sum(a != b for a, b in zip(got, expected, strict=False)) + abs(len(got) - len(expected)),
        "runs missing or doubled": abs(runs - len(result["trials"]) - 1),
        "runs left open": open_runs,
        "points doubled": doubled,
        "points missing": sum(steps[number] - logged.get(number, 0) for number in steps),
    }


def soak(search: Search, kills: int, rng: random.Random, tally: Counter[str]) -> None:
    """Kill and resume a search until it is finished or ``kills`` have been spent; then let it finish."""
    while True:
        process = search.start()
        while spent(tally) < kills and process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(*INTERVAL))
            target = rng.choices(TARGETS, weights=[4, 4, 1, 1, 2])[0]
            if process.poll() is None and kill(process, target, rng):
                tally[target] += 1
        try:
            output = process.communicate(timeout=300)[0]
        except subprocess.TimeoutExpired:
            tally["hung"] += 1
            kill(process, "everything", rng)
            process.communicate()
            continue
        if process.returncode == 0:
            return
        if process.returncode > 0 and "Ray's head" not in output and "Ray's node" not in output:
            tally["ended with an error"] += 1
            print(f"a run ended with exit code {process.returncode}: {output[-500:].strip()}", file=sys.stderr, flush=True)
        harm = damage(search, rng)
        if harm is not None:
            tally[f"{harm} damaged"] += 1


def spent(tally: Counter[str]) -> int:
    """How many kills have been made."""
    return sum(tally[target] for target in TARGETS)


def main() -> None:
    """Run searches until the kills are spent and print the audit."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kills", type=int, default=100)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--trials", type=int, default=40, help="of each search")
    p.add_argument(
        "--kind", choices=KINDS, default="plain",
        help="objectives: two, one of them constrained; promotion: trials wait and go on, and an earlier search's best come first",
    )  # fmt: skip
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    space = KINDS[args.kind] % args.trials
    rng = random.Random(args.seed)
    tally: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    searches = 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as kept:
        with tempfile.TemporaryDirectory() as folder:
            alone = Search(Path(folder), space)
            earlier = alone.run_earlier(Path(kept)) if args.kind == "promotion" else None
            output = alone.start().communicate()[0]
            if not (alone.storage / "result.json").exists():
                raise SystemExit(f"the search left alone did not finish:\n{output}")
            expected = facts(alone.result())
        while spent(tally) < args.kills:
            with tempfile.TemporaryDirectory() as folder:
                search = Search(Path(folder), space, earlier)
                soak(search, args.kills, rng, tally)
                searches += 1
                for name, count in audit(search, expected).items():
                    lost[name] += count
                if not args.json:
                    print(f"search {searches}: {spent(tally)} kills so far, lost {dict(lost)}", flush=True)
    found = {"kills": spent(tally), "searches": searches, "tally": dict(tally), "lost": dict(lost),
             "minutes": round((time.monotonic() - begun) / 60, 1)}  # fmt: skip
    print(json.dumps(found) if args.json else f"{found}")
    if sum(lost.values()) or tally["hung"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
