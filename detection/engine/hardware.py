"""What a device and the number of processes decide: precision, images a step, loaders."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch

from detection import parallel
from detection.counted import counted

HALF_FROM = (8, 0)
"""Compute capability from which a GPU multiplies bf16 itself (Ampere); older ones emulate it, slower than float32."""

GPU_WORKERS = 8
"""Loaders of a process at most: a sample takes a core about 10 ms, and a GPU trains fewer than 100 images a second."""


@dataclass(frozen=True)
class Hardware:
    """kind: the device's type; half: the fastest `train.amp`; cores: of this machine; processes: of the whole job;
    local: of them, those on this machine."""

    kind: str
    half: str = "off"
    cores: int = 2
    processes: int = 1
    local: int = 1

    @property
    def gpu(self) -> bool:
        return self.kind == "cuda"

    @classmethod
    def of(cls, device: torch.device) -> Hardware:
        """What this job runs on."""
        return cls(device.type, fast_half(device), parallel.cores(), parallel.planned_world(), parallel.local_world())

    def workers(self) -> int:
        """Processes that load images beside each process that trains; its own core is left to that on a GPU."""
        share = self.cores // self.local
        return max(1, min(share - 1, GPU_WORKERS)) if self.gpu else max(1, min(share, 2))


def loaders(given: int | None, device: torch.device) -> int:
    """`input.workers`: as given, else what suits the machine."""
    return Hardware.of(device).workers() if given is None else given


def idle_gpus(device: torch.device) -> list[str]:
    """A line where a process that trains alone leaves GPUs of its machine idle."""
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if parallel.planned_world() > 1 or count == 1:
        return []
    return [f"this machine has {counted(count, 'GPU')}, of which this run uses one: --processes {count} uses all"]


def use_tf32(wanted: bool) -> None:
    """Whether NVIDIA GPUs multiply float32 as TensorFloat-32, in products and convolutions; concerns the process."""
    torch.set_float32_matmul_precision("high" if wanted else "highest")
    torch.backends.cudnn.allow_tf32 = wanted


def fast_half(device: torch.device) -> str:
    """The `train.amp` that is fastest on the device: bf16, fp16 before Ampere, off without a GPU of NVIDIA's."""
    if device.type != "cuda":
        return "off"
    return "bf16" if torch.cuda.get_device_capability(device) >= HALF_FROM else "fp16"


def memory_used(device: torch.device) -> int:
    """Bytes that the tensors of this process have taken on the GPU at most; on a CPU, what the process has."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return 0
    import resource  # which Windows does not have

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used << 10
