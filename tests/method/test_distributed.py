"""Two processes with half a batch each take the step that one takes with the whole, γ included."""

import os
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rebnn_search.method import NETWORKS, ReBNN

STEPS = 6


def train(network: nn.Module, running: nn.Module, rank: int, size: int) -> dict[str, Tensor]:
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    rebnn = ReBNN(network).attach(optimizer)
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        x, y = torch.randn(8, 1, 8, 8, generator=generator, dtype=torch.float64), torch.randint(3, (8,), generator=generator)
        part = slice(rank * 8 // size, (rank + 1) * 8 // size)
        optimizer.zero_grad()
        nn.functional.cross_entropy(running(x[part]), y[part]).backward()
        optimizer.step()
    gammas = {f"gamma/{name}": gamma for name, gamma in rebnn.gammas.items()}
    return {
        **{k: v.clone() for k, v in network.state_dict().items()},
        **gammas,
        "flips": torch.tensor(rebnn.collect()["mean/flip_ratio"]),
    }


def network() -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS["mlp"](in_channels=1, num_classes=3, image_size=8, width=12, depth=2, norm=False).double()  # type: ignore[call-arg]


def worker(rank: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    net = network()
    torch.save(train(net, DistributedDataParallel(net), rank, 2), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_agree_to_the_bit_and_with_one_to_rounding(tmp_path: Path) -> None:
    mp.spawn(worker, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    net = network()
    alone = train(net, net, 0, 1)
    assert float(alone["flips"]) > 0
    for key, value in alone.items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], value, rtol=1e-8, atol=1e-12, msg=lambda m, key=key: f"{key}: {m}")
