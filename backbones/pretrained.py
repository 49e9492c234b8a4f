"""Trained weights for the networks here, by name or by path.

A name is one of torchvision's published weights (`IMAGENET1K_V1`, ...), fetched once into torch's hub cache and
checked against the hash in its file name. A path is a state dict in the same layout, alone or under `model`,
`state_dict` or `backbone`; half precision is widened. timm's ResNets have the same layout. A `.caffemodel` is VGG-16 or
a ResNet as their authors published them.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.caffe_file import ENDING as CAFFE
from backbones.caffe_names import read_caffe_state
from backbones.tensor_file import ENDING, read_tensors

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
"""RGB on the 0..255 scale: torchvision's .485 .456 .406 and .229 .224 .225 times 255."""

CLASSIFIERS = ("fc.", "linear.", "classifier.6.")
"""Key prefixes of the layers that belong to the classes of the pretraining task."""


class WeightsError(ValueError):
    """Weights that cannot be had or do not fit. The message is one line and says how to fix it."""


def load_pretrained(net: nn.Module, architecture: str, source: str) -> None:
    """Fill `net` (a ResNet or VGG16) with the weights `source`: a file, or the name of torchvision's.

    The pretraining classifier is skipped where `net` has none, or one for another number of classes, which keeps its
    weights; any other difference raises `WeightsError` that names it.
    """
    path = Path(source)
    state = read_state(path) if path.exists() else fetch_state(architecture, source)
    own = net.state_dict()
    other = {k for k, v in state.items() if k.startswith(CLASSIFIERS) and _other_classes(own.get(k), v)}
    state = {k: v for k, v in state.items() if k not in other}
    state = {k: v for k, v in state.items() if k in own or not k.endswith("num_batches_tracked")}
    wrong = [f"{k} {tuple(v.shape)} for {tuple(own[k].shape)}" for k, v in state.items() if _differs(own.get(k), v)]
    missing = [k for k in own if k not in state and k not in other and not k.endswith("num_batches_tracked")]
    unknown = [k for k in state if k not in own]
    for problem, keys in (("lacks", missing), ("has no", unknown), ("has the wrong shape:", wrong)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            subject = f"{source}: this {architecture}" if problem == "has no" else f"{source}"
            raise WeightsError(
                f"{subject} {problem} {keys[0]}{more}; give weights of a {architecture} of the same width and norm"
            )
    net.load_state_dict(state, strict=False)


def _other_classes(own: Tensor | None, given: Tensor) -> bool:
    return own is None or (len(own) != len(given) and own.shape[1:] == given.shape[1:])


def _differs(own: Tensor | None, given: Tensor) -> bool:
    return own is not None and own.shape != given.shape


def reason_of(error: Exception) -> str:
    """What torch says of a file that it cannot load, cut to a line; the error's type where it says nothing, as of an
    empty file."""
    text = next(iter(str(error).splitlines()), type(error).__name__)
    # Of whatever is no file of its own, torch says that it might be loaded by running the code in it.
    return "it is not what torch.save writes" if text.startswith("Weights only load failed") else text


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in the file `path`, in float32. See `load_plain`."""
    try:
        content = load_plain(path)
    except Exception as error:  # torch raises half a dozen unrelated types for a file that is not its own
        raise WeightsError(f"{path}: not a readable weights file ({reason_of(error)}); fetch it again") from error
    for key in ("model", "state_dict", "backbone"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path}: holds no state dict; expected names with tensors, alone or under 'model'")
    fault = next((f"{k} {fault}" for k, v in content.items() if (fault := tensor_fault(k, v))), None)
    if fault:
        raise WeightsError(f"{path}: {fault}; give a file with plain weights")
    return {k.removeprefix("module."): v.float() if v.is_floating_point() else v for k, v in content.items()}


def load_plain(path: Path) -> Any:
    """What `torch.save` wrote, a file of the safetensors format, or a net of Caffe's, on the CPU; only tensors and
    plain values are unpickled, no code runs.

    Raises ValueError for an archive with packed parts, which torch never writes and which may hide any amount of
    memory, and whatever torch raises for a file that is not its own.
    """
    if path.suffix == ENDING:
        return read_tensors(path)
    if path.suffix == CAFFE:
        return read_caffe_state(path, torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        if any(m.compress_type != zipfile.ZIP_STORED for m in members):
            raise ValueError("its parts are compressed, as torch never does")
        if sum(m.file_size for m in members) > path.stat().st_size:
            raise ValueError("its parts overlap")
    return torch.load(path, map_location="cpu", weights_only=True)


def tensor_fault(name: object, value: object) -> str | None:
    """Why `value` is no plain weight under a plain name, or None.

    A view that repeats its storage, as a file may hold, grows to any size once it is copied.
    """
    if not isinstance(name, str) or not name.isprintable():
        return "is not the name of a weight"
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized or value.is_meta:
        return "is not a plain tensor"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"of shape {tuple(value.shape)} has more numbers than the file"
    return None


def fetch_state(architecture: str, name: str) -> dict[str, Tensor]:
    """torchvision's weights `name` of `architecture`, from the hub cache or downloaded into it."""
    from torchvision.models import get_model_weights, list_models

    if architecture not in list_models():
        raise WeightsError(f"weights {name!r}: no such file, and none are published for {architecture}; give a file")
    known = get_model_weights(architecture)
    if name not in known.__members__:
        raise WeightsError(
            f"weights {name!r}: no such file, and torchvision's for {architecture} are {', '.join(known.__members__)}"
        )
    weights = known[name]
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    file = Path(weights.url).name
    _check_sum(cache / file)
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except Exception as error:  # urllib, ssl and hash errors share no base class
        raise WeightsError(
            f"weights {name} of {architecture} could not be downloaded ({reason_of(error)}); "
            f"fetch {weights.url} elsewhere and put it at {cache / file}, or give a local file"
        ) from error


def _check_sum(path: Path) -> None:
    """Raise `WeightsError` where a file that lies in the cache is not the published one, whose name ends in the
    beginning of its SHA-256; torch compares it only after a download."""
    wanted = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if wanted is None or not path.is_file():
        return
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if not digest.hexdigest().startswith(wanted[1]):
        raise WeightsError(f"{path}: is not the published file, by its SHA-256; delete it, and it is fetched again")
