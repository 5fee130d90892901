"""The recipe: everything one trial trains, all values fixed."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import Field, ValidationInfo, model_validator
from torch import nn

from rebnn_search.base.files import write_atomically
from rebnn_search.base.packaged import anchor
from rebnn_search.base.registry import Registry
from rebnn_search.config import (
    Choose,
    Component,
    Document,
    Strict,
    UserError,
    apply_overrides,
    fail,
    get_value,
    load,
    validate,
    with_value,
)
from rebnn_search.config.reading import Place
from rebnn_search.method.gamma import GAMMA, GammaStrategy
from rebnn_search.method.networks import CONTEXT, NETWORKS
from rebnn_search.method.scaling import SCALE_INIT, ScaleInit
from rebnn_search.method.weights import WEIGHTS, WeightBinarizer
from rebnn_search.training import custom_parts as own  # noqa: F401 - teaches the registries a user's own parts
from rebnn_search.training.batch_parts import needs_two, says_too_small, smallest_part
from rebnn_search.training.data import DATASETS, Data, Dataset
from rebnn_search.training.optimizers import OPTIMIZERS, OptimizerOptions
from rebnn_search.training.schedules import SCHEDULES, Schedule
from rebnn_search.training.teachers import TEACHERS, Teacher

PATH_OPTIONS = ("root", "path")
"""Options of a dataset or a teacher that are paths: in a file relative to it, typed to the working directory."""
PATH_HOLDERS: Mapping[Place, Registry[Any]] = {("data",): DATASETS, ("loss", "teacher"): TEACHERS}
"""Where in a recipe such options stand, and the parts that have them."""

LARGE_IMAGE = 256
"""Side of an image that no network of the program's own reduces to one pixel before a BatchNorm."""

NEW = "new"
"""Key of the validation context: true where a training is to begin by the recipe."""

MOST = 1_000_000
"""Epochs, samples of a batch: more is a slip of the finger."""

STAGE_TWO = ("weights", "gamma", "scale_init", "epochs", "reports_per_epoch", "stage_one")
"""What stage one does not depend on, or takes from ``stage_one``. Whatever is not named here is part of a stage one's key: a field
missing from this list only causes extra training, never wrong sharing."""
ALWAYS_SHARED = (
    "data", "network", "optimizer", "schedule", "batch_size", "accumulate", "loss", "precision", "sync_batch_norm", "seed",
)  # fmt: skip
"""What was in the key from the beginning; whatever came later is in it where it is not the default, so that older keys stay."""
FIRST_PRECISION = ("dtype", "channels_last", "compile")
"""The fields of ``precision`` that were in the key from the beginning."""

Auto = Literal["auto"]


class Loss(Strict):
    """What is minimised.

    Attributes:
        teacher: Trained network whose softmax the network learns, or none. With one the loss is the cross-entropy of the
            network's logits with the teacher's softmax, as in the published runs; without, the labels' cross-entropy.
        label_share: Share of the labels' cross-entropy in the loss beside a teacher's.
        label_smoothing: Share of the label's probability spread over all classes.
        class_weight: ``balanced`` has classes count alike (`rebnn_search.training.losses.balanced_weights`), in the loss of every
            split; without, samples do.
    """

    teacher: Annotated[Component[Teacher], Choose(TEACHERS, "teacher", construct=True)] | None = None
    label_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weight: Literal["balanced"] | None = None

    @model_validator(mode="after")
    def _has_an_effect(self) -> Loss:
        if self.teacher is None and self.label_share > 0:
            fail("loss", ("label_share",), "has no effect without a teacher: the loss is the labels' alone", self.label_share)
        if self.teacher is not None and self.label_share == 0 and self.label_smoothing > 0:
            fail("loss", ("label_smoothing",), "has no effect beside a teacher where label_share is 0", self.label_smoothing)
        return self


class StageOne(Strict):
    """Training with real weights and binary activations (W32A1) before the weights become binary.

    Attributes:
        epochs: Epochs of this stage.
        lr: Its learning rate.
        weight_decay: Its weight decay.
    """

    epochs: Annotated[int, Field(ge=1, le=MOST)]
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-5


class Precision(Strict):
    """How it is computed.

    Attributes:
        dtype: ``float32``, or ``bfloat16`` under autocast; ``auto`` is bfloat16 on a GPU that has it.
        products: Number format in which binary layers multiply while they are trained, forward and backward, between float32 values;
            ``auto``, where ``dtype`` is too, is bfloat16 on a CPU with AMX for the trainings that ``compile: auto`` compiles there.
        channels_last: Memory format of convolutions; ``auto`` is true on a GPU, and on a CPU for what is not compiled and has at most
            256 channels.
        compile: torch.compile the network; ``auto`` is true on a GPU for trainings of 10,000 steps and more, on a CPU for those of
            some quarter of an hour on a core, where there is a C++ compiler and one worker a trial.
    """

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    products: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool | Auto = "auto"
    compile: bool | Auto = "auto"


