"""Several processes of one command on this machine, by torch's own launcher, the one behind `torchrun`."""

from __future__ import annotations

import logging
import os
import sys
import uuid

from detection import parallel
from detection.counted import counted
from detection.errors import InputError


def launch(command: str, arguments: list[str], processes: int, device: str) -> int:
    """Run `frcnn COMMAND ARGUMENTS` in `processes` processes, each with a GPU of its own unless `device` is the CPU.

    Returns the exit status of the process that failed first, 0 where none did, and 128 + n where signal n ended them.
    Raises `InputError` where the machine has fewer GPUs.
    """
    import torch
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _check(torch.cuda.device_count(), processes, device)
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # each process says in a line what was wrong
    os.environ.setdefault("OMP_NUM_THREADS", str(max(parallel.cores() // processes, 1)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.5,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "detection", command, *arguments)
    except ChildFailedError as failed:
        _, first = failed.get_first_failure()
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode
    except SignalException as stopped:
        return 128 + stopped.sigval
    return 0


def _check(gpus: int, processes: int, device: str) -> None:
    on_gpus = device.startswith("cuda") or (device == "auto" and gpus > 0)
    if on_gpus and processes > gpus:
        raise InputError(f"processes: {processes} asked for, but this machine has {counted(gpus, 'GPU')}; lower it")
    if on_gpus and ":" in device:
        raise InputError(f"device: {device} names one GPU, and processes is {processes}; use cuda")
    if device == "mps":
        raise InputError(f"processes: {processes} asked for, but mps is one device; use 1")
