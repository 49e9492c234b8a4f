"""One file format for what a run leaves: `last.pt` to resume from, `best.pt` to use.

A checkpoint is a dict of plain values and tensors, so that it loads without running any code:
    format       3
    task         `detection` or `classification`
    config       the whole configuration, nested dicts
    classes      names, in label order
    iteration    optimiser steps done
    metrics      of the last evaluation
    trained_on   (N,) int64: what the images are known by that it was trained on, see `detection.data.hold_out`
    model        state dict of the weights to use: averaged ones where the run averages
    thresholds   where `frcnn threshold` chose them: from which score on a detection of each class is to be believed
    training     for `last.pt`: trained weights, average, optimiser, scaler, learning rate and progress; there is no
                 random state and no position in the data, which follow from the seed and the iteration
    versions     of this toolkit, torch and torchvision

Behind it stands its SHA-256, which every reading verifies; torch alone reads the file too, and sees no difference.
A name that ends in .safetensors makes it a safetensors file, which has no `training`: see `safe_tensors`.
`previous.pt` is the `last.pt` before: what a run resumes from where `last.pt` turns out to be damaged.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from backbones.pretrained import load_plain, reason_of, tensor_fault
from detection import safe_tensors
from detection.errors import InputError
from detection.files.atomic import give_name, write_atomically
from detection.printable import UNPRINTABLE

FORMAT = 3
PREDICTOR = "roi_stage.predictor."
WRITERS = {"detection": "frcnn train", "classification": "frcnn pretrain"}
COUNTER = ".num_batches_tracked"


LAST, PREVIOUS = "last.pt", "previous.pt"
MARK = b"\nfrcnn sha256 "
TRAILER = len(MARK) + 2 * hashlib.sha256().digest_size


class DamagedCheckpoint(InputError):
    """A file that was a checkpoint once, or half of one."""


def save(path: Path, content: dict[str, Any], previous: Path | None = None) -> None:
    """Write a checkpoint; a reader finds the old file or the new one, never half of one. previous: a name beside it
    under which the old one stays."""
    if path.suffix == safe_tensors.SUFFIX:
        write_atomically(path, safe_tensors.encoded({"format": FORMAT, **content}), previous)
        return
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    buffer.seek(0, io.SEEK_END)
    buffer.write(MARK + digest.encode())
    write_atomically(path, buffer.getbuffer(), previous)


def load(path: Path, task: str) -> dict[str, Any]:
    """Read a checkpoint of `task` onto the CPU. Raises `InputError` where the file is none of ours or of another task,
    `DamagedCheckpoint` where it is cut off or a byte of it has changed."""
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        content, marked = _read(path)
    except InputError:
        raise
    except Exception as error:  # torch raises half a dozen unrelated types for a file that is not its own
        text = f"{path}: not a readable checkpoint ({reason_of(error)}); give a best.pt or last.pt"
        raise DamagedCheckpoint(text) from error
    if not is_checkpoint(content):
        raise InputError(f"{path}: not a checkpoint that `{WRITERS[task]}` wrote; give its best.pt or last.pt")
    if content["format"] != FORMAT:
        raise InputError(
            f"{path}: checkpoint format {content['format']}, but this version reads format "
            f"{FORMAT}; use the version that wrote it"
        )
    if not marked:
        raise DamagedCheckpoint(f"{path}: damaged, its checksum is missing; give another best.pt or last.pt")
    if content["task"] != task:
        raise InputError(f"{path}: is a checkpoint of {content['task']}; give one that `{WRITERS[task]}` wrote")
    fault = _fault(content)
    if fault:
        raise InputError(f"{path}: {fault}; give a best.pt or last.pt that `{WRITERS[task]}` wrote")
    return content


def _read(path: Path) -> tuple[Any, bool]:
    """What a file holds, and whether it has a checksum, which is then right; else `DamagedCheckpoint` is raised."""
    if path.suffix == safe_tensors.SUFFIX:
        content, whole = safe_tensors.decoded(path)
        marked = content is not None
    else:
        with path.open("rb") as file:
            written, found = _digests(file)
        marked, whole = bool(written), written == found
    if marked and not whole:
        raise DamagedCheckpoint(f"{path}: damaged, its checksum is another; give another best.pt or last.pt")
    return (content if path.suffix == safe_tensors.SUFFIX else load_plain(path)), marked


def load_newest(folder: Path, task: str) -> tuple[dict[str, Any] | None, str]:
    """What a run in `folder` resumes from, None where nothing was saved, and a warning where that is not `last.pt`,
    which nothing is done about here. Raises `InputError` where neither can be used."""
    last, previous = folder / LAST, folder / PREVIOUS
    if not has_run(folder):
        return None, ""
    try:
        return load(last, task), ""
    except InputError as error:
        if not previous.exists() or not (isinstance(error, DamagedCheckpoint) or not last.exists()):
            raise
        fault = str(error).split(";")[0]
    content = load(previous, task)
    return content, f"warning: {fault}; resuming from {PREVIOUS}, of iteration {content['iteration']}"


def replace_newest(folder: Path) -> None:
    """Make `previous.pt` the `last.pt` too, where `load_newest` had to take it: else the next save would call the
    damaged one the previous."""
    give_name(folder / PREVIOUS, folder / LAST)


def has_run(folder: Path) -> bool:
    """Whether a run has saved into `folder`."""
    return (folder / LAST).exists() or (folder / PREVIOUS).exists()


def digest(path: Path) -> str:
    """The checksum that a checkpoint carries, by which it is known; empty where there is none."""
    if path.suffix == safe_tensors.SUFFIX:
        return safe_tensors.checksum(path)
    with path.open("rb") as file:
        return _trailer(file)


def _trailer(file: IO[bytes]) -> str:
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - TRAILER, 0))
    trailer = file.read()
    return trailer[len(MARK) :].decode("ascii", "replace") if trailer.startswith(MARK) else ""


def _digests(file: IO[bytes]) -> tuple[str, str]:
    """The checksum written behind a checkpoint, empty where there is none, and the one it has; `file` is at 0 again."""
    written, left = _trailer(file), file.tell() - TRAILER
    file.seek(0)
    found = hashlib.sha256()
    while left > 0 and (block := file.read(min(left, 1 << 20))):
        found.update(block)
        left -= len(block)
    file.seek(0)
    return written, found.hexdigest()


def _fault(content: dict[str, Any]) -> str | None:
    """What a damaged or foreign file has in the place of weights, classes or config; None where all is in place."""
    classes, model = content["classes"], content["model"]
    if not isinstance(classes, list | tuple) or not classes or any(not isinstance(name, str) for name in classes):
        return "its classes are not a list of names"
    if any(UNPRINTABLE.search(name) for name in classes):
        return "a class name has control characters"
    if not isinstance(model, dict) or not isinstance(content["config"], dict):
        return "its model or config is no dict"
    return next((f"{name} {fault}" for name, value in model.items() if (fault := tensor_fault(name, value))), None)


def is_checkpoint(content: object) -> bool:
    if not isinstance(content, dict) or not {"format", "task", "config", "classes", "model"} <= content.keys():
        return False
    return isinstance(content["format"], int) and isinstance(content["task"], str)


def load_weights(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Fill the whole model. Raises `InputError` naming the first tensor that does not fit."""
    refuse_other_tensors(model, state, path)
    model.load_state_dict(state)