class Recipe(Strict):
    """Everything one trial trains.

    Attributes:
        data: Dataset.
        network: Network.
        weights: Weight binarizer of the binary layers; dumped as its name alone where it has no options.
        gamma: γ-strategy; for ``weights: rebnn`` alone.
        scale_init: Scaling-factor init; for ``weights: rebnn`` alone.
        optimizer: Optimizer, learning rate and weight decay.
        schedule: Learning-rate schedule, by epoch.
        epochs: Epochs (of stage two, where there are two).
        batch_size: Samples a step, over all workers and accumulation.
        accumulate: Parts a batch is computed in, one after another, to save memory.
        reports_per_epoch: Validations and reports an epoch.
        loss: What is minimised.
        stage_one: Real-weight training before, or none.
        precision: How it is computed.
        sync_batch_norm: Batch statistics over all workers instead of each worker's own; several workers must then be on GPUs.
        seed: Of initial weights, order of the data and augmentation.
        train_on: ``train``, or ``train+validation``: then nothing is validated on and reports hold no ``val/`` metrics. The test
            split is never trained on.
    """

    data: Annotated[Component[Dataset], Choose(DATASETS, "dataset", construct=True)]
    network: Annotated[Component[nn.Module], Choose(NETWORKS, "network", context=CONTEXT)]
    weights: Annotated[Component[WeightBinarizer], Choose(
        WEIGHTS, "weight binarizer", context=("weight",), construct=True, sample={"weight": torch.ones(2, 2)}, plain=True,
        only=lambda cls: cls.binary,
    )] = Component("name", "rebnn", {}, WEIGHTS["rebnn"])  # fmt: skip
    gamma: Annotated[Component[GammaStrategy], Choose(GAMMA, "γ-strategy", key="strategy", construct=True)] = Component(
        "strategy", "flip_ratio", {}, GAMMA["flip_ratio"]
    )
    scale_init: Annotated[Component[ScaleInit], Choose(SCALE_INIT, "scaling-factor init", key="strategy", construct=True)] = (
        Component("strategy", "mean_abs", {}, SCALE_INIT["mean_abs"])
    )
    optimizer: Annotated[Component[OptimizerOptions], Choose(OPTIMIZERS, "optimizer", construct=True)] = Component(
        "name", "adam", {}, OPTIMIZERS["adam"]
    )
    schedule: Annotated[Component[Schedule], Choose(SCHEDULES, "schedule", construct=True)] = Component(
        "name", "linear", {}, SCHEDULES["linear"]
    )
    epochs: Annotated[int, Field(ge=1, le=MOST)]
    batch_size: Annotated[int, Field(ge=1, le=MOST)] = 64
    accumulate: Annotated[int, Field(ge=1, le=MOST)] = 1
    reports_per_epoch: Annotated[int, Field(ge=1, le=MOST)] = 4
    loss: Loss = Loss()
    stage_one: StageOne | None = None
    precision: Precision = Precision()
    sync_batch_norm: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    train_on: Literal["train", "train+validation"] = "train"

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Recipe:
        if self.accumulate > self.batch_size:
            fail("recipe", ("accumulate",), f"must be at most batch_size, {self.batch_size}", self.accumulate)
        problem = self._problem() if (info.context or {}).get(NEW) else None
        if problem is not None:
            fail("recipe", *problem)
        return self

    def check(self) -> None:
        """See that it makes sense to begin a training of this recipe.

        What is on disk is read without this: a training that was begun goes on.

        Raises:
            UserError: If a batch has a part too small for the network, or the warm-up is as long as training.
        """
        problem = self._problem()
        if problem is not None:
            place, message, value = problem
            raise UserError(f"{'.'.join(map(str, place))} = {value!r}: {message}")

    def _problem(self) -> tuple[Place, str, Any] | None:
        if smallest_part(self.batch_size, self.accumulate) == 1 and self._network_needs_two():
            return ("batch_size",), says_too_small(self.batch_size, self.accumulate), self.batch_size
        stages = {"epochs": self.epochs} | ({} if self.stage_one is None else {"stage_one.epochs": self.stage_one.epochs})
        warmup = self.schedule.build().warmup_epochs
        for name, epochs in stages.items():
            if warmup >= epochs:
                message = f"must be less than {name}, {epochs}: the learning rate would never be the one asked for"
                return ("schedule", "warmup_epochs"), message, warmup
        return None

    def _network_needs_two(self) -> bool:
        """Whether the network, of the program's own, refuses a batch of one image however large. Computes and allocates nothing.

        Smaller images may be refused too, and a user's network: the trainer, which has the data, sees to that.
        """
        if ":" in self.network.name:
            return False
        try:
            with torch.device("meta"), torch.random.fork_rng(devices=[]):
                network = self.network.build(in_channels=1, num_classes=2, image_size=LARGE_IMAGE, weights="real")
                return needs_two(network, 1, LARGE_IMAGE)
        except Exception:  # options that make no network, or one that looks at values as it is made: the trainer sees to that
            return False

    @property
    def resilient(self) -> bool:
        """Whether the weights are ReBNN's own, which its step trains, by ``gamma`` and ``scale_init``."""
        return self.weights.name == "rebnn"

    def build_network(self, data: Data) -> nn.Module:
        """The network for opened data, with initial weights of torch's random state.

        Raises:
            ValueError: If its options make none.
        """
        # By its name wherever that says all: a user's network may look at it.
        weights = self.weights.build if self.weights.options else self.weights.name
        return self.network.build(
            in_channels=data.channels, num_classes=data.num_classes, image_size=data.image_size, weights=weights
        )

    def dump(self) -> dict[str, Any]:
        """The recipe as plain data that makes the same recipe again."""
        return self.model_dump(exclude_none=True)

    def stage_one_recipe(self) -> dict[str, Any]:
        """Everything stage one depends on, as plain data: what trials that share it must agree on, and nothing else."""
        assert self.stage_one is not None
        data, stage_one = self.dump(), self.stage_one
        shared = {k: v for k, v in data.items() if k in ALWAYS_SHARED or (k not in STAGE_TWO and _differs(self, k))}
        later = {
            k: v for k, v in data["stage_one"].items() if k not in ("epochs", "lr", "weight_decay") and _differs(stage_one, k)
        }
        shared["optimizer"] = {**data["optimizer"], "lr": stage_one.lr, "weight_decay": stage_one.weight_decay}
        shared["precision"] = {
            k: v for k, v in data["precision"].items() if k in FIRST_PRECISION or _differs(self.precision, k)
        }
        return shared | {"epochs": stage_one.epochs} | ({"stage_one": later} if later else {})

    def stage_one_key(self) -> str:
        """A hash of `stage_one_recipe`: trials with the same key share one stage one."""
        return hashlib.sha256(json.dumps(self.stage_one_recipe(), sort_keys=True).encode()).hexdigest()[:24]


