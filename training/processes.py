"""One training on several processes: `torchrun --nproc_per_node N -m training.train ...`, or a single one without it.

Every process draws faces and keys of its own; gradients are averaged, so weights stay equal. The first process decides
when to stop and writes all files.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import FrameType

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["Processes"]


@dataclass(slots=True)
class Processes:
    """rank: number of this one, 0..count-1. device: where it computes. interrupted: asked to stop, which several do
    together after a step. With a count of 1 nothing is sent or copied."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    interrupted: bool = False

    @staticmethod
    def join() -> Processes:
        """The ones that torchrun started, or this one alone; on GPUs where there are any."""
        gpu = torch.cuda.is_available()
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if gpu else torch.device("cpu")
        if gpu:
            torch.cuda.set_device(device)
        if "RANK" not in os.environ:
            return Processes(device=device)
        dist.init_process_group("nccl" if gpu else "gloo")
        return Processes(dist.get_rank(), dist.get_world_size(), device)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def leave(self) -> None:
        if self.count > 1:
            dist.destroy_process_group()

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """A signal handler: one process alone may stop in the middle of a step, others would wait for it for ever."""
        self.interrupted = True
        if self.count == 1:
            signal.default_int_handler(number, frame)

    def wait(self) -> None:
        """Until all of them are here."""
        if self.count > 1:
            dist.barrier()

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make every process's gradients their mean."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        together /= self.count
        for gradient, mean in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def as_first(self, modules: Iterable[nn.Module]) -> None:
        """Give all modules the first process's weights and buffers."""
        if self.count > 1:
            for module in modules:
                for tensor in module.state_dict().values():
                    _broadcast(tensor)

    def agree(self, value: float) -> float:
        """The first process's value."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(told, 0)
        return float(told)


def _broadcast(tensor: Tensor) -> None:
    whole = tensor.contiguous()  # gloo sends no other; weights are channels last
    dist.broadcast(whole, 0)
    tensor.copy_(whole)
