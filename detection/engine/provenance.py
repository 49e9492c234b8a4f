"""What a result was made with: versions, machine and git revision."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

import detection

PACKAGES = ("torchvision", "numpy", "pycocotools", "hotcoco", "albumentations")


def versions(device: torch.device | None = None) -> dict[str, str]:
    """Name -> version, and what computes, by default the processor; everything plain strings."""
    found = {"frcnn": detection.__version__, "python": platform.python_version(), "torch": str(torch.__version__)}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    found["device"] = torch.cuda.get_device_name(device) if device and device.type == "cuda" else _processor()
    found["instruction_set"] = torch.backends.cpu.get_cpu_capability()
    found["threads"] = str(torch.get_num_threads())
    found["revision"] = _revision()
    return found


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor() or "cpu"


def _revision() -> str:
    """Git commit of the toolkit's checkout, with a mark when it is changed; `release` outside a checkout."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "release"
    return done.stdout.strip()
