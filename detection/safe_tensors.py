"""A checkpoint as a safetensors file: tensors and text, no place for code, which other libraries read too.

The tensors are those of the weights, by their names in the model, and `frcnn.trained_on`. The metadata have the rest of
a checkpoint as JSON under `frcnn`, and under `sha256` the checksum of both.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detection.errors import InputError

SUFFIX = ".safetensors"
TRAINED_ON = "frcnn.trained_on"


def encoded(content: dict[str, Any]) -> bytes:
    """The file of a checkpoint, without what only a resumed training needs. Raises `InputError` where the package is
    missing."""
    save = _package("safetensors.torch").save
    plain = {key: value for key, value in content.items() if key not in ("model", "trained_on", "training")}
    tensors = {name: tensor.contiguous() for name, tensor in content["model"].items()}
    tensors[TRAINED_ON] = content.get("trained_on", torch.zeros(0, dtype=torch.int64))
    text = json.dumps(plain)
    return bytes(save(tensors, {"format": "pt", "frcnn": text, "sha256": _checksum(tensors, text)}))


def decoded(path: Path) -> tuple[dict[str, Any] | None, bool]:
    """What a file holds as a checkpoint, None where it is none of ours, and whether its checksum is right. Raises what
    the package raises for a damaged file."""
    with _package("safetensors").safe_open(path, "pt") as opened:
        metadata = opened.metadata() or {}
        if "frcnn" not in metadata:
            return None, False
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    whole = metadata.get("sha256") == _checksum(tensors, metadata["frcnn"])
    trained_on = tensors.pop(TRAINED_ON, torch.zeros(0, dtype=torch.int64))
    return {**json.loads(metadata["frcnn"]), "trained_on": trained_on, "model": tensors}, whole


def checksum(path: Path) -> str:
    """The checksum that the file carries."""
    with _package("safetensors").safe_open(path, "pt") as opened:
        return str((opened.metadata() or {}).get("sha256", ""))


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    found = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _package(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError("safetensors: needs a package; pip install safetensors") from error
