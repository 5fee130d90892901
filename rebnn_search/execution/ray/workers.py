"""One process of a trial: its run of the training that all of the trial's processes do together."""

from __future__ import annotations

import datetime
import socket
from contextlib import suppress

import ray
import torch
import torch.distributed as dist

from rebnn_search.execution.task import TrialTask
from rebnn_search.execution.trial_training import begin_run, recipe_of
from rebnn_search.storage.locate import stored_stage_one
from rebnn_search.storage.object_store import StoredCheckpoints
from rebnn_search.training import Report
from rebnn_search.training.custom_parts import allow_too

COLLECTIVE_TIMEOUT = datetime.timedelta(minutes=10)
"""How long a rank waits for another before it gives the trial up: longer than any evaluation, shorter than a night."""


class Sharing:
    """Sends each epoch of stage one to where other nodes find it."""

    def __init__(self, shared: StoredCheckpoints) -> None:
        self._shared = shared

    def __call__(self, report: Report) -> None:
        """Send what the epoch's checkpoint added, and what could not be sent before."""
        self._shared.send()


def prepare(task: TrialTask) -> None:
    """Make this process ready for a task, before it meets the other ranks: it fails alone where it lacks a user's own part.

    Raises:
        UserError: If it does.
    """
    torch.set_num_threads(task.threads)
    allow_too(task.allowed)


class Rank:
    """One process's run of a trial, in a process that is prepared for it. All ranks are sent the same, at the same time.

    Args:
        task: The trial.
        rank: Of this process.
        address: ``HOST:PORT`` where rank 0 listens; not used by a trial of one process.
    """

    def __init__(self, task: TrialTask, rank: int, address: str) -> None:
        self._size = task.workers
        if self._size > 1:
            backend = "nccl" if torch.cuda.is_available() and task.gpus >= 1 else "gloo"
            dist.init_process_group(
                backend, init_method=f"tcp://{address}", rank=rank, world_size=self._size, timeout=COLLECTIVE_TIMEOUT
            )
        try:
            folder, recipe = task.open_folder(), recipe_of(task)
            shared = stored_stage_one(folder, recipe) if rank == 0 else None
            if shared is not None:
                shared.fetch()
            self.run = begin_run(task, folder, recipe, rank=rank, listener=None if shared is None else Sharing(shared))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave a checkpoint of all that was reported, let go of the trainer and leave the process group."""
        if hasattr(self, "run"):
            with suppress(OSError):  # what that loses is trained again
                self.run.save()
            self.run.close()
        if self._size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def free_address() -> str:
    """An address on this node that the other ranks can reach and nothing listens on yet."""
    host = ray.util.get_node_ip_address()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
