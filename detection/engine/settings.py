"""Settings that a device does not allow."""

from __future__ import annotations

import torch

from detection import parallel
from detection.config.training import TrainConfig
from detection.counted import counted
from detection.engine.hardware import fast_half, use_tf32
from detection.errors import InputError


def check_device(train: TrainConfig, norm: str, key: str, device: torch.device) -> None:
    """Raise `InputError` for settings that `device` or the number of processes does not allow; `key` names `norm`.

    Sets how float32 is multiplied, which torch knows for the whole process only.
    """
    if device.type == "cpu" and train.amp == "fp16":
        raise InputError("train.amp: fp16 needs a CUDA device; use bf16 or off")
    if train.amp != "off" and device.type == "mps":
        raise InputError(f"train.amp: {train.amp} is not supported on mps; use off")
    if train.amp == "bf16" and device.type == "cuda" and fast_half(device) != "bf16":
        name = torch.cuda.get_device_name(device)
        raise InputError(f"train.amp: {name} has no bf16 and would emulate it, slower than float32; use fp16 or off")
    if train.tf32 and device.type != "cuda":
        raise InputError(f"train.tf32: true needs an NVIDIA GPU, and this run is on {device}; use false")
    use_tf32(train.tf32)
    if device.type == "cpu" and norm == "sync":
        raise InputError(f"{key}: sync needs CUDA devices; use batch or group")
    if train.batch % (parallel.world() * train.accumulate):
        raise InputError(
            f"train.batch: {counted(train.batch, 'image')} cannot be shared by {parallel.world()} processes "
            f"in {train.accumulate} parts each"
        )