def _differs(model: Strict, name: str) -> bool:
    """Whether a field is not at its default."""
    default: object = type(model).model_fields[name].get_default(call_default_factory=True, validated_data={})
    return bool(getattr(model, name) != default)


def load_recipe(path: str | Path, overrides: Iterable[str] = (), *, new: bool = False) -> Recipe:
    """Read a recipe file, with ``KEY=VALUE`` overrides; with ``new`` one that a training is to begin by (`Recipe.check`).

    Raises:
        UserError: Naming file, line, key, value and what is allowed.
    """
    return validate(Recipe, load_recipe_document(path, overrides), {NEW: new})


def load_recipe_document(path: str | Path, overrides: Iterable[str] = ()) -> Document:
    """Read a recipe file as a document whose relative paths, of data and teacher, have become absolute.

    They are relative to the file; those of overrides, as of all that is typed, to the working directory, and so are those left out
    that have a default. ``~`` is the home.

    Raises:
        UserError: If it cannot be read, or is a search file.
    """
    document = load(path)
    if "space" in document.data and "recipe" in document.data:
        raise UserError(
            f"{document.where(('space',))}: space: this is a search file, of many trainings: python -m rebnn_search.run "
            f"{document.source} runs it; its recipe, of one, is {document.data['recipe']}, beside it"
        )
    make_absolute(document, anchor(Path(path)))
    apply_overrides(document, overrides)
    document.data = settled_paths(document.data)
    return document


def make_absolute(document: Document, folder: Path) -> None:
    """Make a recipe's paths that are still relative absolute, from a folder."""
    document.data = _anchored(document.data, folder)


def settled_paths(data: Mapping[str, object]) -> dict[str, object]:
    """A recipe with its relative paths absolute, from the working directory, and those it leaves out that have a default.

    Another process, a worker's, has another working directory.
    """
    return _anchored(data, Path.cwd(), defaults=True)


def _anchored(data: Mapping[str, object], folder: Path, defaults: bool = False) -> dict[str, object]:
    found = dict(data)
    for place, registry in PATH_HOLDERS.items():
        holder = get_value(found, place)
        whole = {"name": holder} if isinstance(holder, str) else holder
        if isinstance(whole, Mapping):
            paths = {**(_default_paths(registry, whole.get("name")) if defaults else {}), **whole}
            paths = {key: paths[key] for key in PATH_OPTIONS if isinstance(paths.get(key), str)}
            absolute = {key: str(_located(folder, str(path))) for key, path in paths.items()}
            if absolute:
                found = with_value(found, place, {**whole, **absolute})
    return found


def _located(folder: Path, path: str) -> Path:
    with suppress(RuntimeError):  # nobody's home: a folder may be called ~x
        path = str(Path(path).expanduser())
    return (folder / path).resolve()


def _default_paths(registry: Registry[Any], name: object) -> dict[str, object]:
    try:
        options = inspect.signature(registry[name]).parameters if isinstance(name, str) else {}
    except (KeyError, ValueError, UserError):  # no such part: reported where it is chosen
        return {}
    return {key: options[key].default for key in PATH_OPTIONS if key in options}


def dump_recipe(path: Path, recipe: Recipe, comment: str) -> None:
    """Write a recipe file with a comment above it; `load_recipe` reads the same recipe from any directory."""
    text = "".join(f"# {line}\n" for line in comment.splitlines())
    write_atomically(path, text, yaml.safe_dump(recipe.dump(), sort_keys=False, allow_unicode=True))
