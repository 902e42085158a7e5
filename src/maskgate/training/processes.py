"""Training in several processes at once, a GPU each, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=2)
"""The others wait while the first one finds faces, cuts them or judges; the default is ten minutes."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: its number, from 0; the first one writes files and prints.
        count: of all processes; 1 where nobody started more.
        local: its number on this machine, which is that of its GPU.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """True in the process that writes."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """This process's GPU, or the CPU where there is none."""
        return torch.device("cuda", self.local) if torch.cuda.is_available() else torch.device("cpu")

    def wrap(self, model: nn.Module) -> nn.Module:
        """``model`` with gradients averaged over the processes."""
        if self.count == 1:
            return model
        ids = [self.local] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids)

    def agree(self, decision: bool) -> bool:
        """The first process's decision, in all of them."""
        if self.count == 1:
            return decision
        box = torch.tensor([float(decision)], device=self.device)
        dist.broadcast(box, 0)
        return bool(box.item() > 0)


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Joins the processes that ``torchrun`` started, for as long as the block runs.

    On GPUs they talk through NCCL, on CPUs through Gloo. Without ``torchrun`` there is one.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or dist.is_initialized():  # the second: an inner block of a run that has joined
        yield _current() if dist.is_available() and dist.is_initialized() else Processes()
        return
    own = Processes(int(os.environ["RANK"]), count, int(os.environ.get("LOCAL_RANK", "0")))
    if own.device.type == "cuda":
        torch.cuda.set_device(own.device)
    dist.init_process_group("nccl" if own.device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    try:
        yield own
    finally:
        dist.destroy_process_group()


def _current() -> Processes:
    return Processes(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))


def first_ahead(processes: Processes, prepare: Callable[[], T]) -> T:
    """What ``prepare`` returns. The first process runs it while the others wait, who then find the
    files that it left."""
    if processes.first:
        prepared = prepare()
        wait_for_all()
        return prepared
    wait_for_all()
    return prepare()


def wait_for_all() -> None:
    """Returns when every process has come here."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
