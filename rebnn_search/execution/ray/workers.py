"""The processes of one trial: rank 0 in Tune's actor, the others in actors of the trial's own placement group.

Because they live in its placement group, and are owned by its actor, ending the trial by any means frees everything it held.
"""

from __future__ import annotations

import datetime
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import ray
import torch
import torch.distributed as dist
from ray.util import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from rebnn_search.storage.locate import checkpoints_of, config_folder, stage_one_of
from rebnn_search.storage.object_store import StoredCheckpoints
from rebnn_search.training import Recipe, Report, Trainer

COLLECTIVE_TIMEOUT = datetime.timedelta(minutes=10)
"""How long a rank waits for another before it gives the trial up: longer than any evaluation, shorter than a night."""


REMEMBERED = 256
"""Reports that a checkpoint holds: what the ledger may lack where the driver's machine was lost."""


def dump_trial(trainer: Trainer, reports: Sequence[Report]) -> dict[str, Any]:
    """What a trial's checkpoint holds: the trainer's state and the last reports made on the way to it."""
    return {"trainer": trainer.state_dict(), "reports": [asdict(report) for report in reports[-REMEMBERED:]]}


def load_trial(trainer: Trainer, state: Mapping[str, Any]) -> list[Report]:
    """Bring a trainer to a checkpoint's state. Returns the last reports, some of which may never have been heard."""
    trainer.load_state_dict(state["trainer"])
    return [Report.restore(report) for report in state["reports"]]


class Sharing:
    """Sends each epoch of stage one to where other nodes find it."""

    def __init__(self, shared: StoredCheckpoints) -> None:
        self._shared = shared

    def __call__(self, report: Report) -> None:
        """Send what the epoch's checkpoint added."""
        self._shared.send()


class Rank:
    """One process's trainer of a trial. All ranks are told the same, at the same time.

    Args:
        config: The trial's, as `rebnn_search.execution.ray.trainable.RecipeTrial` describes it.
        rank: Of this process.
        address: ``HOST:PORT`` where rank 0 listens; not used by a trial of one process.
    """

    def __init__(self, config: dict[str, Any], rank: int, address: str) -> None:
        torch.set_num_threads(config["threads"])
        self._size = config["workers"]
        if self._size > 1:
            backend = "nccl" if torch.cuda.is_available() and config["gpus"] >= 1 else "gloo"
            dist.init_process_group(
                backend, init_method=f"tcp://{address}", rank=rank, world_size=self._size, timeout=COLLECTIVE_TIMEOUT
            )
        try:
            folder, recipe = config_folder(config), Recipe.model_validate(config["recipe"])
            shared = stage_one_of(folder, recipe)
            if shared is not None:
                shared.fetch()
            # The other ranks fetch what rank 0 has sent.
            share = None if shared is None or rank > 0 else Sharing(shared)
            found = checkpoints_of(folder, config["number"]).latest()
            if found is None:
                recipe.check()  # two parameters of a space may not go together
            self.trainer = Trainer(recipe, workspace=folder.path, listener=share)
            self.reports = [] if found is None else load_trial(self.trainer, found[1])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the trainer and leave the process group."""
        if hasattr(self, "trainer"):
            self.trainer.close()
        if self._size > 1 and dist.is_initialized():
            dist.destroy_process_group()


class Peer:
    """A rank other than 0, kept for one trial after another as Tune's actor is."""

    def __init__(self) -> None:
        self._rank: Rank | None = None

    def begin(self, config: dict[str, Any], rank: int, address: str) -> None:
        """Put the last trial away and begin another."""
        self.end()
        self._rank = Rank(config, rank, address)

    def next_report(self) -> None:
        """Train along up to the next report."""
        assert self._rank is not None
        self._rank.trainer.next_report()

    def end(self) -> None:
        """Put the trial away."""
        if self._rank is not None:
            self._rank.close()
            self._rank = None


PeerActor: Any = ray.remote(Peer)


def start_peers(config: dict[str, Any]) -> list[Any]:
    """Start the peers of a trial of several workers, one in each further bundle of the trial's placement group."""
    group = get_current_placement_group()
    options = {"num_cpus": config["threads"], "num_gpus": config["gpus"]}
    return [
        PeerActor.options(
            **options, scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=bundle)
        ).remote()
        for bundle in range(1, config["workers"])
    ]


def free_address() -> str:
    """An address on this node that the other ranks can reach and nothing listens on yet."""
    host = ray.util.get_node_ip_address()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
