"""The optimiser: its directions, and that processes which share the work reach the same weights."""

import os
import socket

import torch
from torch import nn

from glyph_training.muon import Muon, orthogonalise
from glyph_training.parallel import Group

SHAPES = [(24, 64), (64, 24), (16, 16, 3, 3), (40, 40), (8, 90)]


def test_singular_values_come_close_to_one():
    chance = torch.Generator().manual_seed(0)
    for shape in ((64, 24), (24, 64)):
        matrices = torch.randn(3, *shape, generator=chance)
        values = torch.linalg.svdvals(orthogonalise(matrices).float())
        assert torch.linalg.cond(matrices).min() > 3
        assert 0.6 < values.min() and values.max() < 1.3, values


def stepped(group: Group) -> list[torch.Tensor]:
    """Weights after three steps on the same gradients in every process."""
    chance = torch.Generator().manual_seed(1)
    weights = [nn.Parameter(torch.randn(shape, generator=chance)) for shape in SHAPES]
    muon = Muon(weights, lr=0.1, group=group, weight_decay=0.1)
    for _ in range(3):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=chance)
        muon.step()
    return [weight.detach() for weight in weights]


def work(rank: int, port: int, folder: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    group = Group()
    torch.save(stepped(group), f"{folder}/{rank}.pt")
    group.close()


def test_two_processes_reach_the_weights_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(work, args=(port, str(tmp_path)), nprocs=2)
    alone = stepped(Group())
    for rank in range(2):
        shared = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for one, other in zip(alone, shared, strict=True):
            assert torch.equal(one, other)
