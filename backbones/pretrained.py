"""Trained weights for the networks here, by name or by path.

A name is one of torchvision's published weights (`IMAGENET1K_V1`, ...), fetched once into torch's hub cache and
checked against the hash in its file name. A path is a state dict in the same layout, alone or under `model`,
`state_dict` or `backbone`; half precision is widened.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
"""RGB on the 0..255 scale: torchvision's .485 .456 .406 and .229 .224 .225 times 255."""

CLASSIFIERS = ("fc.", "linear.", "classifier.6.")
"""Key prefixes of the layers that belong to the classes of the pretraining task."""


class WeightsError(ValueError):
    """Weights that cannot be had or do not fit. The message is one line and says how to mend it."""


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
    for problem, keys in (("lacks", missing), ("does not know", unknown), ("has the wrong shape:", wrong)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            subject = f"{source}: this {architecture}" if problem == "does not know" else f"{source}"
            raise WeightsError(
                f"{subject} {problem} {keys[0]}{more}; give weights of a {architecture} of the same width and norm"
            )
    net.load_state_dict(state, strict=False)


def _other_classes(own: Tensor | None, given: Tensor) -> bool:
    return own is None or (len(own) != len(given) and own.shape[1:] == given.shape[1:])


def _differs(own: Tensor | None, given: Tensor) -> bool:
    return own is not None and own.shape != given.shape


def _reason(error: Exception) -> str:
    """Its message cut to a line; its type where it has none, as for an empty file."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in the file `path`, in float32. Only tensors and plain values are unpickled."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen unrelated types for a file that is not its own
        raise WeightsError(f"{path}: not a readable weights file ({_reason(error)})") from error
    for key in ("model", "state_dict", "backbone"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path}: holds no state dict; expected names with tensors, alone or under 'model'")
    return {k.removeprefix("module."): v.float() if v.is_floating_point() else v for k, v in content.items()}


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
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except Exception as error:  # urllib, ssl and hash errors share no base class
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        file = Path(weights.url).name
        raise WeightsError(
            f"weights {name} of {architecture} could not be downloaded ({_reason(error)}); "
            f"fetch {weights.url} elsewhere and put it at {cache / file}, or give a local file"
        ) from error
