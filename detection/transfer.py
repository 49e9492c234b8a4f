"""Between host and device without needless waits: each copy to the host makes it wait for all that the device has to
do, so what belongs together goes in one."""

from __future__ import annotations

import torch
from torch import Tensor


def on_host(*tensors: Tensor) -> list[Tensor]:
    """The tensors on the host, of any shapes and types, by one copy. Those that are there already are returned."""
    if all(t.device.type == "cpu" for t in tensors):
        return list(tensors)
    widest_first = sorted(range(len(tensors)), key=lambda i: -tensors[i].element_size())  # each then lies aligned
    parts = [tensors[i].detach().reshape(-1).view(torch.uint8) for i in widest_first]
    packed = torch.cat(parts).cpu().split([len(part) for part in parts])
    found: dict[int, Tensor] = {}
    for i, part in zip(widest_first, packed):
        found[i] = part.view(tensors[i].dtype).view(tensors[i].shape)
    return [found[i] for i in range(len(tensors))]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; to CUDA from pinned memory, so that the copy runs beside the work of both."""
    if device.type == "cuda" and tensor.device.type == "cpu" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
