"""Settings that a device, or a run that was begun with others, does not allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

from detection import parallel
from detection.config.read import AnyConfig, to_dict
from detection.config.training import TrainConfig
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
            f"train.batch: {train.batch} images cannot be shared by {parallel.world()} processes "
            f"in {train.accumulate} parts each"
        )


def changed_settings(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """`key old -> new` of settings that differ, but for those that no result depends on."""
    found: list[str] = []
    for key in now.keys() & before.keys() - {"output", "resume", "device", "processes", "workers"}:
        old, new = before[key], now[key]
        if isinstance(old, dict) and isinstance(new, dict):
            found += changed_settings(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} {old} -> {new}")
    return sorted(found)


def refuse_other_settings(config: AnyConfig, keys: tuple[str, ...] = ("",)) -> None:
    """Raise `InputError` where `config.output` holds a run whose settings that begin like `keys` were others."""
    path = Path(config.output) / "config.yaml"
    if not path.is_file():
        return
    changed = changed_settings(yaml.safe_load(path.read_text(encoding="utf-8")), to_dict(config))
    other = [change for change in changed if change.startswith(keys)]
    if other:
        raise InputError(f"{path.parent}: was trained with other settings ({', '.join(other)}); use another --output")
