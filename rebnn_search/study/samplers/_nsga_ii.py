"""NSGA-II."""

from __future__ import annotations

import optuna

from rebnn_search.study.samplers.base import SAMPLERS


@SAMPLERS.register("nsga_ii")
class NSGAII(optuna.samplers.NSGAIISampler):
    """A genetic algorithm for several objectives: generations of trials, the least dominated of which are parents of the next.

    Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002.

    Args:
        population_size: Trials of a generation; the first is drawn at random.
        mutation_prob: Of drawing a parameter anew; by default one of the parameters each time.
        crossover_prob: Of mixing two parents, in place of copying one.
        swapping_prob: Of taking a parameter from the second of them.
    """

    complete_history = True  # it looks for whole generations
    whole_trainings = True
    multi_objective = True

    def __init__(
        self, *, seed: int | None = None, population_size: int = 20, mutation_prob: float | None = None, crossover_prob: float = 0.9,
        swapping_prob: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__(
            seed=seed, population_size=population_size, mutation_prob=mutation_prob, crossover_prob=crossover_prob,
            swapping_prob=swapping_prob,
        )  # fmt: skip
