"""A tracked search made up without training, tracking or a search: any number of trials in milliseconds."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from rebnn_search.base.metrics import final
from rebnn_search.report.tracked import TrackedSearch, TrackedTrial
from rebnn_search.study.search import restore_search

RECIPE = {
    "data": {"name": "digits"}, "network": {"name": "digits_resnet", "width": 4}, "weights": "rebnn",
    "optimizer": {"name": "adam", "lr": 0.01}, "epochs": 4, "batch_size": 128, "reports_per_epoch": 2, "seed": 0,
}  # fmt: skip
SPACE = {
    "optimizer.lr": {"log_uniform": [1e-4, 1e-1]},
    "scale_init.strategy": {"choice": ["mean_abs", "median_abs", "fan_in"]},
    "gamma.strategy": {"choice": ["flip_ratio", "constant"]},
    "gamma.value": {"choice": [0.0, 1e-3], "when": {"gamma.strategy": "constant"}},
}
REPORTS, LAYERS = 8, 3


class MadeSearch(TrackedSearch):
    """Trials whose loss is a function of their learning rate, with noise.

    Args:
        count: Trials.
        noise: Standard deviation of the loss beside what the learning rate does.
        seeds: Of each configuration.
        pruned: Of so many configurations the last is pruned halfway; 0: none.
        spec: Further keys of the search file.
    """

    def __init__(self, count: int, *, noise: float = 0.02, seeds: int = 1, pruned: int = 3, **spec: Any) -> None:
        self.uri, self.name = "sqlite:///made.db", "made"
        spec = {"space": SPACE, "fixed": [], "trials": count, "seeds": seeds, "sampler": {"name": "random"},
                "pruner": {"name": "none"}, **spec}  # fmt: skip
        self.search = restore_search({"recipe": RECIPE, **spec})
        self.parent: Any = SimpleNamespace(
            data=SimpleNamespace(metrics={}, tags={"state": "FINISHED"}),
            info=SimpleNamespace(run_id="parent", experiment_id="0"),
        )
        self.not_evaluated = "made up"
        self._series = {}
        self.evaluation = None
        generator = np.random.default_rng(0)
        self.trials = []
        for number in range(count):
            configuration = number // seeds
            own = np.random.default_rng([1, configuration])
            lr = 10 ** own.uniform(-4, -1)
            strategy = str(own.choice(["flip_ratio", "constant"]))
            params = {"optimizer.lr": float(lr), "scale_init.strategy": str(own.choice(["mean_abs", "median_abs", "fan_in"])),
                      "gamma.strategy": strategy}  # fmt: skip
            if strategy == "constant":
                params["gamma.value"] = float(own.choice([0.0, 1e-3]))
            loss = 0.1 + 0.3 * (np.log10(lr) + 2.2) ** 2 + noise * generator.standard_normal()
            self.trials.append(self._made(number, configuration, seeds, params, abs(loss), pruned))

    def _made(
        self, number: int, configuration: int, seeds: int, params: dict[str, Any], loss: float, pruned: int
    ) -> TrackedTrial:
        cut = bool(pruned) and configuration % pruned == pruned - 1
        reports = REPORTS // 2 if cut else REPORTS
        curve = [loss + 2 * np.exp(-step) for step in range(1, reports + 1)]
        for name in ("val/loss", "train/loss"):
            self._series[f"run{number}", name] = list(enumerate(curve, start=1))
        metrics = {"val/loss": curve[-1], "val/top1": 100 * np.exp(-curve[-1]), "val/top5": 99.0, "train/loss": curve[-1],
                   "epochs": reports / 2, "reports": float(reports), "oscillation/mean/flip_ratio": 1e-3}  # fmt: skip
        layers = {}
        for layer in range(LAYERS):
            name = f"oscillation/layer_{layer:02d}/flip_ratio"
            flips = [1e-3 * (layer + 1) / step for step in range(1, reports + 1)]
            self._series[f"run{number}", name] = list(enumerate(flips, start=1))
            self._series[f"run{number}", name.replace("flip", "sequential_oscillation")] = self._series[f"run{number}", name]
            layers[name] = flips[-1]
        return TrackedTrial(
            number, f"#{number}", f"run{number}", "PRUNED" if cut else "COMPLETE", "median" if cut else None, params, configuration,
            number % seeds if seeds > 1 else None, {**{final(k): float(v) for k, v in metrics.items()}, **layers},
            1_700_000_000_000 + 1000 * number, 1_700_000_010_000 + 1000 * number,
        )  # fmt: skip

    def change(self, number: int, **values: Any) -> None:
        """Change a trial's fields."""
        self.trials[number] = replace(self.trials[number], **values)

    @property
    def view(self) -> str | None:
        return None

    def artifact(self, run_id: str, name: str) -> str | None:
        return None

    def series(self, trial: TrackedTrial, metric: str) -> list[tuple[int, float]]:
        return self._series.get((trial.run_id, metric), [])
