"""One process or several: rank, world size, gathering. Without `torchrun` everything here is a no-op."""

from __future__ import annotations

import os
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

from detection.errors import InputError

T = TypeVar("T")


def start(device: torch.device) -> torch.device:
    """Join the group that `torchrun` describes, if any, and return this process's device."""
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        return device
    if device.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise InputError(f"device: rank {local} of this machine has no GPU; it has {torch.cuda.device_count()}")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def stop() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def gather(value: T) -> list[T]:
    """The value of every rank, on every rank; any picklable object of our own."""
    if world() == 1:
        return [value]
    values: list[T | None] = [None] * world()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def from_first(value: T) -> T:
    """What rank 0 has, on every rank."""
    holder: list[T] = [value]
    if world() > 1:
        dist.broadcast_object_list(holder, src=0)
    return holder[0]


def share_buffers(module: nn.Module) -> None:
    """Give every rank rank 0's running statistics, which each moves by its own part of a batch."""
    if world() > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` takes a GPU where there is one. A missing one raises, it never falls back."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device: {name!r} is not a device; use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device: {name} asked for, but torch {torch.__version__} sees no CUDA device; use cpu")
    return device
