"""Files of the safetensors format, as timm and the Hugging Face hub keep weights: a length, a JSON header, raw numbers.

Eight bytes say how long the header is; it gives each tensor its type, shape and place in the bytes that follow.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ENDING = ".safetensors"
LARGEST_HEADER = 100 << 20
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """name -> tensor. Raises ValueError for a file that is not of this format, cut off, or of another type."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(LARGEST_HEADER, len(content) - 8):
        raise ValueError("it is not in the safetensors format, or cut off")
    try:
        header = json.loads(content[8 : 8 + size])
        described = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _tensor(entry, content, 8 + size) for name, entry in described.items()}
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"its header is none of the safetensors format ({type(error).__name__})") from error


def _tensor(entry: dict[str, Any], content: bytes, start: int) -> Tensor:
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    kind = TYPES.get(entry["dtype"])
    if kind is None:
        raise ValueError(f"it holds numbers of the type {entry['dtype']}")
    if min(shape, default=0) < 0 or not 0 <= begin <= end <= len(content) - start:
        raise ValueError("a tensor lies outside the file; it is cut off or damaged")
    if end - begin != math.prod(shape) * kind.itemsize:
        raise ValueError(f"a tensor of shape {tuple(shape)} has {end - begin} bytes")
    if begin == end:
        return torch.zeros(shape, dtype=kind)
    return torch.frombuffer(bytearray(content[start + begin : start + end]), dtype=kind).reshape(shape)
