"""One process or several: rank, world size, gathering. Without `torchrun` everything here is a no-op."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from backbones.norm import moving_buffers
from detection.counted import counted
from detection.errors import InputError

T = TypeVar("T")

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others. One that dies is noticed at once, by its closed connections; this is for
machines that vanish."""


def start(device: torch.device) -> torch.device:
    """Join the group that `torchrun` describes, if any, and return this process's device."""
    if not launched() or dist.is_initialized():
        return device
    if device.type == "cuda":
        device = torch.device("cuda", _gpu_of(local_rank(), torch.cuda.device_count()))
        torch.cuda.set_device(device)
    store, rank, world = next(rendezvous("env://"))
    # torchrun may keep its store over a restart, with the addresses of processes that are dead by now.
    store = dist.PrefixStore(f"attempt {_attempt()}", store)
    # Objects and signals travel through the hosts' memory: proposals of a whole dataset would not fit beside a net.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)
    _stores.append(store)
    return device


def launched() -> bool:
    """Whether this is one of the processes of `torchrun`, or of another launcher with its environment."""
    return "WORLD_SIZE" in os.environ


def local_rank() -> int:
    """Which of the processes of this machine this is."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def planned_world() -> int:
    """The number of processes of this job, also before they have met."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_world() -> int:
    """The number of this job's processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu_of(process: int, visible: int) -> int:
    """The GPU of a machine's process. Where each is shown one GPU alone, as by Slurm's --gpus-per-task, that is 0."""
    if visible == 1 and local_world() > 1 and not os.environ.get("CUDA_VISIBLE_DEVICES", "").isdigit():
        raise InputError(f"device: {local_world()} processes on this machine, which has 1 GPU; start one process")
    if visible > 1 and process >= visible:
        raise InputError(f"device: process {process} of this machine has no GPU; it has {visible}")
    return 0 if visible == 1 else process


_stores: list[dist.Store] = []
"""The store of the present group, which torchrun keeps and which outlives the group."""


def restarted() -> bool:
    """Whether `torchrun` has started this process again after a failure."""
    return _attempt() > 0


def _attempt() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def says_first(message: str) -> bool:
    """Whether no other process of this job has said the same: all meet a wrong setting, and one line is enough.

    Asked where torchrun holds the store; under another launcher it goes with the first process, and each says its own.
    """
    if not _stores and "TORCHELASTIC_RUN_ID" in os.environ:
        # Before the group: all processes of a machine read the same command line and the same files.
        return os.environ.get("LOCAL_RANK", "0") == "0"
    if not _stores or "TORCHELASTIC_RUN_ID" not in os.environ:
        return True
    key = f"said {hashlib.sha256(message.encode()).hexdigest()}"
    try:
        return int(_stores[-1].add(key, 1)) == 1
    except RuntimeError:  # torchrun was killed
        return True


def stop() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def own_process_group(_: int = 0) -> None:
    """Put a loading process into a group of its own: Ctrl-C and torchrun signal a whole group, but the main process
    still needs batches to finish its step."""
    if hasattr(os, "setpgid"):  # not on Windows
        os.setpgid(0, 0)


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


def on_first(work: Callable[[], T]) -> T:
    """What `work` returns on rank 0, where alone it is called, on every rank; also the `InputError` that it raises."""
    if world() == 1:
        return work()
    found: T | None = None
    fault = ""
    if rank() == 0:
        try:
            found = work()
        except InputError as error:
            fault = str(error)
    found, fault = from_first((found, fault))
    if fault:
        raise InputError(fault)
    return found  # type: ignore[return-value]


def share_of(counts: Tensor) -> Tensor:
    """Numbers of samples of all ranks over the number of ranks, or one rank's `counts` where it is alone; each at
    least one sample.

    Sums of losses divided by it have gradients whose mean over the ranks, which DistributedDataParallel takes, is
    that of one process with all the samples. Every rank must call it.
    """
    if world() == 1:
        return counts.clamp(min=1)
    total = counts.to(torch.float32, copy=True)
    dist.all_reduce(total)
    return total.clamp(min=1) / world()


def mean(values: Tensor) -> Tensor:
    """Elementwise mean over the ranks, on every rank."""
    if world() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / world()


def largest(values: Tensor) -> Tensor:
    """Elementwise maximum over the ranks, on every rank."""
    if world() == 1:
        return values
    values = values.clone()
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return values


def replicated(model: nn.Module) -> nn.Module:
    """The model as it trains on every rank, its gradients averaged over them; the model itself in one process."""
    if world() == 1:
        return model
    device = next(model.parameters()).device
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        broadcast_buffers=bool(moving_buffers(model)),  # what never moves need not be sent at every step
        gradient_as_bucket_view=True,
    )


def share_buffers(module: nn.Module) -> None:
    """Give every rank rank 0's running statistics, which each moves by its own part of a batch."""
    if world() > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


DEVICES = ("cpu", "cuda", "mps")


def choose_device(name: str) -> torch.device:
    """The device called `name`, on which a tensor was made; `auto` takes a GPU where there is one.

    Raises `InputError` for one that is missing, or that this build of torch cannot use: it never falls back.
    """
    if name == "auto":
        return _tried(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device: {name!r} is not a device; use auto, cpu, cuda, cuda:N or mps") from error
    if device.type not in DEVICES or (device.type != "cuda" and device.index):
        raise InputError(f"device: {name} is not supported; use auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device: {name} asked for, but torch {torch.__version__} sees no CUDA device; use cpu")
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise InputError(
            f"device: {name} asked for, but this machine has {counted(count, 'GPU')}, cuda:0 to cuda:{count - 1}"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device: mps asked for, but torch {torch.__version__} sees no Apple GPU; use cpu")
    return _tried(device)


def _tried(device: torch.device) -> torch.device:
    """`device`, on which something was computed: an old driver, or a GPU that this build of torch has no code for,
    shows only then."""
    if device.type == "cpu":
        return device
    try:
        torch.ones(1, device=device).add_(1)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device: {device} cannot be used by torch {torch.__version__}: {reason}; use cpu") from error
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # else a second context takes memory on GPU 0
    return device