def refuse_other_tensors(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Raise `InputError` naming the first tensor of the file at `path` that does not fit the model."""
    own = model.state_dict()
    for name in [*own, *state]:
        if name not in state or name not in own or own[name].shape != state[name].shape:
            has = tuple(state[name].shape) if name in state else "nothing"
            wants = tuple(own[name].shape) if name in own else "nothing"
            raise InputError(
                f"{path}: holds another architecture: {name} is {has} there and {wants} here; "
                "use the model settings it was trained with"
            )


def load_matching(
    model: nn.Module,
    state: dict[str, Tensor],
    path: Path,
    theirs: Sequence[str] | None,
    ours: Sequence[str],
) -> list[str]:
    """Fill what fits, to fine-tune on other classes; returns the names of the classes whose heads are kept.

    theirs, ours: class names in label order; of classes of the same name, whatever its case, the rows of the predictor
    are taken over, as are those of the background; others begin anew. theirs None: nobody knows what its rows mean.
    Batch norms may have been frozen or be so now; anything else that differs raises `InputError`.
    """
    own = model.state_dict()
    # Batches counted, which frozen norms do not do; nothing is computed from it. Files of others lack pixel statistics.
    state = {k: v for k, v in state.items() if k in own or not k.endswith(COUNTER)}
    state |= {k: own[k] for k in own if k not in state and (k.endswith(COUNTER) or k.startswith("pixel_"))}
    place = {name.strip().lower(): row for row, name in enumerate(theirs or ())}
    pairs = [(row, place[name.strip().lower()]) for row, name in enumerate(ours) if name.strip().lower() in place]
    for key in [key for key in own if key.startswith(PREDICTOR) and key in state]:
        background = theirs is not None and ".scores." in key
        state[key] = _rows_by_class(own[key], state[key], pairs, background)
    load_weights(model, state, path)
    return [ours[row] for row, _ in pairs]


def _rows_by_class(own: Tensor, given: Tensor, pairs: list[tuple[int, int]], background: bool) -> Tensor:
    """A parameter of the predictor with the given rows of each pair (own class, given class), and of the background,
    which is the last class of the scores. Deltas have four rows a class, or four for all."""
    if own.shape[1:] != given.shape[1:]:
        return given  # another head altogether, of which `load_weights` speaks
    made = own.clone()
    if background:
        made[-1] = given[-1]
        for row, place in pairs:
            made[row] = given[place]
    elif len(own) == len(given) == 4:
        made = given
    elif len(given) > 4:
        for row, place in pairs:
            made[4 * row : 4 * row + 4] = given[4 * place : 4 * place + 4]
    return made
