"""The trainer that every trial shares."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rebnn_search.base.metrics import IMAGES_PER_SECOND, TRAIN_LOSS, TRAIN_LR, oscillation_name, validation
from rebnn_search.training.building import built_network, steps_per_epoch
from rebnn_search.training.data import Data, Split
from rebnn_search.training.data.facts import DataFacts, facts_of
from rebnn_search.training.distributed import World, pick_device
from rebnn_search.training.evaluation import evaluate
from rebnn_search.training.latent import LatentWeights
from rebnn_search.training.losses import BatchLoss
from rebnn_search.training.memory import explain_memory_errors
from rebnn_search.training.optimizers import parameter_groups
from rebnn_search.training.precision import Computing
from rebnn_search.training.randomness import generator_state, generators_given_back, seed_generators, set_generator_state
from rebnn_search.training.recipe import Recipe
from rebnn_search.training.report import Diverged, Report
from rebnn_search.training.stage_two import StageTwo, begin_stage_two
from rebnn_search.training.stages import load_latent_weights, stage_one_weights

STATE_VERSION = 1
NEVER = 2**62
"""An iteration that none comes to."""


class Trainer:
    """Trains one recipe, a report at a time.

    Everything is a function of the recipe alone: the process's random state is left as it was found, and interrupted at any
    report, saved, loaded and continued, training is bit for bit what it would have been (on the CPU). Where torch.distributed is
    initialised, all its processes train one model together (DDP) and each must call every method.

    Args:
        recipe: What to train.
        device: As torch names it; by default the first GPU, else the CPU.
        workspace: Folder where trainers with the same stage one share it; None trains it for this trainer alone.
        data: The opened dataset, if it is open already, joined or not.
        listener: Notified of each epoch of stage one, which is trained inside the first `next_report`. What it raises ends that; with
            a workspace another trainer goes on from there.

    Raises:
        UserError: If the network's options, data, teacher or device are missing or unfit, the data too small for one
            batch, or the recipe is not for so many workers on such devices.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        device: str | None = None,
        workspace: Path | None = None,
        data: Data | None = None,
        listener: Callable[[Report], None] | None = None,
    ) -> None:
        self.recipe = recipe
        self.data = recipe.data.build().open() if data is None else data
        if recipe.train_on == "train+validation" and self.data.size("validation"):
            self.data = self.data.joined()
        self._workspace, self._listener = workspace, listener
        self._world = World.current()
        self._iterations = steps_per_epoch(recipe, self.data, self._world)
        self._computing = Computing(recipe.precision, pick_device(device), recipe.epochs * self._iterations)
        self._boundaries = report_boundaries(self._iterations, recipe.reports_per_epoch)
        self._schedule = recipe.schedule.build()
        self._rng: list[Tensor] | None = None
        self._generators: dict[str, Any] | None = None
        with self._randomness():
            self.network = built_network(recipe, self.data, self._computing, self._world)
        if self._world.size == 1:
            samples = recipe.epochs * self._iterations * recipe.batch_size
            self._computing.decide(self.network, self.data.channels, self.data.image_size, samples)
        self._batch_loss = BatchLoss(recipe.loss, self.data, self._computing)
        options = recipe.optimizer.build()
        self._lr = options.lr
        self.optimizer = options.build(parameter_groups(self.network, options.weight_decay))
        self._stage_two: StageTwo | None = None
        self._batches: Iterator[tuple[Tensor, Tensor, Tensor | None]] | None = None
        self._epoch = self._step = self._iteration = self.reports_done = 0

    @cached_property
    def facts(self) -> DataFacts:
        """What its data are told by."""
        return facts_of(self.data)

    @property
    def total_reports(self) -> int:
        """How many reports there will be in all."""
        return self.recipe.epochs * len(self._boundaries)

    @property
    def finished(self) -> bool:
        """Whether the last report was made."""
        return self.reports_done >= self.total_reports

    @explain_memory_errors("training")
    def next_report(self) -> Report:
        """Train up to the next report boundary and validate, if anything was left for that. The first call trains stage one, if
        there is one.

        Raises:
            Diverged: If a loss, a parameter or a batch statistic is no finite number.
            UserError: If the machine's memory is not enough.
            RuntimeError: If training is finished.
        """
        if self.finished:
            raise RuntimeError("training is finished")
        with self._randomness():
            if self._stage_two is None:
                self._begin()
            stage = self._begun
            loss, speed = self._train_to(self._boundaries[self.reports_done % len(self._boundaries)])
            measured = self.evaluate("validation") if self.data.size("validation") else {}
        if not math.isfinite(measured.get("loss", 0.0)):
            raise Diverged(f"validation loss is {measured['loss']} after iteration {self._iteration}")
        self.reports_done += 1
        epoch = self._epoch + self._step / self._iterations
        lr = self.optimizer.param_groups[0]["lr"]
        epoch_ends = self._step == self._iterations
        if epoch_ends:
            self._epoch, self._step, self._batches = self._epoch + 1, 0, None
        metrics = {TRAIN_LOSS: loss, TRAIN_LR: lr, IMAGES_PER_SECOND: speed}
        metrics |= {validation(name): value for name, value in measured.items()}
        metrics |= {oscillation_name(name): value for name, value in stage.method.collect().items()}
        latent = stage.latent.histogram(epoch) if epoch_ends or self.reports_done == 1 else None
        return Report(self.reports_done, epoch, self._iteration, metrics, latent)

    def evaluate(self, split: Split) -> dict[str, float]:
        """Return ``loss``, ``top1`` and ``top5`` (percent) of a split, as the exported network has them: computed in float32.

        The loss has the class weights of training.
        """
        return evaluate(self.network, self.data, split, self._computing, self._world, self._batch_loss.class_weights)

    def _begin(self) -> None:
        """Start stage two: latent weights, scaling factors, γ."""
        if self.recipe.stage_one is not None:
            make = partial(Trainer, device=str(self._computing.device), data=self.data)
            state = stage_one_weights(self.recipe, self._workspace, self._world, make, self._listener)
            load_latent_weights(self.network, state)
        self._attach()

    def _attach(self, latent_unit: float | None = None) -> None:
        self._stage_two = begin_stage_two(self.recipe, self.network, self.optimizer, self._computing, self._world, latent_unit)

    @property
    def _begun(self) -> StageTwo:
        """The second stage, which has begun."""
        assert self._stage_two is not None
        return self._stage_two

    def _train_to(self, boundary: int) -> tuple[float, float]:
        """Take steps up to one within the epoch; return mean loss since the last report and images per second."""
        if self._batches is None:
            self._batches = self._enter_epoch()
        stage = self._begun
        stage.running.train()
        device = self._computing.device
        losses = torch.zeros((), dtype=torch.float64, device=device)
        first_bad = torch.full((), NEVER, dtype=torch.int64, device=device)
        steps, begun = boundary - self._step, time.perf_counter()
        while self._step < boundary:
            loss = self._train_step(*next(self._batches))
            losses += loss
            self._step += 1
            self._iteration += 1
            first_bad = torch.where((first_bad == NEVER) & ~torch.isfinite(loss), self._iteration, first_bad)
        summed = self._world.sum(torch.cat([(losses / steps)[None], stage.finite.flags(device)]))
        mean, *spoilt, bad = torch.cat([summed, self._world.least(first_bad).double()[None]]).tolist()
        seconds = time.perf_counter() - begun
        if bad != NEVER or not math.isfinite(mean):
            raise Diverged(f"training loss is no finite number from iteration {min(int(bad), self._iteration)} on")
        if any(spoilt):
            name = stage.finite.names[[bool(flag) for flag in spoilt].index(True)]
            raise Diverged(f"{name} holds a number that is not finite after iteration {self._iteration}")
        return mean, steps * self.recipe.batch_size / max(seconds, 1e-9)

    def _enter_epoch(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        factor = self._schedule.factor(self._epoch, self.recipe.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr * factor
        self._begun.method.set_progress(self._epoch / self.recipe.epochs)
        return self.data.weighted_batches(
            "train", batch_size=self.recipe.batch_size, seed=self.recipe.seed, epoch=self._epoch, rank=self._world.rank,
            world_size=self._world.size, device=self._computing.device, shuffle=True, augment=True, drop_last=True,
            start=self._step,
        )  # fmt: skip

    def _train_step(self, images: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Take one optimizer step; return this rank's share of the batch's mean loss, a scalar tensor."""
        running = self._begun.running
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), dtype=torch.float64, device=images.device)
        image_parts = images.chunk(self.recipe.accumulate)
        weight_parts = [None] * len(image_parts) if weights is None else weights.chunk(self.recipe.accumulate)
        parts = list(zip(image_parts, labels.chunk(self.recipe.accumulate), weight_parts, strict=True))
        for index, (part, part_labels, part_weight) in enumerate(parts):
            sync = index == len(parts) - 1 or not isinstance(running, DistributedDataParallel)
            with _maybe_no_sync(running, sync):
                part_images = part.to(memory_format=self._computing.memory_format)
                with self._computing.context():
                    logits = running(part_images)
                # A share of the global batch's mean; DDP divides gradients by the number of ranks, so it is undone here.
                loss = self._batch_loss(logits, part_images, part_labels, part_weight) / self.recipe.batch_size
                torch.autograd.backward(loss * self._world.size)
            total += loss.detach()
        self.optimizer.step()
        return total

    @contextmanager
    def _randomness(self) -> Iterator[None]:
        """Give torch's, Python's and NumPy's global generators this trainer's state, and the process its own back afterwards."""
        device = self._computing.device  # which need not be the process's current GPU
        cuda = device.type == "cuda"
        with torch.random.fork_rng(devices=[device] if cuda else []), generators_given_back():
            if self._rng is None:
                torch.manual_seed(self.recipe.seed)
            else:
                torch.set_rng_state(self._rng[0])
                if cuda and len(self._rng) > 1:
                    torch.cuda.set_rng_state(self._rng[1], device)
            if self._generators is None:
                seed_generators(self.recipe.seed)
            else:
                set_generator_state(self._generators)
            yield
            self._generators = generator_state()
            self._rng = [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if cuda else [])]

    def state_dict(self) -> dict[str, object]:
        """Everything needed to go on: tensors and plain values, for a checkpoint loaded with weights only."""
        stage = self._stage_two
        return {
            "version": STATE_VERSION,
            "network": self.network.state_dict(),
            "method": None if stage is None else stage.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self._epoch,
            "step": self._step,
            "iteration": self._iteration,
            "reports": self.reports_done,
            "latent_unit": None if stage is None else stage.latent.unit,
            "rng": self._rng,
            "generators": self._generators,
            "data": self.data.statistics(),
            "facts": {"text": self.facts.text, "digest": self.facts.digest},
            **self._computing.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another trainer of the same recipe was.

        Raises:
            ValueError: If the state is of another version or another recipe.
            OtherDataError: If it is of a training with other data.
        """
        if state.get("version") != STATE_VERSION:
            raise ValueError(f"the checkpoint has version {state.get('version')}, this is version {STATE_VERSION}")
        self.facts.check(state.get("facts"))
        if self._world.size == 1:
            self._computing.resume(state)
        if self._stage_two is None and state["method"] is not None:
            self._attach(state["latent_unit"])
        elif self._stage_two is not None and state["latent_unit"] is not None:  # begun already, with a unit of its own
            self._stage_two.latent = LatentWeights(self.network, state["latent_unit"])
        try:
            self.network.load_state_dict(state["network"])
            if self._stage_two is not None and state["method"] is not None:
                self._stage_two.method.load_state_dict(state["method"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"the checkpoint is of another recipe: {error}") from error
        self._epoch, self._step, self._iteration = state["epoch"], state["step"], state["iteration"]
        self.reports_done, self._rng, self._batches = state["reports"], state["rng"], None
        self._generators = state.get("generators", self._generators)  # earlier versions left them to the process

    def close(self) -> None:
        """Let go of the data and of the optimizer's hooks."""
        self._batches = None
        if self._stage_two is not None:
            self._stage_two.method.detach()


def report_boundaries(iterations: int, reports: int) -> list[int]:
    """The iterations of an epoch after which there is a report: spread evenly, the last at the epoch's end, none twice."""
    count = min(iterations, reports)
    return [-(-iterations * (index + 1) // count) for index in range(count)]


@contextmanager
def _maybe_no_sync(network: nn.Module, sync: bool) -> Iterator[None]:
    if sync or not isinstance(network, DistributedDataParallel):
        yield
    else:
        with network.no_sync():
            yield
